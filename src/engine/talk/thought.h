// Where an answer is: before, inside or after a thought.
#pragma once
#include "bezel/engine.h"

namespace bezel {

class ThoughtGuard {
 public:
  // `open` and `close`: the channel's control tokens, -1 where the vocabulary has none.
  ThoughtGuard(TokenId open, TokenId close, const Request& r)
      : open_(open),
        close_(close),
        budget_(close < 0 ? -1 : r.thought_budget),
        inside_(r.in_thought),
        may_open_(r.may_think && open >= 0) {}

  bool inside() const { return inside_; }
  bool may_open() const { return may_open_; }  // a thought may begin with the next id
  TokenId open() const { return open_; }
  // The id that must come next because the budget is spent, or -1.
  TokenId forced() const { return inside_ && budget_ >= 0 && length_ >= budget_ ? close_ : -1; }

  // True when the id belongs to a thought, its control tokens included.
  bool push(TokenId id) {
    may_open_ = may_open_ && id == open_;
    if (inside_) {
      inside_ = id != close_;
      ++length_;
      return true;
    }
    if (id != open_ || open_ < 0) return false;
    inside_ = true;
    may_open_ = false;
    length_ = 0;
    return true;
  }

 private:
  TokenId open_, close_;
  int budget_, length_ = 0;
  bool inside_, may_open_;
};

}  // namespace bezel
