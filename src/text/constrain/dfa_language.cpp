// Regular languages: patterns and choices.
#include <fmt/format.h>

#include <unordered_map>

#include "base/utf8.h"
#include "text/automaton/decode.h"
#include "text/automaton/regex.h"
#include "text/constrain/constraint.h"

namespace bezel::constrain {

namespace {

struct Tables {
  Dfa dfa;
  std::vector<bool> free, words;
};

// A thread is a state of the automaton over code points and what is read of the next character.
class DfaMachine final : public Automaton {
 public:
  explicit DfaMachine(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

 protected:
  Thread first() override { return thread_of(0, 0); }
  void step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) override {
    const auto [state, decoder] = places_[thread];
    const Decoded d = decode(decoder, byte, false, std::uint8_t{0xFF});
    if (d.kind == Decoded::Kind::Code) {
      const std::uint32_t to = tables_->dfa.step(state, d.code);
      if (to != Dfa::kDead) out.push_back(thread_of(to, 0));
    } else if (d.kind == Decoded::Kind::Partial) {
      for (const CodeEdge& e : tables_->dfa.states[state].edges)
        for (int r = 0; r < 2; ++r)
          if (d.lo[r] <= d.hi[r] && e.lo <= d.hi[r] && e.hi >= d.lo[r])
            return out.push_back(thread_of(state, d.decoder));
    }
  }
  bool accepting(Thread thread) const override {
    const auto& [state, decoder] = places_[thread];
    return decoder == 0 && tables_->dfa.states[state].accept != 0;
  }
  FreeText free_of(Thread thread) const override {
    const auto& [state, decoder] = places_[thread];
    FreeText t;
    t.words = decoder == 0 && tables_->words[state];
    if (decoder != 0 || !tables_->free[state]) return t;
    t.kind = FreeText::Kind::All;
    t.room = -1;
    t.uniform = false;
    return t;
  }

 private:
  Thread thread_of(std::uint32_t state, std::uint32_t decoder) {
    const auto [at, fresh] = threads_.try_emplace(std::uint64_t{state} << 32U | decoder,
                                                  static_cast<Thread>(places_.size()));
    if (fresh) places_.emplace_back(state, decoder);
    return at->second;
  }
  std::shared_ptr<const Tables> tables_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> places_;
  std::unordered_map<std::uint64_t, Thread> threads_;
};

class DfaLanguage final : public Language {
 public:
  explicit DfaLanguage(Dfa dfa) {
    auto tables = std::make_shared<Tables>();
    tables->dfa = std::move(dfa);
    tables->free = free_states(tables->dfa);
    tables->words = word_states(tables->dfa);
    tables_ = std::move(tables);
  }
  std::unique_ptr<Automaton> automaton() const override {
    return std::make_unique<DfaMachine>(tables_);
  }

 private:
  std::shared_ptr<const Tables> tables_;
};

}  // namespace

Result<LanguagePtr> regex(std::string_view pattern) {
  BEZEL_TRY(Dfa dfa, dfa_of_regex(pattern, true));
  if (dfa.states.empty()) return Error{Errc::BadInput, "no text can match this pattern", ""};
  return LanguagePtr(std::make_shared<DfaLanguage>(std::move(dfa)));
}

Result<LanguagePtr> choice(const std::vector<std::string>& texts) {
  if (texts.empty()) return Error{Errc::BadInput, "there is nothing to choose from", ""};
  std::size_t total = 0;
  for (const std::string& t : texts) {
    if (t.empty() || !valid_utf8(t))
      return Error{Errc::BadInput, "a choice must be valid UTF-8 with at least one character", ""};
    total += t.size();
  }
  if (total > kMaxGrammarBytes)
    return Error{Errc::TooLarge,
                 fmt::format("the choices have {} bytes, the limit is {}", total, kMaxGrammarBytes),
                 ""};
  return LanguagePtr(std::make_shared<DfaLanguage>(one_of(texts)));
}

}  // namespace bezel::constrain
