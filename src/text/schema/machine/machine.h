// The automaton of a schema: threads are stacks of open arrays, objects, strings and numbers.
#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "text/automaton/automaton.h"
#include "text/automaton/decode.h"
#include "text/schema/program.h"

namespace bezel::schema {

// How a value is written.
enum class Surface : std::uint8_t {
  Json,   // RFC 8259; between parts one space, or a line break and up to 64 spaces or tabs
  Gemma,  // arguments of a tool call: bare keys, texts between kQuoteMark, no white space
};

inline constexpr std::uint32_t kNoNode = 0xFFFFFFFFU;  // of the tree of names

struct Frame {
  std::uint32_t parent = 0;
  std::uint8_t kind = 0, phase = 0;
  std::uint8_t hits = 0;   // duties of an object that are fulfilled
  std::uint8_t space = 0;  // white space since the last part: 0, 1, or 2 + columns after a break
  std::uint32_t shape = 0;
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  std::uint32_t depth = 0;
  bool operator==(const Frame&) const = default;
};

class Machine final : public Automaton {
 public:
  Machine(std::shared_ptr<const Program> program, Surface surface);

 protected:
  Thread first() override;
  void step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) override;
  Bytes may_of(Thread thread) const override;
  bool accepting(Thread thread) const override;
  FreeText free_of(Thread thread) const override;
  bool waiting(Thread thread) const override;
  bool knows_key_of(Thread thread) const override;
  Thread remembered(Thread thread, const std::string& text) override;

 private:
  enum FrameKind : std::uint8_t { kRoot, kLiteral, kNumberText, kText, kKey, kList, kMap };
  using Out = std::vector<Thread>;
  using Hits = std::vector<std::uint32_t>;

  Bytes may_of_text(const Frame& f) const;
  const Frame& frame(Thread t) const { return frames_[t]; }
  Thread thread_of(const Frame& f);
  std::uint32_t blob(const std::string& bytes);
  const std::string& bytes_of(std::uint32_t id) const { return *blobs_[id]; }
  template <class T>
  std::uint32_t blob_of(const std::vector<T>& v);
  template <class T>
  std::vector<T> vector_of(std::uint32_t id) const;

  void begin(const Frame& parent, int goal, std::uint8_t byte, Out& out);
  void begin_case(const Frame& parent, const Case& c, std::uint8_t byte, Out& out);
  // A value has ended: `value` is its canonical text, for arrays without equals.
  void finish(Thread parent, const std::string& value, Out& out);
  bool space(const Frame& f, std::uint8_t byte, bool breaks, Out& out);
  bool unique_parent(const Frame& f) const;

  void literal(const Frame& f, std::uint8_t byte, Out& out);
  void number(const Frame& f, std::uint8_t byte, Out& out);
  static bool count_digit(Frame& g, std::uint8_t byte);
  bool number_ends(const Frame& f) const;
  std::vector<Decimal> used_numbers(const Frame& f) const;
  void text(const Frame& f, std::uint8_t byte, Out& out);
  bool text_live(const StringShape& s, std::uint32_t at, const Frame& f) const;
  bool text_live_in(const StringShape& s, std::uint32_t at, const Decoded& d) const;
  std::uint64_t used_texts(const StringShape& s, const Frame& f) const;

  void list(const Frame& f, std::uint8_t byte, Out& out);
  std::vector<Frame> list_options(const Frame& f, std::vector<int>& goals) const;
  bool list_closes(const Frame& f) const;
  bool value_left(int goal, const std::string& used) const;

  void map(const Frame& f, std::uint8_t byte, Out& out);
  bool map_closes(const Frame& f) const;
  void begin_key(const Frame& f, std::uint8_t byte, Out& out);
  void key(const Frame& f, std::uint8_t byte, Out& out);
  void key_ends(const Frame& f, Out& out);
  bool key_live(const Frame& object, std::uint32_t node, std::uint32_t state) const;
  bool key_live_in(const Frame& object, const Frame& f, const Decoded& d) const;
  bool name_may_come(const Frame& object, std::uint32_t name) const;
  bool spare(const Frame& object) const;
  bool slot_too_deep(const Slot& slot, const Frame& f) const;

  std::shared_ptr<const Program> program_;
  bool json_;
  std::uint8_t quote_;
  std::vector<Frame> frames_;
  std::unordered_multimap<std::uint64_t, Thread> known_;
  std::unordered_map<std::string, std::uint32_t> blob_ids_;
  std::vector<const std::string*> blobs_;
  std::vector<std::uint32_t> no_hits_;
};

template <class T>
std::uint32_t Machine::blob_of(const std::vector<T>& v) {
  return blob(std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T)));
}

template <class T>
std::vector<T> Machine::vector_of(std::uint32_t id) const {
  const std::string& s = bytes_of(id);
  std::vector<T> v(s.size() / sizeof(T));
  if (!v.empty()) std::memcpy(v.data(), s.data(), v.size() * sizeof(T));
  return v;
}

}  // namespace bezel::schema
