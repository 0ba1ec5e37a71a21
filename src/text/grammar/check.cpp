// Left recursion and rules without any text.
#include <fmt/format.h>

#include <algorithm>

#include "text/grammar/grammar.h"

namespace bezel::grammar {

namespace {

using Kind = Symbol::Kind;

class Checker {
 public:
  explicit Checker(Grammar& g) : g_(g) {}

  Status run() {
    spread(ends_, false);
    if (!ends_[g_.root]) return Error{Errc::BadInput, "no text of the rule \"root\" ever ends", ""};
    for (auto& alternatives : g_.rules)
      alternatives.erase(std::remove_if(alternatives.begin(), alternatives.end(),
                                        [&](std::uint32_t at) { return !holds(ends_, at, false); }),
                         alternatives.end());
    spread(empty_, true);
    return left_recursion();
  }

 private:
  // Whether all symbols of an alternative are sets or rules that are in `known`.
  bool holds(const std::vector<bool>& known, std::uint32_t at, bool empty) const {
    for (; g_.symbols[at].kind != Kind::End; ++at) {
      const Symbol s = g_.symbols[at];
      if (s.kind == Kind::Rule ? !known[s.number] : (empty || g_.sets[s.number].empty()))
        return false;
    }
    return true;
  }

  // `known`: the rules that have an alternative of which all symbols are known.
  void spread(std::vector<bool>& known, bool empty) const {
    known.assign(g_.rules.size(), false);
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t r = g_.rules.size(); r-- > 0;) {
        if (known[r]) continue;
        for (const std::uint32_t at : g_.rules[r])
          if (holds(known, at, empty)) known[r] = changed = true;
      }
    }
  }

  // Depth first over "begins with", without recursion.
  Status left_recursion() const {
    enum : std::uint8_t { kNew, kOpen, kDone };
    std::vector<std::uint8_t> state(g_.rules.size(), kNew);
    struct Visit {
      std::uint32_t rule;
      std::vector<std::uint32_t> first;  // rules it can begin with
    };
    for (std::uint32_t start = 0; start < g_.rules.size(); ++start) {
      if (state[start] != kNew) continue;
      std::vector<Visit> path = {{start, firsts(start)}};
      state[start] = kOpen;
      while (!path.empty()) {
        if (path.back().first.empty()) {
          state[path.back().rule] = kDone;
          path.pop_back();
          continue;
        }
        const std::uint32_t next = path.back().first.back();
        path.back().first.pop_back();
        if (state[next] == kDone) continue;
        if (state[next] == kOpen) {
          std::string name = g_.names[next];
          for (std::size_t i = path.size(); name.empty() && i-- > 0;) name = g_.names[path[i].rule];
          return Error{Errc::BadInput,
                       fmt::format("the rule \"{}\" is left-recursive: it can begin with itself; "
                                   "write it as a repetition",
                                   name),
                       ""};
        }
        state[next] = kOpen;
        path.push_back({next, firsts(next)});
      }
    }
    return Ok{};
  }

  std::vector<std::uint32_t> firsts(std::uint32_t rule) const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t at : g_.rules[rule])
      for (; g_.symbols[at].kind == Kind::Rule; ++at) {
        out.push_back(g_.symbols[at].number);
        if (!empty_[g_.symbols[at].number]) break;
      }
    return out;
  }

  Grammar& g_;
  std::vector<bool> ends_, empty_;
};

}  // namespace

Status check(Grammar& grammar) {
  return Checker(grammar).run();
}

}  // namespace bezel::grammar
