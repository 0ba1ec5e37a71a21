// The ids that may come next in a constrained answer.
#pragma once
#include <memory>
#include <unordered_map>
#include <vector>

#include "text/constrain/constraint.h"
#include "text/constrain/vocabulary.h"

namespace bezel::constrain {

// One answer's place in its language, id by id. Masks are kept by the state of the automaton.
class Masker {
 public:
  // `ends`: ids that end an answer; they may come where the language allows an end, and only there.
  Masker(std::shared_ptr<const Vocabulary> vocabulary, LanguagePtr language,
         std::vector<TokenId> ends);

  // A bit for every id that may come next. The words stay as they are while somebody holds them.
  std::shared_ptr<const Words> mask();
  // Goes on by one id; false, and nothing changes, when it may not come. An end id ends nothing
  // here: it is accepted where the language can end.
  bool accept(TokenId id);
  // No id may come but an end.
  bool can_end() const { return walk_.can_end(); }
  const Walk& walk() const { return walk_; }

 private:
  std::shared_ptr<const Words> made(Automaton::State state);
  void strings(Automaton::State state, const FreeText& text, Words& words);
  std::shared_ptr<const Words> without_second_keys(std::shared_ptr<const Words> words);

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<TokenId> ends_;
  Walk walk_;
  const Automaton* masked_ = nullptr;  // the automaton that the masks are of
  std::unordered_map<Automaton::State, std::shared_ptr<const Words>> masks_;
};

}  // namespace bezel::constrain
