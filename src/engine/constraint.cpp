#include "engine/constraint.h"

#include <algorithm>

namespace bezel {

Result<std::unique_ptr<constrain::Masker>> Constraints::open(const Constraint& constraint) {
  if (constraint.kind == Constraint::Kind::None) return std::unique_ptr<constrain::Masker>();
  const auto same = std::find_if(known_.begin(), known_.end(),
                                 [&](const Known& k) { return k.constraint == constraint; });
  Known now;
  if (same != known_.end()) {
    now = std::move(*same);
    known_.erase(same);
  } else {
    BEZEL_TRY(constrain::LanguagePtr language, constrain::compile(constraint));
    if (vocabulary_ == nullptr) vocabulary_ = std::make_shared<constrain::Vocabulary>(tokenizer_);
    now.constraint = constraint;
    now.masks = std::make_shared<constrain::Masks>(vocabulary_, std::move(language), ends_);
    if (known_.size() >= kKept) known_.erase(known_.begin());
  }
  known_.push_back(std::move(now));
  return std::make_unique<constrain::Masker>(known_.back().masks);
}

}  // namespace bezel
