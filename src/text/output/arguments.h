// The arguments of a call, from Gemma's notation to JSON as they come:
// {city:<|"|>Oslo<|"|>,days:[1,2]} becomes {"city":"Oslo","days":[1,2]}.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace bezel::output {

// Recovers from broken notation instead of failing. What is decided is written to json() at once;
// texts between <|"|> stream, all other values come when they are complete.
class Arguments {
 public:
  // After the opening `bracket`, `{` or `(`. `schema` of the parameters may be null; it is
  // borrowed.
  Arguments(const Json* schema, char bracket);

  void text(char c);  // one byte of whole UTF-8
  void quote();       // the control token <|"|>
  // The call is over before its last bracket. `cut_off`: by the length limit, so that the last
  // value may be unfinished; otherwise the model ended it and forgot the closing.
  void end(bool cut_off);

  bool complete() const { return stack_.empty(); }
  bool in_string() const { return state_ == State::String; }
  std::string take_json() { return std::exchange(json_, {}); }

 private:
  enum class State {
    Key,  // at the start of a key or a closing bracket
    BareKey,
    QuotedKey,  // between quotes of the kind quote_
    AfterKey,   // after a quoted key: `:` is due
    Value,      // at the start of a value
    String,     // between <|"|>
    Quoted,     // a value between quotes of the kind quote_
    QuoteEnd,   // after what may be its closing quote
    Bare,       // a value without quotes
    AfterValue,
  };
  struct Frame {
    char bracket;  // { ( or [
    bool empty;
    const Json* schema;  // of the object or array, or null
  };

  void key_start(char c);
  void bare_key(char c);
  void quoted_key(char c);
  void after_key(char c);
  void value_start(char c);
  void string(char c);
  void quoted(char c);
  void quote_end(char c);
  void bare(char c);
  void after_value(char c);

  bool in_parentheses() const { return stack_[0].bracket == '('; }
  void end_key(std::string_view key);
  void key_without_value(std::string_view key);
  std::string_view fitting_key() const;
  const Json* resolve(const Json* schema) const;
  const Json* property(std::string_view key) const;
  bool declared(std::string_view key) const { return property(key) != nullptr; }
  void begin_value();
  void open(char c);
  void enter();
  void close(char c);
  void close_top();
  void begin_string();
  void end_string();
  bool runs_on() const;
  void write_text(std::string_view text);
  void write_bare(std::string_view text);
  void write_typed(std::string_view text);
  void write_quoted();
  void strip_closers(std::string& text) const;

  const Json* root_;
  std::vector<Frame> stack_;
  State state_ = State::Key;
  std::string json_;
  std::string held_;  // key, or value that is not decided yet
  std::string tail_;  // closing brackets at the end of a string: perhaps those of the call
  std::string key_;   // of the value to come
  const Json* schema_ = nullptr;  // of the value to come
  std::size_t comma_ = 0;         // where a bare text may end: its last comma
  bool has_key_ = false, streams_ = false, escape_ = false;
  char quote_ = 0;
};

}  // namespace bezel::output
