#include "engine/constraint.h"

#include <algorithm>

#include "base/json.h"
#include "text/constrain/answer.h"

namespace bezel {

namespace {

Result<constrain::LanguagePtr> answer_language(const Constraint& constraint, const Talk& talk,
                                               bool in_thought) {
  using Rules = constrain::AnswerRules;
  Rules rules;
  rules.thought = in_thought   ? Rules::Thought::Open
                  : talk.think ? Rules::Thought::MayOpen
                               : Rules::Thought::No;
  if (constraint.kind != Constraint::Kind::None) {
    BEZEL_TRY(rules.content, constrain::compile(constraint));
  }
  if (!talk.tools.empty()) {
    BEZEL_TRY(rules.tools, parse_json(talk.tools, "tools"));
    if (!rules.tools.is_array())
      return Error{Errc::BadInput, "tools must be a JSON array", "tools"};
    rules.calls = talk.calls == Talk::Calls::Auto       ? Rules::Calls::Auto
                  : talk.calls == Talk::Calls::Required ? Rules::Calls::Required
                                                        : Rules::Calls::None;
    if (rules.tools.empty()) rules.calls = Rules::Calls::None;
  }
  rules.allowed = talk.allowed;
  rules.parallel = talk.parallel;
  return constrain::answer(rules);
}

}  // namespace

Result<std::shared_ptr<constrain::Masks>> Constraints::open(const Constraint& constraint) {
  if (constraint.kind == Constraint::Kind::None) return std::shared_ptr<constrain::Masks>();
  return open(Key{constraint, false, {}, false});
}

Result<std::shared_ptr<constrain::Masks>> Constraints::open(const Constraint& constraint,
                                                            const Talk& talk, bool in_thought) {
  const bool free_text = constraint.kind == Constraint::Kind::None;
  if (talk.tools.empty() && (talk.calls == Talk::Calls::Required || !talk.allowed.empty()))
    return Error{Errc::BadInput, "a call is asked for, but there are no tools", ""};
  if (free_text && talk.tools.empty()) return std::shared_ptr<constrain::Masks>();
  auto masks = open(Key{constraint, true, talk, in_thought});
  if (masks || !free_text || talk.calls != Talk::Calls::Auto || !talk.allowed.empty()) return masks;
  return std::shared_ptr<constrain::Masks>();  // see Engine::reply
}

Result<std::shared_ptr<constrain::Masks>> Constraints::open(Key key) {
  {
    const std::lock_guard lock(mutex_);
    const auto same =
        std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return k.key == key; });
    if (same != known_.end()) {
      std::rotate(same, same + 1, known_.end());
      return known_.back().masks;
    }
  }
  constrain::LanguagePtr language;  // others go on meanwhile
  if (key.whole) {
    BEZEL_TRY(language, answer_language(key.constraint, key.talk, key.in_thought));
  } else {
    BEZEL_TRY(language, constrain::compile(key.constraint));
  }
  const std::lock_guard lock(mutex_);
  if (vocabulary_ == nullptr) vocabulary_ = std::make_shared<constrain::Vocabulary>(tokenizer_);
  auto masks = std::make_shared<constrain::Masks>(vocabulary_, std::move(language), ends_);
  if (known_.size() >= kKept) known_.erase(known_.begin());
  known_.push_back({std::move(key), masks});
  return masks;
}

}  // namespace bezel
