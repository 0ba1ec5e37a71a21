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
    known_.clear();
  }
  return Walk(language_, automaton_);
}

std::shared_ptr<const Words> Masks::of(const Walk& walk) {
  if (automaton_ != walk.shared()) {  // the walk has begun a new one
    automaton_ = walk.shared();
    known_.clear();
  }
  const Automaton::State state = walk.state();
  if (const auto at = known_.find(state); at != known_.end())
    return without_second_keys(walk, at->second);
  if (known_.size() >= kMaxMasks) known_.clear();
  return without_second_keys(walk, known_[state] = made(*automaton_, state));
}

std::shared_ptr<const Words> Masks::made(Automaton& automaton, Automaton::State state) const {
  const FreeText text = automaton.free_text(state);
  auto words = std::make_shared<Words>();
  if (text.kind != FreeText::Kind::None) {
    strings(automaton, state, text, *words);
  } else {
    *words = text.words ? vocabulary_->words_only() : Words(vocabulary_->words());
    (text.words ? vocabulary_->not_words() : vocabulary_->all())
        .walk(automaton, state, [&](std::span<const Tree::Entry> entries) {
          for (const Tree::Entry& e : entries) set_bit(*words, e.id);
        });
  }
  for (const TokenId id : ends_) {  // a file may name ordinary pieces as ends
    if (automaton.accepts(state))
      set_bit(*words, id);
    else if (static_cast<std::size_t>(id) / 64 < words->size())
      (*words)[static_cast<std::size_t>(id) / 64] &= ~(std::uint64_t{1} << (id % 64));
  }
  return words;
}

// Inside a string where any characters may follow: the plain pieces are known beforehand.
void Masks::strings(Automaton& automaton, Automaton::State state, const FreeText& text,
                    Words& words) const {
  const auto kLongest = static_cast<std::int64_t>(Vocabulary::kLongest);
  const bool endless = text.room < 0 || text.room >= kLongest;  // every plain piece fits
  const bool wide = text.room < 0 || text.room >= static_cast<std::int64_t>(vocabulary_->longest());
  const auto room = static_cast<std::size_t>(endless ? kLongest : text.room);
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
  if (wide && text.wanted == 0) {
    vocabulary_->tails().walk(automaton, state, add);
    return;
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
}

// No object gets a key twice: what would close one that is taken is left out.
std::shared_ptr<const Words> Masks::without_second_keys(const Walk& walk,
                                                        std::shared_ptr<const Words> words) const {
  const Walk::Keys keys = walk.keys();
  if (keys.taken == nullptr) return words;
  std::shared_ptr<Words> fewer;
  const auto leave_out = [&](TokenId id) {
    if (!has_bit(fewer == nullptr ? *words : *fewer, id)) return;
    if (fewer == nullptr) fewer = std::make_shared<Words>(*words);
    (*fewer)[static_cast<std::size_t>(id) / 64] &= ~(std::uint64_t{1} << (id % 64));
  };
  const auto try_out = [&](TokenId id) {
    if (!has_bit(*words, id)) return;
    Walk trial = walk;
    const std::string_view bytes = vocabulary_->bytes_of(id);
    if (trial.push(bytes) != bytes.size()) leave_out(id);
  };
  if (keys.open && !keys.broken) {
    for (const std::string& key : *keys.taken) {
      if (key.compare(0, keys.begun.size(), keys.begun) != 0) continue;
      std::string rest = key.substr(keys.begun.size());
      vocabulary_->all().along(rest, [&](std::span<const Tree::Entry> entries) {
        for (const Tree::Entry& e : entries) try_out(e.id);
      });
      rest.push_back('"');
      for (const Tree::Entry& e : vocabulary_->all().below(rest)) leave_out(e.id);
    }
  }
  // pieces that begin and end a string, or end one after an escape: tried out one by one
  for (const TokenId id : vocabulary_->quoting()) try_out(id);
  if (fewer == nullptr) return words;
  return fewer;
}

bool Masker::accept(TokenId id) {
  const auto& ends = masks_->ends();
  if (std::find(ends.begin(), ends.end(), id) != ends.end()) return walk_.can_end();
  if (id < 0 || static_cast<std::size_t>(id) >= masks_->vocabulary().size()) return false;
  const std::string_view bytes = masks_->vocabulary().bytes_of(id);
  if (bytes.empty()) return false;
  Walk further = walk_;
  if (further.push(bytes) != bytes.size()) return false;
  walk_ = std::move(further);
  return true;
}

}  // namespace bezel::constrain
