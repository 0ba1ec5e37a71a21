// Which goals have values at all, and which states of arrays and objects can be brought to an end.
#include <algorithm>
#include <bit>

#include "text/schema/number.h"
#include "text/schema/program.h"

namespace bezel::schema {

int Program::slot_height(const Slot& slot, std::uint32_t hits) const {
  int best = kNever;
  for (const Option& o : slot)
    if ((o.hits & hits) == hits) best = std::min(best, height(o.goal));
  return best;
}

int Program::array_height(const ArrayShape& a) const {
  if (!array_can_end(a, 0, std::vector<std::uint32_t>(a.duties.size(), 0))) return kNever;
  int h = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(a.min) && i <= a.slots.size(); ++i)
    h = std::max(h, slot_height(a.slot(i), 0));
  for (std::size_t j = 0; j < a.duties.size(); ++j) {
    if (a.duties[j].min == 0) continue;
    int best = kNever;
    for (const Slot& s : a.slots) best = std::min(best, slot_height(s, 1U << j));
    h = std::max(h, best);
  }
  return h;
}

bool Program::array_can_end(const ArrayShape& a, std::size_t count,
                            const std::vector<std::uint32_t>& hits) const {
  // the first item that cannot be
  std::size_t end = a.max < 0 ? SIZE_MAX : static_cast<std::size_t>(a.max);
  for (std::size_t i = count; i < std::max(a.slots.size(), count + 1) && i < end; ++i)
    if (slot_height(a.slot(i), 0) == kNever) end = i;
  if (end < static_cast<std::size_t>(a.min)) return false;
  for (std::size_t j = 0; j < a.duties.size(); ++j) {
    const Duty& d = a.duties[j];
    std::int64_t open = d.min - static_cast<std::int64_t>(hits[j]);
    std::int64_t spare = d.max < 0 ? 0 : d.max - static_cast<std::int64_t>(hits[j]);
    const std::size_t last = a.slots.size() - 1;
    for (std::size_t i = count; i < end && (open > 0 || i < static_cast<std::size_t>(a.min)); ++i) {
      const std::int64_t times =
          i < last ? 1 : static_cast<std::int64_t>(std::min<std::size_t>(end - i, SIZE_MAX / 2));
      if (slot_height(a.slot(i), 1U << j) != kNever) open -= times;
      const bool can_miss = std::any_of(a.slot(i).begin(), a.slot(i).end(), [&](const Option& o) {
        return (o.hits >> j & 1U) == 0 && height(o.goal) != kNever;
      });
      if (d.max >= 0 && !can_miss && i < static_cast<std::size_t>(a.min))
        spare -= i < last ? 1 : a.min - static_cast<std::int64_t>(i);
      if (i >= last) break;
    }
    if (open > 0 || spare < 0) return false;
  }
  return true;
}

int Program::object_height(const ObjectShape& o) const {
  if (!object_can_end(o, std::vector<std::uint64_t>((o.names.size() + 63) / 64, 0), 0, 0))
    return kNever;
  int h = 0;
  for (std::size_t i = 0; i < o.names.size(); ++i)
    if (o.required[i]) h = std::max(h, slot_height(o.named[i], 0));
  std::vector<int> rest;
  const auto best_of = [&](std::uint32_t bits) {
    int best = kNever;
    for (const Slot& s : o.named) best = std::min(best, slot_height(s, bits));
    for (const Slot& s : o.labels)
      if (!o.others.states.empty()) best = std::min(best, slot_height(s, bits));
    return best;
  };
  for (std::uint32_t bit = 1; bit <= o.duties; bit <<= 1U) h = std::max(h, best_of(bit));
  if (o.min > 0) h = std::max(h, best_of(0));
  return h;
}

bool Program::object_can_end(const ObjectShape& o, const std::vector<std::uint64_t>& seen,
                             std::int64_t count, std::uint32_t hits) const {
  std::int64_t missing = 0, free_names = 0;
  std::uint32_t reachable = hits;
  bool others = false;
  for (std::size_t i = 0; i < o.names.size(); ++i) {
    if ((seen[i / 64] >> (i % 64) & 1U) != 0) continue;
    bool can = false;
    for (const Option& option : o.named[i])
      if (height(option.goal) != kNever) can = true, reachable |= option.hits;
    if (o.required[i]) {
      if (!can) return false;
      ++missing;
    }
    free_names += can ? 1 : 0;
  }
  if (!o.others.states.empty())
    for (const Slot& label : o.labels)
      for (const Option& option : label)
        if (height(option.goal) != kNever) others = true, reachable |= option.hits;
  if (o.max >= 0 && count + missing > o.max) return false;
  if (!others && count + free_names < o.min) return false;
  return (reachable & o.duties) == o.duties;
}

int Program::height_of(const Case& c) const {
  int h = kNever;
  if (c.kinds != 0 || c.number >= 0 || c.string >= 0) return 0;
  if (c.array >= 0) h = std::min(h, array_height(array(c.array)));
  if (c.object >= 0) h = std::min(h, object_height(object(c.object)));
  return h == kNever ? kNever : h + 1;
}

void Program::solve() {
  for (GoalShape& g : goals_) g.height = kNever;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = goals_.size(); i-- > 0;) {  // what is inside comes later in the list
      int h = kNever;
      for (const Case& c : goals_[i].cases) h = std::min(h, height_of(c));
      if (h < goals_[i].height) goals_[i].height = h, changed = true;
    }
  }
}

void Program::drop_dead(Slot& slot) const {
  slot.erase(std::remove_if(slot.begin(), slot.end(),
                            [&](const Option& o) { return height(o.goal) == kNever; }),
             slot.end());
}

// Takes away what leads nowhere.
Status Program::finish() {
  for (ArrayShape& a : arrays_)
    for (Slot& s : a.slots) drop_dead(s);
  for (ObjectShape& o : objects_) {
    for (Slot& s : o.named) drop_dead(s);
    for (Slot& s : o.labels) drop_dead(s);
    for (Dfa::State& s : o.others.states)
      if (s.accept != 0 && o.labels[s.accept - 1].empty()) s.accept = 0;
    trim(o.others);
    o.counts = count_texts(o.others);
    o.free = free_states(o.others);
  }
  for (GoalShape& g : goals_) {
    for (Case& c : g.cases) {
      if (c.array >= 0 && array_height(array(c.array)) == kNever) c.array = -1;
      if (c.object >= 0 && object_height(object(c.object)) == kNever) c.object = -1;
    }
    g.cases.erase(std::remove_if(g.cases.begin(), g.cases.end(),
                                 [](const Case& c) {
                                   return c.kinds == 0 && c.number < 0 && c.string < 0 &&
                                          c.array < 0 && c.object < 0;
                                 }),
                  g.cases.end());
  }
  for (const ArrayShape& a : arrays_)
    if (a.unique) BEZEL_DO(finish_unique(a));
  return Ok{};
}

// Items of an array without equals are compared where they are scalars.
Status Program::finish_unique(const ArrayShape& a) const {
  const auto limit = static_cast<std::size_t>(std::clamp<std::int64_t>(a.min, 1, 1000));
  std::size_t finite = 0, fewest = SIZE_MAX;
  for (const Slot& slot : a.slots) {
    std::size_t values = 0;
    for (const Option& o : slot)
      for (const Case& c : goal(o.goal).cases) {
        if (c.array >= 0 || c.object >= 0)
          return Error{Errc::Unsupported,
                       "uniqueItems is enforced for numbers, texts, true, false and null only; "
                       "give the items a type",
                       "uniqueItems"};
        std::size_t here = static_cast<std::size_t>(std::popcount(c.kinds));
        if (c.number >= 0) here += count_numbers(number(c.number), limit);
        if (c.string >= 0) {
          const StringShape& s = string(c.string);
          here += s.plain ? (s.max == 0 ? 1 : limit)
                          : static_cast<std::size_t>(std::min<std::uint64_t>(s.counts[0], limit));
        }
        values = std::max(values, here);
      }
    if (slot.empty()) continue;
    finite += values < limit ? 1 : 0;
    fewest = std::min(fewest, values);
  }
  if (a.min > 0 && (finite > 0 || a.slots.size() > 1) && fewest < static_cast<std::size_t>(a.min))
    return Error{Errc::Unsupported,
                 "uniqueItems with minItems over so few values cannot be followed safely",
                 "uniqueItems"};
  return Ok{};
}

}  // namespace bezel::schema
