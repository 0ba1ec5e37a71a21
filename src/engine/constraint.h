// Constraints of requests, compiled: what is the same for many requests is kept.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "bezel/engine.h"
#include "text/constrain/masker.h"

namespace bezel {

// Any thread. What it hands out belongs to the engine's thread.
class Constraints {
 public:
  // The tokenizer must outlive this.
  Constraints(const Tokenizer& tokenizer, std::vector<TokenId> ends)
      : tokenizer_(tokenizer), ends_(std::move(ends)) {}
  // What answers may be; null for Constraint::Kind::None. The vocabulary is sorted when the
  // first constraint comes (0.2 s at 262,144 ids).
  Result<std::shared_ptr<constrain::Masks>> open(const Constraint& constraint);
  // The same for answers in a conversation: thought, text that fits the constraint, calls. Null
  // when anything goes.
  Result<std::shared_ptr<constrain::Masks>> open(const Constraint& constraint, const Talk& talk,
                                                 bool in_thought);

 private:
  static constexpr std::size_t kKept = 16;
  struct Key {
    Constraint constraint;
    bool whole = false;  // a conversation's answer
    Talk talk;
    bool in_thought = false;
    bool operator==(const Key&) const = default;
  };
  struct Known {
    Key key;
    std::shared_ptr<constrain::Masks> masks;
  };
  Result<std::shared_ptr<constrain::Masks>> open(Key key);
  const Tokenizer& tokenizer_;
  std::vector<TokenId> ends_;
  std::mutex mutex_;  // of what follows
  std::shared_ptr<const constrain::Vocabulary> vocabulary_;
  std::vector<Known> known_;  // the last used one at the end
};

}  // namespace bezel
