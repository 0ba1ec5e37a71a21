// The automaton of a grammar: threads are stacks of places in rules.
#pragma once
#include <memory>
#include <unordered_map>

#include "text/automaton/automaton.h"
#include "text/grammar/grammar.h"

namespace bezel::grammar {

class Machine final : public Automaton {
 public:
  explicit Machine(std::shared_ptr<const Grammar> grammar);

 protected:
  Thread first() override { return start_; }
  void step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) override;
  bool accepting(Thread thread) const override;
  FreeText free_of(Thread thread) const override;

 private:
  static constexpr std::uint32_t kMaxDepth = 2000;  // rules inside one another
  struct Place {
    std::uint32_t at = 0;      // symbol
    std::uint32_t parent = 0;  // place to go on at behind the rule's end; 0: none
    std::uint32_t decoder = 0;
    std::uint32_t depth = 0;
    bool operator==(const Place&) const = default;
  };
  Thread thread_of(const Place& place);
  // The places of sets, and the end, that are reached from a place without reading.
  void reach(std::uint32_t at, std::uint32_t parent, std::vector<Thread>& out);

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Place> places_;
  std::unordered_multimap<std::uint64_t, Thread> known_;
  Thread start_ = 0, done_ = 0;
};

}  // namespace bezel::grammar
