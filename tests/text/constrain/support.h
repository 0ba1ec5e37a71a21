// Compiled constraints and verdicts for the tests of constrained decoding.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "text/constrain/masker.h"
#include "text/harness.h"

namespace bezel::test {

inline constrain::LanguagePtr must(Result<constrain::LanguagePtr> made) {
  EXPECT_TRUE(made) << (made ? "" : made.error().text());
  return made ? *std::move(made) : nullptr;
}

inline bool accepts(const constrain::LanguagePtr& language, std::string_view text) {
  constrain::Walk walk(language);
  return walk.push(text) == text.size() && walk.can_end();
}

// Whether a schema accepts a text.
inline bool fits(std::string_view schema, std::string_view text) {
  const auto language = must(constrain::json_schema(schema));
  return language != nullptr && accepts(language, text);
}

inline std::string refusal(Result<constrain::LanguagePtr> made) {
  return made ? "(accepted)" : made.error().text();
}

}  // namespace bezel::test
