#include <fmt/format.h>

#include "text/constrain/constraint.h"
#include "text/grammar/machine.h"

namespace bezel::constrain {

namespace {

class GrammarLanguage final : public Language {
 public:
  explicit GrammarLanguage(grammar::Grammar g)
      : grammar_(std::make_shared<const grammar::Grammar>(std::move(g))) {}
  std::unique_ptr<Automaton> automaton() const override {
    return std::make_unique<grammar::Machine>(grammar_);
  }

 private:
  std::shared_ptr<const grammar::Grammar> grammar_;
};

}  // namespace

Result<LanguagePtr> grammar(std::string_view text) {
  if (text.size() > kMaxGrammarBytes)
    return Error{
        Errc::TooLarge,
        fmt::format("the grammar has {} bytes, the limit is {}", text.size(), kMaxGrammarBytes),
        ""};
  BEZEL_TRY(grammar::Grammar g, grammar::parse(text));
  return LanguagePtr(std::make_shared<GrammarLanguage>(std::move(g)));
}

}  // namespace bezel::constrain
