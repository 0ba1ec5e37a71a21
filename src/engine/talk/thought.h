// Ends a thought when its budget is spent.
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
        inside_(r.in_thought) {}

  // The id that must come next because the budget is spent, or -1.
  TokenId forced() const { return inside_ && budget_ >= 0 && length_ >= budget_ ? close_ : -1; }

  int total() const { return total_; }  // ids that were part of thoughts, their ends included

  void push(TokenId id) {
    if (inside_) {
      ++total_;
      inside_ = id != close_;
      ++length_;
    } else if (id == open_ && open_ >= 0) {
      inside_ = true;
      length_ = 0;
    }
  }

 private:
  TokenId open_, close_;
  int budget_, length_ = 0, total_ = 0;
  bool inside_;
};

}  // namespace bezel
