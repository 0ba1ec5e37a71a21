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

Result<std::unique_ptr<constrain::Masker>> Constraints::open(const Constraint& constraint) {
  if (constraint.kind == Constraint::Kind::None) return std::unique_ptr<constrain::Masker>();
  return open(Key{constraint, false, {}, false});
}

Result<std::unique_ptr<constrain::Masker>> Constraints::open(const Constraint& constraint,
                                                             const Talk& talk, bool in_thought) {
  const bool free_text = constraint.kind == Constraint::Kind::None;
  if (talk.tools.empty() && (talk.calls == Talk::Calls::Required || !talk.allowed.empty()))
    return Error{Errc::BadInput, "a call is asked for, but there are no tools", ""};
  if (free_text && talk.tools.empty()) return std::unique_ptr<constrain::Masker>();
  auto masker = open(Key{constraint, true, talk, in_thought});
  if (masker || !free_text || talk.calls != Talk::Calls::Auto || !talk.allowed.empty())
    return masker;
  return std::unique_ptr<constrain::Masker>();  // see Engine::reply
}

Result<std::unique_ptr<constrain::Masker>> Constraints::open(Key key) {
  const auto same =
      std::find_if(known_.begin(), known_.end(), [&](const Known& k) { return k.key == key; });
  Known now;
  if (same != known_.end()) {
    now = std::move(*same);
    known_.erase(same);
  } else {
    constrain::LanguagePtr language;
    if (key.whole) {
      BEZEL_TRY(language, answer_language(key.constraint, key.talk, key.in_thought));
    } else {
      BEZEL_TRY(language, constrain::compile(key.constraint));
    }
    if (vocabulary_ == nullptr) vocabulary_ = std::make_shared<constrain::Vocabulary>(tokenizer_);
    now.key = std::move(key);
    now.masks = std::make_shared<constrain::Masks>(vocabulary_, std::move(language), ends_);
    if (known_.size() >= kKept) known_.erase(known_.begin());
  }
  known_.push_back(std::move(now));
  return std::make_unique<constrain::Masker>(known_.back().masks);
}

}  // namespace bezel
