#include "text/schema/machine/machine.h"

#include <algorithm>
#include <string_view>

#include "text/schema/number.h"

namespace bezel::schema {

namespace {

constexpr std::uint8_t kMaxIndent = 64;
enum ListPhase : std::uint8_t { kListOpen, kListAfter, kListComma };
constexpr const char* kWords[] = {"null", "true", "false"};

}  // namespace

Machine::Machine(std::shared_ptr<const Program> program, Surface surface)
    : program_(std::move(program)),
      json_(surface == Surface::Json),
      quote_(json_ ? std::uint8_t{'"'} : kQuoteMark) {
  frames_.emplace_back();  // no thread has number 0
  blob("");                // nor has any text but the empty one
}

Automaton::Thread Machine::thread_of(const Frame& f) {
  std::uint64_t h = 0x9E3779B97F4A7C15ULL;
  const auto mix = [&](std::uint64_t x) {
    h = (h ^ x) * 0xBF58476D1CE4E5B9ULL;
    h ^= h >> 31U;
  };
  mix(std::uint64_t{f.parent} << 32U | std::uint64_t{f.kind} << 24U |
      std::uint64_t{f.phase} << 16U | std::uint64_t{f.hits} << 8U | f.space);
  mix(std::uint64_t{f.shape} << 32U | f.a);
  mix(std::uint64_t{f.b} << 32U | f.c);
  mix(f.d);
  const auto [begin, end] = known_.equal_range(h);
  for (auto at = begin; at != end; ++at)
    if (frames_[at->second] == f) return at->second;
  const auto t = static_cast<Thread>(frames_.size());
  frames_.push_back(f);
  known_.emplace(h, t);
  return t;
}

std::uint32_t Machine::blob(const std::string& bytes) {
  const auto [at, fresh] = blob_ids_.try_emplace(bytes, static_cast<std::uint32_t>(blobs_.size()));
  if (fresh) blobs_.push_back(&at->first);
  return at->second;
}

Automaton::Thread Machine::first() {
  Frame root;
  root.kind = kRoot;
  return thread_of(root);
}

void Machine::step(Thread thread, std::uint8_t byte, Out& out) {
  const Frame f = frame(thread);  // a copy: new frames move the others
  switch (f.kind) {
    case kRoot:
      if (f.phase == 0) {
        Frame done = f;
        done.phase = 1;
        begin(done, program_->root(), byte, out);
      }
      break;
    case kLiteral:
      literal(f, byte, out);
      break;
    case kNumberText:
      number(f, byte, out);
      break;
    case kText:
      text(f, byte, out);
      break;
    case kKey:
      key(f, byte, out);
      break;
    case kList:
      list(f, byte, out);
      break;
    default:
      map(f, byte, out);
      break;
  }
}

// Inside texts and keys anything; elsewhere what JSON is made of.
Automaton::Bytes Machine::may_of(Thread thread) const {
  static const Bytes structure = [] {
    Bytes bytes{};
    for (const char c : std::string_view(" \n\t\",:[]{}+-.0123456789eEnulltruefalse")) {
      const auto b = static_cast<std::uint8_t>(c);
      bytes[b >> 6U] |= std::uint64_t{1} << (b & 63U);
    }
    bytes[kQuoteMark >> 6U] |= std::uint64_t{1} << (kQuoteMark & 63U);
    return bytes;
  }();
  const Frame& f = frame(thread);
  if (f.b == 0 && (f.kind == kText || f.kind == kKey)) return may_of_text(f);
  return f.kind == kText || f.kind == kKey || (f.kind == kMap && !json_) ? kAllBytes : structure;
}

// Between characters of a text or a key: what its automaton or the names go on with, the end, and
// in JSON an escape.
Automaton::Bytes Machine::may_of_text(const Frame& f) const {
  Bytes bytes{};
  const auto add = [&](std::uint32_t lo, std::uint32_t hi) {
    for (std::uint32_t c = lo; c <= std::min(hi, 0x7FU); ++c)
      set_byte(bytes, static_cast<std::uint8_t>(c));
    if (hi > 0x7F) bytes[2] = bytes[3] = ~0ULL;
  };
  set_byte(bytes, f.kind == kText || json_ ? quote_ : std::uint8_t{':'});
  if (json_) set_byte(bytes, '\\');
  if (f.kind == kText) {
    const StringShape& s = program_->string(static_cast<int>(f.shape));
    if (s.plain) return kAllBytes;
    for (const CodeEdge& e : s.dfa.states[f.a].edges) add(e.lo, e.hi);
    return bytes;
  }
  const ObjectShape& o = program_->object(static_cast<int>(f.shape));
  if (f.a != kNoNode)
    for (const auto& [c, node] : o.tree[f.a].next) add(c, c);
  if (f.c != Dfa::kDead)
    for (const CodeEdge& e : o.others.states[f.c].edges) add(e.lo, e.hi);
  return bytes;
}

bool Machine::accepting(Thread thread) const {
  const Frame& f = frame(thread);
  if (f.kind == kRoot) return f.phase == 1;
  return f.kind == kNumberText && frame(f.parent).kind == kRoot && number_ends(f);
}

// The first byte of a value; `parent` is what goes on behind it.
void Machine::begin(const Frame& parent, int goal, std::uint8_t byte, Out& out) {
  const GoalShape& g = program_->goal(goal);
  if (g.height == kNever || static_cast<int>(parent.depth) + g.height > kMaxDepth) return;
  for (const Case& c : g.cases) begin_case(parent, c, byte, out);
}

void Machine::begin_case(const Frame& parent, const Case& c, std::uint8_t byte, Out& out) {
  Frame f;
  f.depth = parent.depth + 1;
  const bool unique = unique_parent(parent);
  for (std::uint8_t i = 0; i < 3; ++i) {
    if (byte != static_cast<std::uint8_t>(kWords[i][0]) || (c.kinds >> i & 1U) == 0) continue;
    const std::string used = unique ? bytes_of(parent.c) : "";
    if (used.find(std::string(1, kWords[i][0]) + '\n') == 0 ||
        used.find('\n' + std::string(1, kWords[i][0]) + '\n') != std::string::npos)
      continue;
    f.kind = kLiteral;
    f.shape = i;
    f.a = 1;
    f.parent = thread_of(parent);
    out.push_back(thread_of(f));
  }
  if (byte == quote_ && c.string >= 0) {
    f.kind = kText;
    f.shape = static_cast<std::uint32_t>(c.string);
    f.parent = thread_of(parent);
    f.d = unique ? 1 : 0;  // the text is still the beginning of one that was used
    if (text_live(program_->string(c.string), 0, f)) out.push_back(thread_of(f));
  } else if (const auto phase = next_phase(Phase::Start, byte); phase && c.number >= 0) {
    Frame start = f;
    start.kind = kNumberText;
    start.shape = static_cast<std::uint32_t>(c.number);
    start.phase = static_cast<std::uint8_t>(Phase::Start);
    start.parent = thread_of(parent);
    number(start, byte, out);
  } else if ((byte == '[' && c.array >= 0) || (byte == '{' && c.object >= 0)) {
    if (f.depth > static_cast<std::uint32_t>(kMaxDepth)) return;
    f.parent = thread_of(parent);
    f.kind = byte == '[' ? kList : kMap;
    f.shape = static_cast<std::uint32_t>(byte == '[' ? c.array : c.object);
    if (byte == '[') {
      const std::size_t duties = program_->array(c.array).duties.size();
      f.b = blob_of(Hits(duties, 0));
    } else {
      f.a =
          blob_of(std::vector<std::uint64_t>((program_->object(c.object).names.size() + 63) / 64));
    }
    out.push_back(thread_of(f));
  }
}

bool Machine::unique_parent(const Frame& f) const {
  return f.kind == kList && program_->array(static_cast<int>(f.shape)).unique;
}

void Machine::finish(Thread parent, const std::string& value, Out& out) {
  Frame f = frame(parent);
  if (unique_parent(f) && !value.empty()) {
    std::string used = bytes_of(f.c);
    used += value;
    used.push_back('\n');
    f.c = blob(used);
    parent = thread_of(f);
  }
  out.push_back(parent);
}

void Machine::literal(const Frame& f, std::uint8_t byte, Out& out) {
  const char* word = kWords[f.shape];
  if (static_cast<std::uint8_t>(word[f.a]) != byte) return;
  Frame g = f;
  ++g.a;
  if (word[g.a] != 0)
    out.push_back(thread_of(g));
  else
    finish(f.parent, std::string(1, word[0]), out);
}

// One byte of white space, where some may stand. `breaks`: a line break may.
bool Machine::space(const Frame& f, std::uint8_t byte, bool breaks, Out& out) {
  const bool is_break = byte == '\n';
  if (!is_break && byte != ' ' && byte != '\t') return false;
  Frame g = f;
  if (!json_) return true;
  if (is_break) {
    if (f.space != 0 || !breaks) return true;
    g.space = 2;
  } else if (f.space == 0) {
    if (byte != ' ') return true;
    g.space = 1;
  } else {
    if (f.space == 1 || f.space >= 2 + kMaxIndent) return true;
    ++g.space;
  }
  out.push_back(thread_of(g));
  return true;
}

// ---- arrays

bool Machine::list_closes(const Frame& f) const {
  const ArrayShape& a = program_->array(static_cast<int>(f.shape));
  if (f.a < static_cast<std::uint64_t>(a.min)) return false;
  const Hits hits = vector_of<std::uint32_t>(f.b);
  for (std::size_t j = 0; j < a.duties.size(); ++j)
    if (hits[j] < static_cast<std::uint64_t>(a.duties[j].min)) return false;
  return true;
}

// The states of the array behind its next item, each with the goal of that item.
std::vector<Frame> Machine::list_options(const Frame& f, std::vector<int>& goals) const {
  std::vector<Frame> out;
  const ArrayShape& a = program_->array(static_cast<int>(f.shape));
  if (a.max >= 0 && f.a >= static_cast<std::uint64_t>(a.max)) return out;
  const Hits hits = vector_of<std::uint32_t>(f.b);
  for (const Option& o : a.slot(f.a)) {
    if (static_cast<int>(f.depth) + program_->height(o.goal) > kMaxDepth) continue;
    Hits now = hits;
    bool useful = true;
    for (std::size_t j = 0; j < a.duties.size(); ++j) {
      if ((o.hits >> j & 1U) == 0) continue;
      const std::int64_t limit = a.duties[j].max < 0 ? a.duties[j].min : a.duties[j].max;
      useful = useful && static_cast<std::int64_t>(hits[j]) < limit;
      ++now[j];
    }
    const std::size_t count = std::min<std::size_t>(f.a + 1, a.cap);
    if (!useful || !program_->array_can_end(a, count, now)) continue;
    if (a.unique && !value_left(o.goal, bytes_of(f.c))) continue;
    Frame g = f;
    g.phase = kListAfter;
    g.space = 0;
    g.a = static_cast<std::uint32_t>(count);
    g.b = const_cast<Machine*>(this)->blob_of(now);
    out.push_back(g);
    goals.push_back(o.goal);
  }
  return out;
}

void Machine::list(const Frame& f, std::uint8_t byte, Out& out) {
  if (f.phase == kListAfter && f.space == 0 && byte == ',') {
    std::vector<int> goals;
    if (list_options(f, goals).empty()) return;
    Frame g = f;
    g.phase = kListComma;
    out.push_back(thread_of(g));
    return;
  }
  if (byte == ']') {
    if (f.phase != kListComma && list_closes(f)) finish(f.parent, "", out);
    return;
  }
  if (f.phase == kListAfter && !list_closes(f)) return;  // no space before a comma
  if (space(f, byte, true, out) || f.phase == kListAfter) return;
  std::vector<int> goals;
  const std::vector<Frame> options = list_options(f, goals);
  for (std::size_t i = 0; i < options.size(); ++i) begin(options[i], goals[i], byte, out);
}

}  // namespace bezel::schema
