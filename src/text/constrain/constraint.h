// What an answer must look like, compiled: an automaton over its bytes.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"
#include "text/automaton/automaton.h"

namespace bezel::constrain {

inline constexpr std::size_t kMaxSchemaBytes = 4U << 20U, kMaxGrammarBytes = 1U << 20U;

// Makes automata that all mean the same. Immutable.
class Language {
 public:
  virtual ~Language() = default;
  virtual std::unique_ptr<Automaton> automaton() const = 0;
  // Whether texts are JSON, whose objects must not have a key twice.
  virtual bool json() const { return false; }
};
using LanguagePtr = std::shared_ptr<const Language>;

// An Error says why a constraint is wrong or cannot be enforced; of a schema, `where` is a JSON
// pointer into it.
Result<LanguagePtr> compile(const Constraint& constraint);

// JSON that fits a schema.
Result<LanguagePtr> json_schema(std::string_view schema);
// Texts that a pattern matches from start to end.
Result<LanguagePtr> regex(std::string_view pattern);
Result<LanguagePtr> choice(const std::vector<std::string>& texts);
// GBNF as llama.cpp documents it.
Result<LanguagePtr> grammar(std::string_view text);

inline constexpr std::size_t kMaxStates = 200000;  // then an automaton is built anew

// A place in an answer, byte by byte.
class Walk {
 public:
  explicit Walk(LanguagePtr language);
  Walk(LanguagePtr language, std::shared_ptr<Automaton> automaton);

  // Goes one byte further; false, and the walk stays where it is, when no valid answer goes on so.
  bool push(std::uint8_t byte);
  // Pushes bytes until one does not fit; gives how many did.
  std::size_t push(std::string_view bytes);
  bool can_end() const { return automaton_->accepts(state_); }

  Automaton& automaton() const { return *automaton_; }
  const std::shared_ptr<Automaton>& shared() const { return automaton_; }
  Automaton::State state() const { return state_; }
  // Keys of the object in which the next key is being written, or may begin; and what stands of
  // it. Nothing when no key comes next.
  struct Keys {
    const std::vector<std::string>* taken = nullptr;
    std::string begun;    // decoded
    bool open = false;    // the key's quote is written
    bool broken = false;  // `begun` ends inside a character or an escape
  };
  Keys keys() const;

 private:
  struct Level {
    bool object = false;
    std::vector<std::string> keys;  // those that the automaton does not know itself
  };
  bool closes_string(Automaton::State& next);
  bool key_can_close(Automaton::State state, const std::string& text) const;
  bool keeps_keys_apart(Automaton::State next, std::uint8_t byte) const;
  void track(std::uint8_t byte, bool known_key);
  void renew();

  LanguagePtr language_;
  std::shared_ptr<Automaton> automaton_;
  Automaton::State state_ = Automaton::kDead;
  std::string all_;     // everything so far, to find the way again in a new automaton
  std::string marked_;  // since the last quote mark
  // JSON only
  std::vector<Level> levels_;
  std::string raw_;  // of the open string
  bool in_string_ = false, escaped_ = false, is_key_ = false, key_next_ = false;
};

}  // namespace bezel::constrain
