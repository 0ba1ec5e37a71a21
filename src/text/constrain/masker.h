// Which ids may come next in a constrained answer, found once for every state.
#pragma once
#include <memory>
#include <unordered_map>
#include <vector>

#include "text/constrain/constraint.h"
#include "text/constrain/vocabulary.h"

namespace bezel::constrain {

// What answers in one language share: the automaton and the masks of its states. One thread at a
// time.
class Masks {
 public:
  // `ends`: ids that end an answer; they may come where the language allows an end, and only there.
  Masks(std::shared_ptr<const Vocabulary> vocabulary, LanguagePtr language,
        std::vector<TokenId> ends);

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  const std::vector<TokenId>& ends() const { return ends_; }
  Walk start();  // a new automaton is begun when the last one has grown large
  // What may come next. A mask stays as it is while somebody holds it.
  std::shared_ptr<const Mask> of(Walk& walk);

 private:
  void forget();
  std::shared_ptr<const Mask> found(Automaton::State state);
  std::shared_ptr<const Mask> made(Automaton& automaton, Automaton::State state,
                                   const FreeText& text) const;
  Mask strings(Automaton& automaton, Automaton::State state, const FreeText& text) const;
  std::shared_ptr<const Mask> without_second_keys(Walk& walk,
                                                  std::shared_ptr<const Mask> mask) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  LanguagePtr language_;
  std::vector<TokenId> ends_;
  std::shared_ptr<Automaton> automaton_;  // of the masks
  std::unordered_map<Automaton::State, std::shared_ptr<const Mask>> known_;
  // of strings with room for any piece, by the state behind their end
  std::unordered_map<Automaton::State, std::shared_ptr<const Mask>> by_end_;
};

// One answer's place in its language, id by id.
class Masker {
 public:
  explicit Masker(std::shared_ptr<Masks> masks)
      : masks_(std::move(masks)), walk_(masks_->start()) {}

  // See Masks::of.
  std::shared_ptr<const Mask> mask() { return masks_->of(walk_); }
  // Goes on by one id; false, and nothing changes, when it may not come. An end id ends nothing
  // here: it is accepted where the language can end.
  bool accept(TokenId id);
  bool can_end() const { return walk_.can_end(); }
  const Walk& walk() const { return walk_; }

 private:
  std::shared_ptr<Masks> masks_;
  Walk walk_;
};

}  // namespace bezel::constrain
