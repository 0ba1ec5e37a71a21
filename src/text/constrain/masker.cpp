#include "text/constrain/masker.h"

#include <algorithm>

namespace bezel::constrain {

namespace {

constexpr std::size_t kMaxMasks = 1024;  // 32 MB at 262,144 ids

}  // namespace

Masks::Masks(std::shared_ptr<const Vocabulary> vocabulary, LanguagePtr language,
             std::vector<TokenId> ends)
    : vocabulary_(std::move(vocabulary)),
      language_(std::move(language)),
      ends_(std::move(ends)),
      automaton_(language_->automaton()) {}

Walk Masks::start() {
  if (automaton_->size() > kMaxStates / 2) {
    automaton_ = language_->automaton();
    forget();
  }
  return Walk(language_, automaton_);
}

std::shared_ptr<const Mask> Masks::of(Walk& walk) {
  if (automaton_ != walk.shared()) {  // the walk has begun a new one
    automaton_ = walk.shared();
    forget();
  }
  const Automaton::State state = walk.state();
  if (const auto at = known_.find(state); at != known_.end())
    return without_second_keys(walk, at->second);
  if (known_.size() >= kMaxMasks) forget();
  return without_second_keys(walk, known_[state] = found(state));
}

void Masks::forget() {
  known_.clear();
  by_end_.clear();
}

// Inside JSON strings that may end and still have room for any piece, only what comes behind the
// string makes a difference.
std::shared_ptr<const Mask> Masks::found(Automaton::State state) {
  const FreeText text = automaton_->free_text(state);
  const bool same =
      text.kind == FreeText::Kind::All && text.uniform && text.wanted == 0 &&
      (text.room < 0 || text.room >= static_cast<std::int64_t>(vocabulary_->longest()));
  if (!same) return made(*automaton_, state, text);
  auto& mask = by_end_[automaton_->next(state, '"')];
  if (mask == nullptr) mask = made(*automaton_, state, text);
  return mask;
}

std::shared_ptr<const Mask> Masks::made(Automaton& automaton, Automaton::State state,
                                        const FreeText& text) const {
  Mask mask(vocabulary_->words());
  if (text.kind != FreeText::Kind::None) {
    mask = strings(automaton, state, text);
  } else {
    if (text.words) mask = Mask(vocabulary_->words_only());
    (text.words ? vocabulary_->not_words() : vocabulary_->all())
        .walk(automaton, state, [&](std::span<const Tree::Entry> entries) {
          for (const Tree::Entry& e : entries) mask.add(e.id);
        });
  }
  for (const TokenId id : ends_) {  // a file may name ordinary pieces as ends
    mask.remove(id);
    if (automaton.accepts(state)) mask.add(id);
  }
  return std::make_shared<const Mask>(std::move(mask));
}

// Inside a string where any characters may follow: the plain pieces are known beforehand.
Mask Masks::strings(Automaton& automaton, Automaton::State state, const FreeText& text) const {
  // whether every piece has room
  const bool wide = text.room < 0 || text.room >= static_cast<std::int64_t>(vocabulary_->longest());
  const std::size_t room = wide ? Vocabulary::kLongest : static_cast<std::size_t>(text.room);
  Words words = vocabulary_->plain(room);
  const auto add = [&](std::span<const Tree::Entry> entries) {
    for (const Tree::Entry& e : entries) set_bit(words, e.id);
  };
  if (text.kind == FreeText::Kind::Some && !wide) {
    vocabulary_->all().walk(automaton, state, add);
    return Mask(std::move(words));
  }
  if (text.kind == FreeText::Kind::Some || !text.uniform) {
    vocabulary_->others().walk(automaton, state, add);
    return Mask(std::move(words));
  }
  vocabulary_->pieces().walk(automaton, state, add);
  if (wide && text.wanted == 0) {
    vocabulary_->tails().walk(automaton, state, add);
    return Mask(std::move(words));
  }
  // Near the least or greatest length it matters how many characters stand before the tail; once
  // enough do, and while there is room, it does not.
  Automaton::State at = state;
  for (std::size_t n = 0; n <= room && at != Automaton::kDead; ++n) {
    const bool same = wide && static_cast<std::int64_t>(n) >= text.wanted;
    vocabulary_->tails().walk(automaton, at, [&](std::span<const Tree::Entry> entries) {
      for (const Tree::Entry& e : entries)
        if (e.prefix == n || (same && e.prefix > n)) set_bit(words, e.id);
    });
    if (same) break;
    at = automaton.next(at, 'a');
  }
  return Mask(std::move(words));
}

// No object gets a key twice: what would close one that is taken is left out.
std::shared_ptr<const Mask> Masks::without_second_keys(Walk& walk,
                                                       std::shared_ptr<const Mask> mask) const {
  const Walk::Keys keys = walk.keys();
  if (keys.taken.empty()) return mask;
  std::shared_ptr<Mask> fewer;
  const auto may = [&](TokenId id) { return fewer == nullptr ? mask->has(id) : fewer->has(id); };
  const auto leave_out = [&](TokenId id) {
    if (!may(id)) return;
    if (fewer == nullptr) fewer = std::make_shared<Mask>(*mask);
    fewer->remove(id);
  };
  const auto try_out = [&](TokenId id) {
    if (may(id) && !walk.fits(vocabulary_->bytes_of(id))) leave_out(id);
  };
  if (keys.open && !keys.broken) {
    for (const std::string_view key : keys.taken) {
      if (key.substr(0, keys.begun.size()) != keys.begun) continue;
      std::string rest(key.substr(keys.begun.size()));
      vocabulary_->all().along(rest, [&](std::span<const Tree::Entry> entries) {
        for (const Tree::Entry& e : entries) try_out(e.id);
      });
      rest.push_back('"');
      for (const Tree::Entry& e : vocabulary_->all().below(rest)) leave_out(e.id);
    }
  }
  // pieces that begin and end a string, or end one after an escape: tried out one by one
  for (const TokenId id : vocabulary_->quoting()) try_out(id);
  if (fewer == nullptr) return mask;
  return fewer;
}

bool Masker::accept(TokenId id) {
  const auto& ends = masks_->ends();
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) return walk_.can_end();
  if (id < 0 || static_cast<std::size_t>(id) >= masks_->vocabulary().size()) return false;
  const std::string_view bytes = masks_->vocabulary().bytes_of(id);
  return !bytes.empty() && walk_.push_all(bytes);
}

}  // namespace bezel::constrain
