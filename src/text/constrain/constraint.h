// What an answer must look like, compiled: an automaton over its bytes.
#pragma once
#include <deque>
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

// A place in an answer, byte by byte. What it keeps only grows, so that it can go back to a place
// at no cost.
class Walk {
 public:
  explicit Walk(LanguagePtr language);
  Walk(LanguagePtr language, std::shared_ptr<Automaton> automaton);

  // Goes one byte further; false, and the walk stays where it is, when no valid answer goes on so.
  bool push(std::uint8_t byte);
  // Pushes bytes until one does not fit; gives how many did.
  std::size_t push(std::string_view bytes);
  // Pushes all bytes, or none: false when one does not fit. The cost does not depend on what was
  // pushed before.
  bool push_all(std::string_view bytes);
  // Whether push_all would.
  bool fits(std::string_view bytes);
  bool can_end() const { return automaton_->accepts(at_.state); }

  Automaton& automaton() const { return *automaton_; }
  const std::shared_ptr<Automaton>& shared() const { return automaton_; }
  Automaton::State state() const { return at_.state; }
  // Keys of the object in which the next key is being written, or may begin; and what stands of
  // it. Nothing when no key comes next.
  struct Keys {
    std::vector<std::string_view> taken;  // until the walk goes back
    std::string begun;                    // decoded
    bool open = false;                    // the key's quote is written
    bool broken = false;                  // `begun` ends inside a character or an escape
  };
  Keys keys() const;

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  struct Level {
    bool object = false;
    std::uint32_t outer = kNone, last_key = kNone;  // the level around it; in keys_
  };
  struct Key {  // that the automaton does not know itself
    std::string text;
    std::uint32_t level = kNone, before = kNone;  // the key before it in the same object
  };
  struct Place {
    Automaton::State state = Automaton::kDead;
    std::size_t length = 0;       // of all_
    std::size_t mark_end = 0;     // behind the last quote mark
    std::size_t string_from = 0;  // behind the quote of the open string
    std::uint32_t level = kNone;  // the innermost
    std::size_t levels = 0, keys = 0;
    bool in_string = false, escaped = false, is_key = false, key_next = false;
  };
  bool step(std::uint8_t byte);
  void back_to(const Place& place);
  std::string_view open_string() const { return std::string_view(all_).substr(at_.string_from); }
  std::vector<std::string_view> taken() const;
  bool closes_string(Automaton::State& next);
  bool key_can_close(Automaton::State state, const std::string& text,
                     const std::vector<std::string_view>& taken) const;
  bool keeps_keys_apart(Automaton::State next, std::uint8_t byte) const;
  void track(std::uint8_t byte, bool known_key);
  void renew();

  LanguagePtr language_;
  std::shared_ptr<Automaton> automaton_;
  std::string all_;  // everything so far
  // JSON only: all arrays and objects so far, and keys
  std::vector<Level> levels_;
  std::deque<Key> keys_;
  Place at_;
};

}  // namespace bezel::constrain
