// A model's answer to events: thought, text and tool calls. Works on tokens: only control tokens
// have a meaning, the same characters spelled out are text. Where the stream is cut never matters.
// Nothing a model writes is an error, and no call is dropped without a trace.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/output/arguments.h"
#include "text/tokenizer.h"

namespace bezel::output {

struct Event {
  enum class Kind { Thought, Text, CallBegin, CallArguments, CallEnd };
  Kind kind = Kind::Text;
  std::string text;  // Thought, Text: whole UTF-8; CallBegin: the name; CallArguments: a fragment
  int index = 0;     // of a call: 0, 1, ... in order

  bool operator==(const Event&) const = default;
};

enum class Start { Content, Thought, Call };  // where the prompt left the model
enum class Finish { Stop, ToolCalls, Length };

struct Options {
  Start start = Start::Content;
  // Thinking was asked for: an answer that begins with "thought" and a newline is a thought
  // although its control token is missing.
  bool thinking = false;
  Json tools;          // as in requests; types arguments and names tools. May be null
  bool exact = false;  // the text has a form to keep: white space at its ends stays
};

// Time and memory are linear in what is pushed. The fragments of a call's arguments joined are one
// valid JSON object, also of a call that is broken or cut off.
class Parser {
 public:
  explicit Parser(Options options);
  ~Parser();

  void push_text(std::string_view bytes);     // of an ordinary token; may cut UTF-8
  void push_marker(std::string_view marker);  // a control token by its text, such as <|channel>
  // The stream is over: what was held back comes out.
  void finish();
  // What there is since the last call; neighbouring pieces of one kind are joined.
  std::vector<Event> take();

  bool stopped() const { return stopped_; }  // a control token ended the answer
  // Stop or ToolCalls when a control token ended the answer, Length when none did.
  Finish reason() const;

 private:
  enum class State {
    Content,
    Label,  // after <|channel>: the channel's name
    Thought,
    Head,  // after <|tool_call>: `call:name` up to `{`
    Arguments,
    Done,     // arguments are complete, <tool_call|> is due
    After,    // after a call
    Raw,      // a call that cannot be understood: its text is content
    Role,     // after <|turn>: the role's name
    Ignored,  // after <|tool_response>: only calls count
    Over,
  };

  void text(std::string_view s);
  void flush_utf8(bool all);
  std::size_t step(std::string_view s);  // bytes used, at least 1
  std::size_t in_content(std::string_view s);
  std::size_t in_label(std::string_view s);
  std::size_t in_head(std::string_view s);
  std::size_t in_arguments(std::string_view s);
  void say(std::string_view s);    // content, with white space at its end held back
  void think(std::string_view s);  // thought, with a newline at its end held back
  void end_thought();
  void flush_label();
  std::string_view head_name() const;
  void give_up_head();
  void begin_arguments(std::string_view name, char bracket);
  void fragments();
  void end_call(bool cut_off);
  void open_channel();
  void open_call();
  void close_call();
  void stop();
  void turn();
  const Json* tool(std::string_view name) const;
  void emit(Event::Kind kind, std::string_view text);

  Options options_;
  State state_ = State::Content;
  std::vector<Event> events_;
  std::string utf8_;   // an unfinished character
  std::string space_;  // held white space of content
  std::string held_;   // label, head, or the start of an answer that is not decided yet
  std::unique_ptr<Arguments> arguments_;
  int calls_ = 0;
  bool stopped_ = false, newline_ = false, said_ = false;
  std::string after_;        // what came after <tool_call|> inside a text
  bool closing_ = false;     // that marker was there: the text ends at it, or goes on
  bool skip_space_ = false;  // white space is dropped: after a thought
  bool bare_call_ = false;   // `call:name{` may follow without its control token
  bool bare_label_ = false;  // "thought\n" may follow without its control token
};

// For ids. Borrows the tokenizer and the parser.
class IdFeed {
 public:
  IdFeed(const Tokenizer& tokenizer, Parser& parser) : tokenizer_(tokenizer), parser_(parser) {}
  void push(TokenId id) {
    tokenizer_.is_marker(id) ? parser_.push_marker(tokenizer_.bytes_of(id))
                             : parser_.push_text(tokenizer_.bytes_of(id));
  }

 private:
  const Tokenizer& tokenizer_;
  Parser& parser_;
};

// A marker that means something to the parser. Others inside an answer are dropped.
bool is_output_marker(std::string_view text);

}  // namespace bezel::output
