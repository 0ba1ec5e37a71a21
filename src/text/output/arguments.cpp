#include "text/output/arguments.h"

#include <charconv>

#include "text/chat/values.h"
#include "text/output/scalars.h"

namespace bezel::output {
namespace {

constexpr std::size_t kMaxDepth = 100;  // brackets deeper than this are text
constexpr char kMarker = 1;             // quote_ for <|"|>

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_closer(char c) {
  return c == '}' || c == ']' || c == ')';
}
char closer_of(char bracket) {
  return bracket == '{' ? '}' : bracket == '[' ? ']' : ')';
}

std::string_view trimmed(std::string_view s, std::string_view extra = "") {
  const auto drop = [&](char c) { return is_space(c) || extra.find(c) != std::string_view::npos; };
  while (!s.empty() && drop(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_space(s.back())) s.remove_suffix(1);
  return s;
}

}  // namespace

Arguments::Arguments(const Json* schema, char bracket) : root_(schema) {
  stack_.push_back({bracket, true, schema});
  json_.push_back('{');
}

void Arguments::text(char c) {
  if (complete()) return;
  switch (state_) {
    case State::Key:
      return key_start(c);
    case State::BareKey:
      return bare_key(c);
    case State::QuotedKey:
      return quoted_key(c);
    case State::AfterKey:
      return after_key(c);
    case State::Value:
      return value_start(c);
    case State::String:
      return string(c);
    case State::Quoted:
      return quoted(c);
    case State::QuoteEnd:
      return quote_end(c);
    case State::Bare:
      return bare(c);
    case State::AfterValue:
      return after_value(c);
  }
}

void Arguments::quote() {
  if (complete()) return;
  switch (state_) {
    case State::Key:
      held_.clear();
      quote_ = kMarker;
      state_ = State::QuotedKey;
      return;
    case State::QuotedKey:
      if (quote_ == kMarker) state_ = State::AfterKey;
      return;
    case State::Value:
      return begin_string();
    case State::String:
      return end_string();
    case State::Quoted:
      if (held_.empty()) return begin_string();
      [[fallthrough]];
    case State::QuoteEnd:
      write_quoted();
      state_ = State::AfterValue;
      return;
    case State::Bare:
      if (runs_on()) return;  // its end is elsewhere
      write_bare(trimmed(held_));
      state_ = State::AfterValue;
      return;
    case State::BareKey:
    case State::AfterKey:
    case State::AfterValue:
      return;  // a stray one
  }
}

// ---- keys

void Arguments::key_start(char c) {
  if (is_space(c) || c == ',') return;
  if (c == '}' || c == ']' || (c == ')' && in_parentheses())) return close(c);
  if (c == '{' && stack_.size() == 1 && stack_[0].bracket == '(' && stack_[0].empty) {
    stack_[0].bracket = '{';  // f({...})
    return;
  }
  held_.clear();
  escape_ = false;
  if (c == '"' || c == '\'') {
    quote_ = c;
    state_ = State::QuotedKey;
    return;
  }
  state_ = State::BareKey;
  bare_key(c);
}

void Arguments::bare_key(char c) {
  if (c == ':') return end_key(fitting_key());
  if (c == '=' && (in_parentheses() || declared(trimmed(held_, ","))))
    return end_key(fitting_key());
  if (c == '}' || (c == ')' && in_parentheses() && stack_.size() == 1)) {
    key_without_value(trimmed(held_, ","));
    return close(c);
  }
  held_ += c;
}

void Arguments::quoted_key(char c) {
  if (c == quote_ && !escape_) {
    state_ = State::AfterKey;
    return;
  }
  escape_ = quote_ == '"' && c == '\\' && !escape_;
  held_ += c;
}

void Arguments::after_key(char c) {
  if (is_space(c)) return;
  const std::string key = quote_ == '"' ? unescaped(held_) : held_;
  if (c == ':' || c == '=') return end_key(key);
  if (c == ',') {
    key_without_value(key);
    state_ = State::Key;
  } else if (is_closer(c)) {
    key_without_value(key);
    state_ = State::AfterValue;  // also when it closes nothing
    close(c);
  } else if (quote_ != kMarker) {  // the quotes belong to the key
    held_ = quote_ + held_ + quote_;
    state_ = State::BareKey;
    bare_key(c);
  }
}

// A key as it stands (it may hold commas and spaces), unless only a part of it is declared.
std::string_view Arguments::fitting_key() const {
  const std::string_view part = trimmed(held_, ",");
  return part.size() != held_.size() && !declared(held_) && declared(part) ? part : held_;
}

void Arguments::end_key(std::string_view key) {
  key_ = key;
  has_key_ = true;
  schema_ = property(key_);
  held_.clear();
  state_ = State::Value;
}

void Arguments::key_without_value(std::string_view key) {
  if (key.empty()) return;
  end_key(std::string(key));
  begin_value();
  json_ += "null";
}

const Json* Arguments::resolve(const Json* schema) const {
  for (int i = 0; schema != nullptr && i < 8; ++i) {
    const Json& reference = chat::member(*schema, "$ref");
    if (!reference.is_string()) return schema;
    schema = &chat::pointed(*root_, reference.get_ref<const std::string&>());
  }
  return schema;
}

const Json* Arguments::property(std::string_view key) const {
  if (stack_.empty() || stack_.back().schema == nullptr) return nullptr;
  const Json& all = chat::member(*stack_.back().schema, "properties");
  if (!all.is_object()) return nullptr;
  for (const auto& [name, schema] : all.get_ref<const Json::object_t&>())
    if (name == key) return resolve(&schema);
  return nullptr;
}

// ---- values

void Arguments::value_start(char c) {
  if (is_space(c)) return;
  if (c == ',' || c == '}' || c == ']' || (c == ')' && in_parentheses())) {
    if (has_key_) begin_value(), json_ += "null";
    state_ = State::AfterValue;
    return after_value(c);
  }
  held_.clear();
  tail_.clear();
  escape_ = false;
  comma_ = std::string::npos;
  if ((c == '{' || c == '[') && stack_.size() < kMaxDepth && !runs_on()) return open(c);
  if (c == '"' || c == '\'') {
    quote_ = c;
    state_ = State::Quoted;
    return;
  }
  held_ = c;
  state_ = State::Bare;
}

void Arguments::begin_value() {
  if (!stack_.back().empty) json_ += ',';
  stack_.back().empty = false;
  if (!has_key_) return;
  write_text(key_);
  json_ += ':';
  has_key_ = false;
}

void Arguments::open(char c) {
  begin_value();
  json_ += c;
  stack_.push_back({c, true, schema_});
  enter();
}

// At the start of a member or an element.
void Arguments::enter() {
  has_key_ = false;
  schema_ = nullptr;
  state_ = stack_.back().bracket == '[' ? State::Value : State::Key;
  if (state_ == State::Key || stack_.back().schema == nullptr) return;
  const Json& items = chat::member(*stack_.back().schema, "items");
  if (items.is_object()) schema_ = resolve(&items);
}

void Arguments::close(char c) {
  std::size_t at = stack_.size();
  while (at > 0 && closer_of(stack_[at - 1].bracket) != c) --at;
  if (at == 0 && c == '}') at = 1;  // opened by a parenthesis
  if (at == 0) return;              // closes nothing
  while (stack_.size() >= at) close_top();
  state_ = State::AfterValue;
}

void Arguments::close_top() {
  json_ += stack_.back().bracket == '[' ? ']' : '}';
  stack_.pop_back();
}

void Arguments::begin_string() {
  held_.clear();
  tail_.clear();
  state_ = State::String;
  // A text that may have to become a number is looked at as a whole.
  const unsigned types = types_of(schema_);
  streams_ = types == 0 || (types & kStringType) != 0;
  if (!streams_) return;
  begin_value();
  json_ += '"';
}

void Arguments::string(char c) {
  if (!streams_) {
    held_ += c;
  } else if (is_space(c) || is_closer(c)) {
    tail_ += c;
  } else {
    for (const char t : tail_) append_escaped(json_, t);
    tail_.clear();
    append_escaped(json_, c);
  }
}

void Arguments::end_string() {
  if (streams_) {
    for (const char t : tail_) append_escaped(json_, t);
    json_ += '"';
  } else {
    write_typed(held_);
  }
  state_ = State::AfterValue;
}

void Arguments::quoted(char c) {
  if (c == quote_ && !escape_) {
    tail_.clear();
    state_ = State::QuoteEnd;
    return;
  }
  escape_ = quote_ == '"' && c == '\\' && !escape_;
  held_ += c;
}

void Arguments::quote_end(char c) {
  if (is_space(c)) {
    tail_ += c;
  } else if (c == ',' || c == '}' || c == ']' || (c == ')' && in_parentheses())) {
    write_quoted();
    state_ = State::AfterValue;
    after_value(c);
  } else {  // a quote inside the text
    held_ += quote_;
    held_ += tail_;
    state_ = State::Quoted;
    quoted(c);
  }
}

// A text without quotes for a parameter that is a text: it runs to the next declared key or to the
// end of the call.
bool Arguments::runs_on() const {
  return stack_.size() == 1 && (types_of(schema_) & ~kNullType) == kStringType;
}

void Arguments::bare(char c) {
  if (!runs_on()) {
    if (c == ',' || c == '}' || c == ']' || (c == ')' && in_parentheses() && stack_.size() == 1)) {
      write_bare(trimmed(held_));
      state_ = State::AfterValue;
      return after_value(c);
    }
    held_ += c;
    return;
  }
  if ((c == ':' || c == '=') && comma_ != std::string::npos) {
    const std::string key(trimmed(std::string_view(held_).substr(comma_ + 1)));
    if (declared(key)) {
      held_.resize(comma_);
      write_bare(trimmed(held_));
      return end_key(key);
    }
  }
  if (c == ',') comma_ = held_.size();
  held_ += c;
}

void Arguments::after_value(char c) {
  if (is_space(c)) return;
  if (c == ',') return enter();
  if (c == '}' || c == ']' || (c == ')' && in_parentheses())) return close(c);
  if (stack_.back().bracket == '[' || c == ':') return;
  state_ = State::Key;  // a comma is missing
  key_start(c);
}

void Arguments::write_text(std::string_view text) {
  json_ += '"';
  for (const char c : text) append_escaped(json_, c);
  json_ += '"';
}

void Arguments::write_bare(std::string_view text) {
  const unsigned types = types_of(schema_);
  begin_value();
  const std::string_view literal = literal_of(text);
  const bool text_only = types != 0 && (types & ~kNullType) == kStringType;
  if (literal == "null" && (!text_only || (types & kNullType) != 0)) {
    json_ += literal;
  } else if (!text_only && !literal.empty()) {
    json_ += literal;
  } else if (!text_only && is_number(text)) {
    json_ += text;
  } else {
    write_text(text);
  }
}

void Arguments::write_typed(std::string_view text) {
  const unsigned types = types_of(schema_);
  begin_value();
  const bool any = types == 0 || (types & kStringType) != 0;
  const bool whole = text.find_first_of(".eE") == std::string_view::npos;
  const bool number =
      is_number(text) && ((types & kNumberType) != 0 || ((types & kIntegerType) != 0 && whole));
  const bool boolean = (types & kBooleanType) != 0 && (text == "true" || text == "false");
  if (!any && (number || boolean)) {
    json_ += text;
  } else {
    write_text(text);
  }
}

void Arguments::write_quoted() {
  write_typed(quote_ == '"' ? unescaped(held_) : held_);
}

// ---- the end

// Brackets at the end of an unfinished text that close what is open, outermost last.
void Arguments::strip_closers(std::string& text) const {
  std::size_t keep = text.size();
  for (std::size_t at = 0; keep > 0 && at < stack_.size();) {
    const char c = text[keep - 1];
    if (!is_space(c)) {
      while (at < stack_.size() && closer_of(stack_[at].bracket) != c) ++at;
      if (at++ == stack_.size()) break;
    }
    --keep;
  }
  text.resize(keep);
}

void Arguments::end(bool cut_off) {
  if (complete()) return;
  std::string& unfinished = state_ == State::String && streams_ ? tail_ : held_;
  switch (state_) {
    case State::String:
    case State::Quoted:
      if (!cut_off) strip_closers(unfinished);
      state_ == State::String ? end_string() : write_quoted();
      break;
    case State::QuoteEnd:
      write_quoted();
      break;
    case State::Bare:
      if (runs_on()) {
        if (!cut_off) strip_closers(held_);
        write_bare(trimmed(held_));
      } else if (!cut_off) {
        write_bare(trimmed(held_));
      }
      break;
    case State::BareKey:
      if (!cut_off) key_without_value(trimmed(held_, ","));
      break;
    case State::AfterKey:
      if (!cut_off) key_without_value(quote_ == '"' ? unescaped(held_) : held_);
      break;
    case State::Value:
      if (!cut_off && has_key_) begin_value(), json_ += "null";
      break;
    case State::Key:
    case State::QuotedKey:
    case State::AfterValue:
      break;
  }
  while (!stack_.empty()) close_top();
}

}  // namespace bezel::output
