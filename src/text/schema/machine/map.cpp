// Objects and their keys.
#include <algorithm>
#include <cstring>

#include "text/schema/machine/machine.h"

namespace bezel::schema {

namespace {

enum MapPhase : std::uint8_t { kMapOpen, kMapKey, kMapColon, kMapAfter, kMapComma };

bool seen_in(const std::string& bits, std::uint32_t name) {
  std::uint64_t word = 0;
  std::memcpy(&word, bits.data() + name / 64 * 8, 8);
  return (word >> (name % 64) & 1U) != 0;
}

}  // namespace

bool Machine::map_closes(const Frame& f) const {
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  if (f.b < static_cast<std::uint64_t>(o.min) || (f.hits & o.duties) != o.duties) return false;
  const std::string& seen = bytes_of(f.a);
  for (std::uint32_t i = 0; i < o.names.size(); ++i)
    if (o.required[i] && !seen_in(seen, i)) return false;
  return true;
}

// Whether a key that is not required still has room.
bool Machine::spare(const Frame& f) const {
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  if (o.max < 0) return true;
  std::int64_t missing = 0;
  const std::string& seen = bytes_of(f.a);
  for (std::uint32_t i = 0; i < o.names.size(); ++i)
    missing += o.required[i] && !seen_in(seen, i) ? 1 : 0;
  return static_cast<std::int64_t>(f.b) + missing < o.max;
}

bool Machine::name_may_come(const Frame& f, std::uint32_t name) const {
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  if (o.named[name].empty() || seen_in(bytes_of(f.a), name)) return false;
  if (slot_too_deep(o.named[name], f)) return false;
  return o.required[name] || spare(f);
}

bool Machine::slot_too_deep(const Slot& slot, const Frame& f) const {
  return std::all_of(slot.begin(), slot.end(), [&](const Option& o) {
    return static_cast<int>(f.depth) + program_->height(o.goal) > kMaxDepth;
  });
}

// Whether a key can still come that goes through this node of the tree of names, or through this
// state of the automaton of the others.
bool Machine::key_live(const Frame& f, std::uint32_t node, std::uint32_t state) const {
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  std::uint32_t lo = 0, hi = 0;
  if (node != kNoNode) lo = o.tree[node].lo, hi = o.tree[node].hi;
  for (std::uint32_t i = lo; i < hi; ++i)
    if (name_may_come(f, i)) return true;
  if (state == Dfa::kDead || o.others.states.empty() || !spare(f)) return false;
  if (o.counts[state] > hi - lo) return true;
  std::uint64_t names = 0;
  for (std::uint32_t i = lo; i < hi; ++i) names += o.others.accepts(o.names[i]) ? 1 : 0;
  return o.counts[state] > names;
}

bool Machine::key_live_in(const Frame& object, const Frame& f, const Decoded& d) const {
  const ObjectShape& o = program_->object(static_cast<int>(object.shape));
  for (int r = 0; r < 2; ++r) {
    if (d.lo[r] > d.hi[r]) continue;
    std::uint64_t named = 0;  // code points of the range that lead to names
    if (f.a != kNoNode) {
      for (const auto& [c, node] : o.tree[f.a].next) {
        if (c < d.lo[r] || c > d.hi[r]) continue;
        ++named;
        const std::uint32_t to = f.c == Dfa::kDead ? Dfa::kDead : o.others.step(f.c, c);
        if (key_live(object, node, to)) return true;
      }
    }
    if (f.c == Dfa::kDead) continue;
    std::uint64_t others = 0;
    for (const CodeEdge& e : o.others.states[f.c].edges)
      if (e.lo <= d.hi[r] && e.hi >= d.lo[r])
        others += std::min(e.hi, d.hi[r]) - std::max(e.lo, d.lo[r]) + 1;
    if (others > named && spare(object)) return true;
  }
  return false;
}

bool Machine::knows_key_of(Thread thread) const {
  const Frame& f = frame(thread);
  return f.kind == kKey && f.a != kNoNode &&
         program_->object(static_cast<int>(f.shape)).tree[f.a].name >= 0;
}

void Machine::begin_key(const Frame& f, std::uint8_t byte, Out& out) {
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  Frame k;
  k.kind = kKey;
  k.shape = f.shape;
  k.depth = f.depth;
  k.a = 0;
  k.c = o.others.states.empty() || !spare(f) ? Dfa::kDead : 0;
  if (!key_live(f, k.a, k.c)) return;
  Frame object = f;
  object.space = 0;
  object.phase = kMapKey;
  k.parent = thread_of(object);
  if (json_) {
    if (byte == '"') out.push_back(thread_of(k));
  } else {
    key(k, byte, out);
  }
}

void Machine::key(const Frame& f, std::uint8_t byte, Out& out) {
  const Frame object = frame(f.parent);
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  const bool bare_end = byte == '}' || byte == ',' || byte < 0x20 || byte >= 0xF8;
  if (!json_ && bare_end) return;
  const Decoded d = decode(f.b, byte, json_, json_ ? '"' : ':');
  Frame g = f;
  switch (d.kind) {
    case Decoded::Kind::Wrong:
      return;
    case Decoded::Kind::Close:
      key_ends(f, out);
      return;
    case Decoded::Kind::Partial:
      g.b = d.decoder;
      if (key_live_in(object, f, d)) out.push_back(thread_of(g));
      return;
    case Decoded::Kind::Code:
      break;
  }
  g.b = 0;
  g.a = kNoNode;
  if (f.a != kNoNode) {
    const auto& next = o.tree[f.a].next;
    const auto at = std::lower_bound(next.begin(), next.end(), std::make_pair(d.code, 0U));
    if (at != next.end() && at->first == d.code) g.a = at->second;
  }
  if (f.c != Dfa::kDead) g.c = o.others.step(f.c, d.code);
  if (key_live(object, g.a, g.c)) out.push_back(thread_of(g));
}

void Machine::key_ends(const Frame& f, Out& out) {
  Frame object = frame(f.parent);
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  const int name = f.a == kNoNode ? -1 : o.tree[f.a].name;
  const Slot* slot = nullptr;
  std::vector<std::uint64_t> seen = vector_of<std::uint64_t>(object.a);
  if (name >= 0) {
    const auto n = static_cast<std::uint32_t>(name);
    if (!name_may_come(object, n)) return;
    slot = &o.named[n];
    seen[n / 64] |= std::uint64_t{1} << (n % 64);
    object.a = blob_of(seen);
  } else {
    if (f.c == Dfa::kDead || o.others.states[f.c].accept == 0 || !spare(object)) return;
    slot = &o.labels[o.others.states[f.c].accept - 1];
  }
  object.phase = json_ ? kMapKey : kMapColon;
  if (o.cap > 0) object.b = static_cast<std::uint32_t>(std::min<std::int64_t>(object.b + 1, o.cap));
  for (const Option& option : *slot) {
    if ((option.hits & object.hits) != 0) continue;  // that is done
    if (static_cast<int>(object.depth) + program_->height(option.goal) > kMaxDepth) continue;
    Frame g = object;
    g.hits = static_cast<std::uint8_t>(g.hits | option.hits);
    g.c = static_cast<std::uint32_t>(option.goal);
    if (program_->object_can_end(o, seen, g.b, g.hits)) out.push_back(thread_of(g));
  }
}

void Machine::map(const Frame& f, std::uint8_t byte, Out& out) {
  Frame g = f;
  switch (f.phase) {
    case kMapKey:
      if (byte != ':') return;
      g.phase = kMapColon;
      out.push_back(thread_of(g));
      return;
    case kMapColon:
      if (space(f, byte, false, out)) return;
      g.phase = kMapAfter;
      g.c = 0;
      g.space = 0;
      begin(g, static_cast<int>(f.c), byte, out);
      return;
    case kMapAfter:
      if (byte == ',' && f.space == 0 &&
          key_live(
              f, 0,
              program_->object(static_cast<int>(f.shape)).others.states.empty() ? Dfa::kDead : 0)) {
        g.phase = kMapComma;
        out.push_back(thread_of(g));
      } else if (map_closes(f)) {
        if (byte == '}')
          finish(f.parent, "", out);
        else
          space(f, byte, true, out);
      }
      return;
    default:
      break;
  }
  if (f.phase == kMapOpen && byte == '}') {
    if (map_closes(f)) finish(f.parent, "", out);
  } else if (!space(f, byte, true, out) && (byte == '"' || !json_)) {
    begin_key(f, byte, out);
  }
}

}  // namespace bezel::schema
