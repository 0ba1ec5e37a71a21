// A byte automaton that is found while it runs: its states are sets of threads, its transitions
// are worked out once and kept.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bezel/result.h"

namespace bezel {

// Bytes that no UTF-8 text holds stand for control tokens.
inline constexpr std::uint8_t kQuoteMark = 0xF8;       // <|"|>
inline constexpr std::uint8_t kCallMark = 0xF9;        // <|tool_call>
inline constexpr std::uint8_t kCallEndMark = 0xFA;     // <tool_call|>
inline constexpr std::uint8_t kThoughtMark = 0xFB;     // <|channel>
inline constexpr std::uint8_t kThoughtEndMark = 0xFC;  // <channel|>

// What may follow in a state without looking at every byte: any characters of a JSON string but
// the quote, the backslash and control characters.
struct FreeText {
  enum class Kind { None, Some, All } kind = Kind::None;  // Some: other threads may want more
  std::int64_t room = 0;    // code points that may still come; -1: any number
  std::int64_t wanted = 0;  // code points that must still come before the end
  bool uniform = true;      // only how many come matters, not which
  bool words = false;       // any ASCII letters and digits may follow, also where kind is None
};

// One thread at a time. Any number of places in a text may be kept as states.
class Automaton {
 public:
  using State = std::uint32_t;
  static constexpr State kDead = 0;
  static constexpr std::size_t kMaxThreads = 512;

  virtual ~Automaton() = default;
  State start();
  State next(State state, std::uint8_t byte) {
    if ((memory_[state].may[byte >> 6U] >> (byte & 63U) & 1U) == 0) return kDead;
    const std::uint32_t block = memory_[state].blocks[byte >> 4U];
    if (block != 0) {
      const State known = blocks_[block][byte & 15U];
      if (known != kUnknown) return known;
    }
    return find_next(state, byte);
  }
  bool accepts(State state) const { return memory_[state].accepts; }
  // A bit for every byte that may lead on, perhaps for more than do.
  using Bytes = std::array<std::uint64_t, 4>;
  const Bytes& may(State state) const { return memory_[state].may; }
  FreeText free_text(State state) const;
  std::size_t size() const { return memory_.size(); }  // states found so far
  // Some state had more threads than kMaxThreads, which ended it.
  bool overflowed() const { return overflowed_; }

  // After the byte that ended a text whose value the automaton must remember: the state that
  // remembers `text`.
  State remember(State state, const std::string& text);
  bool waits_for_text(State state) const { return memory_[state].waits; }
  // Whether the text before this state belongs to JSON whose keys are watched.
  virtual bool tracks(State) const { return true; }
  // Inside a key: the automaton itself sees to it that this key does not come twice.
  bool knows_key(State state) const;

 protected:
  using Thread = std::uint32_t;
  template <class Each>
  void for_each_thread(State state, const Each& each) const {
    const Memory& m = memory_[state];
    for (std::uint32_t i = 0; i < m.count; ++i) each(threads_[m.from + i]);
  }
  virtual Thread first() = 0;
  static constexpr Bytes kAllBytes = {~0ULL, ~0ULL, ~0ULL, ~0ULL};
  static void set_byte(Bytes& bytes, std::uint8_t byte) {
    bytes[byte >> 6U] |= std::uint64_t{1} << (byte & 63U);
  }
  virtual Bytes may_of(Thread) const { return kAllBytes; }  // saves trying the others
  virtual void step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) = 0;
  virtual bool accepting(Thread thread) const = 0;
  virtual FreeText free_of(Thread) const { return {}; }
  virtual bool waiting(Thread) const { return false; }
  virtual bool knows_key_of(Thread) const { return false; }
  virtual Thread remembered(Thread thread, const std::string&) { return thread; }

 private:
  static constexpr State kUnknown = 0xFFFFFFFFU;
  struct Memory {
    std::uint32_t from = 0, count = 0;  // threads
    bool accepts = false, waits = false;
    Bytes may{};
    std::array<std::uint32_t, 16> blocks{};
  };
  State find_next(State state, std::uint8_t byte);
  State state_of(std::vector<Thread>& threads);

  std::vector<Memory> memory_;
  std::vector<Thread> threads_;
  std::vector<std::array<State, 16>> blocks_;
  std::unordered_multimap<std::uint64_t, State> known_;
  std::vector<Thread> scratch_;
  State start_ = kDead;
  bool overflowed_ = false;
};

}  // namespace bezel
