#include "text/constrain/masker.h"

#include <algorithm>

namespace bezel::constrain {

namespace {

constexpr std::size_t kMaxMasks = 1024;  // 32 MB at 262,144 ids

}  // namespace

Masker::Masker(std::shared_ptr<const Vocabulary> vocabulary, LanguagePtr language,
               std::vector<TokenId> ends)
    : vocabulary_(std::move(vocabulary)), ends_(std::move(ends)), walk_(std::move(language)) {}

std::shared_ptr<const Words> Masker::mask() {
  if (masked_ != &walk_.automaton()) {
    masked_ = &walk_.automaton();
    masks_.clear();
  }
  const Automaton::State state = walk_.state();
  auto& known = masks_[state];
  if (known == nullptr) {
    auto words = made(state);
    if (masks_.size() > kMaxMasks) masks_.clear();
    return without_second_keys(masks_[state] = std::move(words));
  }
  return without_second_keys(known);
}

std::shared_ptr<const Words> Masker::made(Automaton::State state) {
  Automaton& automaton = walk_.automaton();
  const FreeText text = automaton.free_text(state);
  auto words = std::make_shared<Words>();
  if (text.kind != FreeText::Kind::None) {
    strings(state, text, *words);
  } else {
    words->resize(vocabulary_->words());
    vocabulary_->all().walk(automaton, state, [&](std::span<const Tree::Entry> entries) {
      for (const Tree::Entry& e : entries) set_bit(*words, e.id);
    });
  }
  for (const TokenId id : ends_)
    if (automaton.accepts(state)) set_bit(*words, id);
  return words;
}

// Inside a string where any characters may follow: the plain pieces are known beforehand.
void Masker::strings(Automaton::State state, const FreeText& text, Words& words) {
  Automaton& automaton = walk_.automaton();
  const bool endless =
      text.room < 0 || text.room >= static_cast<std::int64_t>(vocabulary_->longest());
  const std::size_t room = endless ? Vocabulary::kLongest : static_cast<std::size_t>(text.room);
  words = vocabulary_->plain(room);
  const auto add = [&](std::span<const Tree::Entry> entries) {
    for (const Tree::Entry& e : entries) set_bit(words, e.id);
  };
  if (text.kind == FreeText::Kind::Some && !endless) {
    vocabulary_->all().walk(automaton, state, add);
    return;
  }
  if (text.kind == FreeText::Kind::Some || !text.uniform) {
    vocabulary_->others().walk(automaton, state, add);
    return;
  }
  vocabulary_->pieces().walk(automaton, state, add);
  if (endless && text.wanted == 0) {
    vocabulary_->tails().walk(automaton, state, add);
    return;
  }
  // Near the least or greatest length it matters how many characters stand before the tail; once
  // enough do, and while there is room, it does not.
  Automaton::State at = state;
  for (std::size_t n = 0; n <= room && at != Automaton::kDead; ++n) {
    const bool same = endless && static_cast<std::int64_t>(n) >= text.wanted;
    vocabulary_->tails().walk(automaton, at, [&](std::span<const Tree::Entry> entries) {
      for (const Tree::Entry& e : entries)
        if (e.prefix == n || (same && e.prefix > n)) set_bit(words, e.id);
    });
    if (same) break;
    at = automaton.next(at, 'a');
  }
}

// No object gets a key twice: what would close one that is taken is left out.
std::shared_ptr<const Words> Masker::without_second_keys(std::shared_ptr<const Words> words) {
  const Walk::Keys keys = walk_.keys();
  if (keys.taken == nullptr) return words;
  std::shared_ptr<Words> fewer;
  const auto leave_out = [&](TokenId id) {
    if (!has_bit(fewer == nullptr ? *words : *fewer, id)) return;
    if (fewer == nullptr) fewer = std::make_shared<Words>(*words);
    (*fewer)[static_cast<std::size_t>(id) / 64] &= ~(std::uint64_t{1} << (id % 64));
  };
  if (keys.open && !keys.broken) {
    for (const std::string& key : *keys.taken) {
      if (key.compare(0, keys.begun.size(), keys.begun) != 0) continue;
      std::string rest = key.substr(keys.begun.size());
      rest.push_back('"');
      for (const Tree::Entry& e : vocabulary_->all().below(rest)) leave_out(e.id);
    }
  }
  // pieces that begin and end a string, or end one after an escape: tried out one by one
  for (const TokenId id : vocabulary_->quoting()) {
    if (!has_bit(*words, id)) continue;
    Walk trial = walk_;
    const std::string_view bytes = vocabulary_->bytes_of(id);
    if (trial.push(bytes) != bytes.size()) leave_out(id);
  }
  if (fewer == nullptr) return words;
  return fewer;
}

bool Masker::accept(TokenId id) {
  if (std::find(ends_.begin(), ends_.end(), id) != ends_.end()) return walk_.can_end();
  if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_->size()) return false;
  const std::string_view bytes = vocabulary_->bytes_of(id);
  if (bytes.empty()) return false;
  Walk further = walk_;
  if (further.push(bytes) != bytes.size()) return false;
  walk_ = std::move(further);
  return true;
}

}  // namespace bezel::constrain
