#include "text/output/parser.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/chat/values.h"

namespace bezel::output {
namespace {

constexpr std::size_t kMaxHead = 512;  // bytes of `call:name`
constexpr std::string_view kLabel = "thought\n";

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_space(s.back())) s.remove_suffix(1);
  return s;
}

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

// One of the two begins with the other.
bool agree(std::string_view a, std::string_view b) {
  return starts_with(a, b) || starts_with(b, a);
}

// Whether s[i] to the end of s is the beginning of a character.
bool may_continue(std::string_view s, std::size_t i) {
  std::string probe(s.substr(i));
  if (probe.size() > 3) return false;
  // The second byte decides; any third and fourth will do.
  const auto lead = static_cast<unsigned char>(probe[0]);
  const std::size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  if (need <= probe.size()) return false;
  if (probe.size() == 1) {
    if (lead > 0xF4) return false;
    probe += static_cast<char>(lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80);
  }
  probe.resize(need, static_cast<char>(0x80));
  return utf8_length_at(probe, 0) == need;
}

bool is_name(std::string_view name) {
  constexpr std::string_view kNever = "{}()[],\"'<>=|";
  return !name.empty() && name.back() != ':' && std::all_of(name.begin(), name.end(), [&](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 127 &&
           kNever.find(c) == std::string_view::npos;
  });
}

}  // namespace

bool is_output_marker(std::string_view m) {
  constexpr std::string_view kAll[] = {
      "<|channel>", "<channel|>", "<|tool_call>",     "<tool_call|>", "<|tool_response>", "<|\"|>",
      "<|turn>",    "<turn|>",    "<tool_response|>", "<eos>",        "<end_of_turn>"};
  return std::find(std::begin(kAll), std::end(kAll), m) != std::end(kAll);
}

Parser::Parser(Options options) : options_(std::move(options)) {
  if (options_.start == Start::Thought) state_ = State::Thought;
  if (options_.start == Start::Call) state_ = State::Head;
  bare_label_ = options_.thinking && options_.start == Start::Content;
}

Parser::~Parser() {
  JsonGuard::empty(options_.tools);
}

std::vector<Event> Parser::take() {
  return std::exchange(events_, {});
}

Finish Parser::reason() const {
  if (!stopped_) return Finish::Length;
  return calls_ > 0 ? Finish::ToolCalls : Finish::Stop;
}

void Parser::emit(Event::Kind kind, std::string_view text) {
  const bool joins = kind != Event::Kind::CallBegin && kind != Event::Kind::CallEnd;
  if (joins && text.empty()) return;
  if (joins && !events_.empty() && events_.back().kind == kind) {
    events_.back().text += text;
    return;
  }
  const bool of_call = kind != Event::Kind::Thought && kind != Event::Kind::Text;
  events_.push_back({kind, std::string(text), of_call ? calls_ - 1 : 0});
}

// ---- text

void Parser::push_text(std::string_view bytes) {
  if (state_ == State::Over) return;
  utf8_ += bytes;
  flush_utf8(false);
}

void Parser::flush_utf8(bool all) {
  std::string whole;
  std::size_t i = 0;
  while (i < utf8_.size()) {
    const std::size_t n = utf8_length_at(utf8_, i);
    if (n > 0) {
      whole.append(utf8_, i, n);
      i += n;
    } else if (!all && may_continue(utf8_, i)) {
      break;
    } else {
      whole += "\xEF\xBF\xBD";
      ++i;
    }
  }
  utf8_.erase(0, i);
  text(whole);
}

void Parser::text(std::string_view s) {
  while (!s.empty()) s.remove_prefix(step(s));
  if (arguments_) fragments();
}

std::size_t Parser::step(std::string_view s) {
  switch (state_) {
    case State::Content:
      return in_content(s);
    case State::Label:
      return in_label(s);
    case State::Thought:
      think(s);
      return s.size();
    case State::Head:
      return in_head(s);
    case State::Arguments:
      return in_arguments(s);
    case State::Done:
    case State::After: {
      // Noise after a call; anything else is content.
      const bool noise =
          is_space(s[0]) || (state_ == State::Done && (s[0] == '}' || s[0] == ')' || s[0] == ']'));
      if (noise) return 1;
      state_ = State::Content;
      return in_content(s);
    }
    case State::Raw:
      say(s);
      return s.size();
    case State::Role: {
      const std::size_t end = s.find('\n');
      if (end == std::string_view::npos) return s.size();
      state_ = State::Content;
      return end + 1;
    }
    case State::Ignored:
    case State::Over:
      return s.size();
  }
  return s.size();
}

std::size_t Parser::in_content(std::string_view s) {
  if (skip_space_ && held_.empty() && is_space(s[0])) return 1;
  if (!bare_label_ && !bare_call_) {
    say(s);
    return s.size();
  }
  held_ += s[0];
  if (bare_label_) {
    if (held_ == kLabel) {
      held_.clear();
      bare_label_ = false;
      state_ = State::Thought;
    } else if (!starts_with(kLabel, held_)) {
      bare_label_ = false;
      say(std::exchange(held_, {}));
    }
    return 1;
  }
  const bool bracket = s[0] == '{' || s[0] == '(';
  const bool head = agree(held_, "call:") && held_.size() < kMaxHead;
  if (!head || (bracket && tool(head_name()) == nullptr)) {
    bare_call_ = false;
    say(std::exchange(held_, {}));
  } else if (bracket) {
    const std::string name(head_name());
    held_.clear();
    open_call();
    begin_arguments(name, s[0]);
  }
  return 1;
}

void Parser::say(std::string_view s) {
  if (s.empty()) return;
  skip_space_ = false;
  const std::size_t last = s.find_last_not_of(" \t\n\v\f\r");
  if (last != std::string_view::npos) {
    said_ = true;
    emit(Event::Kind::Text, space_);
    space_.clear();
    emit(Event::Kind::Text, s.substr(0, last + 1));
    s.remove_prefix(last + 1);
  }
  space_ += s;
}

// ---- thoughts

std::size_t Parser::in_label(std::string_view s) {
  held_ += s[0];
  if (held_ == kLabel) {
    held_.clear();
    state_ = State::Thought;
  } else if (!starts_with(kLabel, held_)) {
    flush_label();
  }
  return 1;
}

// What stands where the label should is part of the thought; the bare label is none.
void Parser::flush_label() {
  const std::string label = std::exchange(held_, {});
  state_ = State::Thought;
  if (label != "thought") think(label);
}

void Parser::think(std::string_view s) {
  if (s.empty()) return;
  if (newline_) emit(Event::Kind::Thought, "\n");
  newline_ = s.back() == '\n';
  if (newline_) s.remove_suffix(1);
  emit(Event::Kind::Thought, s);
  said_ = true;
}

void Parser::end_thought() {
  if (state_ == State::Label) flush_label();
  if (state_ != State::Thought) return;
  newline_ = false;
  state_ = State::Content;
  skip_space_ = !options_.exact;
  bare_call_ = options_.tools.is_array();
}

void Parser::open_channel() {
  if (state_ == State::Label || state_ == State::Thought) return;
  if (state_ == State::Arguments && arguments_->in_string() && !closing_) return;
  close_call();
  space_.clear();
  bare_label_ = false;
  held_.clear();
  state_ = State::Label;
}

// ---- calls

const Json* Parser::tool(std::string_view name) const {
  if (!options_.tools.is_array()) return nullptr;
  for (const Json& t : options_.tools) {
    const Json& said = chat::member(chat::member(t, "function"), "name");
    if (said.is_string() && said.get_ref<const std::string&>() == name) return &t;
  }
  return nullptr;
}

// The name in `call:name`, `:name`, or just the name of a declared tool; else empty.
std::string_view Parser::head_name() const {
  std::string_view s = held_;
  if (!s.empty() && (s.back() == '{' || s.back() == '(')) s.remove_suffix(1);
  s = trimmed(s);
  if (tool(s) != nullptr) return s;
  if (starts_with(s, "call:")) {
    s.remove_prefix(5);
  } else if (starts_with(s, ":")) {
    s.remove_prefix(1);
  } else {
    return "";
  }
  s = trimmed(s);
  return tool(s) != nullptr || is_name(s) ? s : "";
}

std::size_t Parser::in_head(std::string_view s) {
  const bool bracket = s[0] == '{' || s[0] == '(';
  held_ += s[0];
  if (bracket && !head_name().empty()) {
    const std::string name(head_name());
    held_.clear();
    begin_arguments(name, s[0]);
  } else if (bracket || held_.size() > kMaxHead) {
    give_up_head();
  }
  return 1;
}

// Its text is content; markers in it are left out.
void Parser::give_up_head() {
  state_ = State::Raw;
  say(std::exchange(held_, {}));
}

void Parser::begin_arguments(std::string_view name, char bracket) {
  const Json* declared = tool(name);
  const Json& schema = declared == nullptr
                           ? chat::member(Json(), "")
                           : chat::member(chat::member(*declared, "function"), "parameters");
  ++calls_;
  said_ = true;
  emit(Event::Kind::CallBegin, name);
  arguments_ = std::make_unique<Arguments>(schema.is_object() ? &schema : nullptr, bracket);
  state_ = State::Arguments;
}

std::size_t Parser::in_arguments(std::string_view s) {
  std::size_t used = 0;
  if (closing_) {
    // After <tool_call|> inside a text: kept until it is clear whether the text goes on.
    after_ += s;
    return s.size();
  }
  while (used < s.size() && !arguments_->complete()) arguments_->text(s[used++]);
  if (arguments_->complete()) end_call(false);
  return used;
}

void Parser::fragments() {
  emit(Event::Kind::CallArguments, arguments_->take_json());
}

void Parser::end_call(bool cut_off) {
  arguments_->end(cut_off);
  fragments();
  emit(Event::Kind::CallEnd, "");
  arguments_.reset();
  state_ = State::Done;
  if (!closing_) return;
  closing_ = false;
  state_ = State::After;
  text(std::exchange(after_, {}));
}

// Whatever call is open ends here.
void Parser::close_call() {
  if (state_ == State::Arguments) end_call(false);
  if (state_ == State::Head) {
    const std::string_view said = trimmed(held_);
    const std::string name(head_name());
    if (!name.empty()) {
      held_.clear();
      begin_arguments(name, '{');
      end_call(false);
    } else if (starts_with("call:", said)) {
      held_.clear();  // nothing was called
    } else {
      give_up_head();
    }
  }
  if (!held_.empty() && state_ == State::Content) say(std::exchange(held_, {}));
  bare_call_ = false;
}

void Parser::open_call() {
  end_thought();
  close_call();
  space_.clear();
  held_.clear();
  bare_label_ = bare_call_ = false;
  skip_space_ = false;
  state_ = State::Head;
}

// ---- control tokens

void Parser::push_marker(std::string_view m) {
  if (state_ == State::Over) return;
  flush_utf8(true);
  const bool arguments = state_ == State::Arguments;
  if (m == "<|channel>") {
    if (state_ != State::Ignored) open_channel();
  } else if (m == "<channel|>") {
    end_thought();
  } else if (m == "<|tool_call>") {
    open_call();
  } else if (m == "<tool_call|>") {
    if (arguments && arguments_->in_string()) {
      closing_ = true;
    } else if (arguments || state_ == State::Head || state_ == State::Done ||
               state_ == State::Raw) {
      close_call();
      state_ = state_ == State::Raw ? State::Content : State::After;
    }
  } else if (m == "<|\"|>") {
    if (!arguments) return;
    closing_ = false;  // the text went on after all
    for (const char c : std::exchange(after_, {})) arguments_->text(c);
    arguments_->quote();
    fragments();
  } else if (m == "<|turn>") {
    turn();
  } else if (is_output_marker(m) && m != "<tool_response|>") {
    stop();
    state_ = m == "<|tool_response>" ? State::Ignored : State::Over;
  }
}

// A role's line at the very start is skipped; later a new turn is the end of this one.
void Parser::turn() {
  if (state_ == State::Content && !said_) {
    held_.clear();
    space_.clear();
    state_ = State::Role;
    return;
  }
  stop();
  state_ = State::Over;
}

void Parser::stop() {
  stopped_ = true;
  end_thought();
  close_call();
  if (options_.exact && state_ == State::Content) emit(Event::Kind::Text, space_);
  space_.clear();
}

void Parser::finish() {
  if (state_ == State::Over) return;
  flush_utf8(true);
  if (state_ == State::Label) flush_label();
  if (state_ == State::Arguments) end_call(!closing_);
  if (state_ == State::Head && !starts_with("call:", trimmed(held_))) give_up_head();
  if (state_ == State::Content && !held_.empty()) say(std::exchange(held_, {}));
  if (state_ == State::Content || state_ == State::Raw) emit(Event::Kind::Text, space_);
  if (newline_) emit(Event::Kind::Thought, "\n");
  state_ = State::Over;
}

}  // namespace bezel::output
