#include "text/automaton/regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "text/automaton/syntax.h"

namespace bezel {

namespace {

using regex::Node;
using Set = std::vector<std::uint32_t>;

constexpr std::size_t kMaxSteps = 100000;

// A nondeterministic automaton; a step is one thing to do and where to go on.
struct Step {
  enum class Kind { Code, Split, Start, End, Accept };
  Kind kind = Kind::Accept;
  regex::Ranges set;
  std::vector<std::uint32_t> next;
};

class Builder {
 public:
  // The steps of a tree, whose last goes on at `after`. Gives the first; built from the back.
  Result<std::uint32_t> build(const Node& node, std::uint32_t after) {
    if (steps.size() > kMaxSteps)
      return Error{Errc::TooLarge, "the pattern is too large when its repetitions are written out",
                   ""};
    switch (node.kind) {
      case Node::Kind::Empty:
        return after;
      case Node::Kind::Set:
        return add({Step::Kind::Code, node.set, {after}});
      case Node::Kind::Start:
        return add({Step::Kind::Start, {}, {after}});
      case Node::Kind::End:
        return add({Step::Kind::End, {}, {after}});
      case Node::Kind::Repeat:
        return repeat(node, after);
      case Node::Kind::Sequence:
        for (std::size_t i = node.parts.size(); i-- > 0;) {
          BEZEL_TRY(after, build(node.parts[i], after));
        }
        return after;
      case Node::Kind::Either:
        break;
    }
    Step split{Step::Kind::Split, {}, {}};
    for (const Node& part : node.parts) {
      BEZEL_TRY(const std::uint32_t first, build(part, after));
      split.next.push_back(first);
    }
    return add(std::move(split));
  }

  std::uint32_t add(Step step) {
    steps.push_back(std::move(step));
    return static_cast<std::uint32_t>(steps.size() - 1);
  }
  std::vector<Step> steps;

 private:
  Result<std::uint32_t> repeat(const Node& node, std::uint32_t after) {
    const Node& part = node.parts[0];
    if (node.max < 0) {
      const std::uint32_t loop = add({Step::Kind::Split, {}, {after}});
      BEZEL_TRY(const std::uint32_t first, build(part, loop));
      steps[loop].next.push_back(first);
      after = loop;
    }
    const std::uint32_t exit = after;
    for (int i = node.max; i > node.min; --i) {
      BEZEL_TRY(const std::uint32_t first, build(part, after));
      after = add({Step::Kind::Split, {}, {first, exit}});
    }
    for (int i = 0; i < node.min; ++i) {
      const std::size_t before = steps.size();
      BEZEL_TRY(after, build(part, after));
      if (steps.size() == before) break;  // nothing, however often
    }
    return after;
  }
};

class Determiner {
 public:
  explicit Determiner(const std::vector<Step>& steps) : steps_(steps), mark_(steps.size()) {}

  Result<Dfa> run(std::uint32_t first) {
    number_of(close({first}, true, false));
    for (std::size_t i = 0; i < todo_.size(); ++i) {
      work_ += todo_[i].size();
      if (todo_.size() > kMaxDfaStates || work_ > kMaxWork)
        return Error{Errc::TooLarge,
                     fmt::format("the pattern needs more than {} states", kMaxDfaStates), ""};
      expand(static_cast<std::uint32_t>(i));
    }
    trim(out_);
    return std::move(out_);
  }

 private:
  static constexpr std::size_t kMaxWork = 4000000;

  // All that can be reached without reading; `Split` steps are not kept.
  Set close(Set todo, bool at_start, bool at_end) {
    ++round_;
    Set reached;
    while (!todo.empty()) {
      const std::uint32_t at = todo.back();
      todo.pop_back();
      if (mark_[at] == round_) continue;
      mark_[at] = round_;
      const Step& s = steps_[at];
      const bool through = s.kind == Step::Kind::Split ||
                           (s.kind == Step::Kind::Start && at_start) ||
                           (s.kind == Step::Kind::End && at_end);
      if (through) todo.insert(todo.end(), s.next.begin(), s.next.end());
      if (s.kind == Step::Kind::Code || s.kind == Step::Kind::End || s.kind == Step::Kind::Accept)
        reached.push_back(at);
    }
    std::sort(reached.begin(), reached.end());
    return reached;
  }

  std::uint32_t number_of(Set set) {
    const auto [at, fresh] =
        numbers_.try_emplace(std::move(set), static_cast<std::uint32_t>(todo_.size()));
    if (fresh) {
      todo_.push_back(at->first);
      const Set ends = close(at->first, todo_.size() == 1, true);
      const bool accept = std::any_of(ends.begin(), ends.end(), [&](std::uint32_t s) {
        return steps_[s].kind == Step::Kind::Accept;
      });
      out_.states.push_back({{}, accept ? 1U : 0U});
    }
    return at->second;
  }

  void expand(std::uint32_t from) {
    const Set set = todo_[from];
    std::vector<std::uint32_t> cuts;
    for (const std::uint32_t s : set) {
      for (const auto& [lo, hi] : steps_[s].set) {
        cuts.push_back(lo);
        cuts.push_back(hi + 1);
      }
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      Set next;
      for (const std::uint32_t s : set) {
        const auto& ranges = steps_[s].set;
        const auto at =
            std::upper_bound(ranges.begin(), ranges.end(), cuts[k],
                             [](std::uint32_t c, const auto& range) { return c < range.first; });
        if (at != ranges.begin() && cuts[k] <= std::prev(at)->second)
          next.push_back(steps_[s].next[0]);
      }
      if (next.empty()) continue;
      work_ += next.size();
      const std::uint32_t to = number_of(close(std::move(next), false, false));
      auto& edges = out_.states[from].edges;
      if (!edges.empty() && edges.back().to == to && edges.back().hi + 1 == cuts[k])
        edges.back().hi = cuts[k + 1] - 1;
      else
        edges.push_back({cuts[k], cuts[k + 1] - 1, to});
    }
  }

  const std::vector<Step>& steps_;
  std::vector<std::uint32_t> mark_;
  std::uint32_t round_ = 0;
  std::map<Set, std::uint32_t> numbers_;
  std::vector<Set> todo_;
  std::size_t work_ = 0;
  Dfa out_;
};

}  // namespace

Result<Dfa> dfa_of_regex(std::string_view pattern, bool whole) {
  if (pattern.size() > kMaxPatternBytes)
    return Error{
        Errc::TooLarge,
        fmt::format("the pattern has {} bytes, the limit is {}", pattern.size(), kMaxPatternBytes),
        ""};
  BEZEL_TRY(const Node tree, regex::parse(pattern));
  Builder builder;
  const std::uint32_t accept = builder.add({Step::Kind::Accept, {}, {}});
  const regex::Ranges any = {{0, kLastCode}};
  std::uint32_t last = accept;
  if (!whole) {
    last = builder.add({Step::Kind::Split, {}, {accept}});
    const std::uint32_t loop = builder.add({Step::Kind::Code, any, {last}});
    builder.steps[last].next.push_back(loop);
  }
  BEZEL_TRY(std::uint32_t first, builder.build(tree, last));
  if (!whole) {
    const std::uint32_t start = builder.add({Step::Kind::Split, {}, {first}});
    const std::uint32_t loop = builder.add({Step::Kind::Code, any, {start}});
    builder.steps[start].next.push_back(loop);
    first = start;
  }
  return Determiner(builder.steps).run(first);
}

}  // namespace bezel
