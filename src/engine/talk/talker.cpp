#include "engine/talk/talker.h"

#include <fmt/format.h>

namespace bezel {

Talker::Talker(const Tokenizer& tokenizer, output::Options options, std::vector<std::string> stops,
               std::size_t n_calls, const OnEvent& on_event)
    : parser_(std::move(options)),
      feed_(tokenizer, parser_),
      stop_(std::move(stops)),
      on_event_(on_event),
      n_calls_(n_calls) {
  turn_.role = "assistant";
}

bool Talker::push(const Event& event) {
  const auto* token = std::get_if<TextPiece>(&event);
  if (token == nullptr) return on_event_(event);
  if (token->id < 0) return go_on_;  // text that generate() held back: the parser has it
  feed_.push(token->id);
  go_on_ = pass(parser_.take(), token) && !stop_.stopped();
  return go_on_;
}

// `token`: the one that was just fed, for its log-probabilities.
bool Talker::pass(const std::vector<output::Event>& events, const TextPiece* token) {
  bool go_on = true, said = false;
  for (const output::Event& e : events) {
    using Kind = output::Event::Kind;
    if (e.kind == Kind::Text) {
      TextPiece piece = token != nullptr && !said ? *token : TextPiece();
      piece.text = stop_.push(e.text);
      said = true;
      go_on = say(std::move(piece)) && go_on;
    } else if (e.kind == Kind::Thought) {
      turn_.thought += e.text;
      go_on = on_event_(ThoughtPiece{e.text}) && go_on;
    } else {
      go_on = call(e) && go_on;
    }
  }
  return go_on;
}

bool Talker::say(TextPiece piece) {
  turn_.text += piece.text;
  return on_event_(piece);
}

bool Talker::call(const output::Event& e) {
  CallPiece piece;
  piece.index = e.index;
  if (e.kind == output::Event::Kind::CallBegin) {
    turn_.calls.push_back({fmt::format("call_{}", n_calls_++), e.text, ""});
    piece.name = e.text;
  } else if (e.kind == output::Event::Kind::CallArguments) {
    turn_.calls.back().arguments += e.text;
    piece.arguments = e.text;
  } else {
    piece.complete = true;
  }
  return on_event_(piece);
}

void Talker::finish(Done& done) {
  if (!stop_.stopped()) {
    // Whichever id it was: a file may name ordinary ones as ends.
    if (done.reason == DoneReason::EndToken) parser_.push_marker("<eos>");
    parser_.finish();
    pass(parser_.take(), nullptr);
    TextPiece last;
    last.text = stop_.finish();
    if (!last.text.empty()) say(std::move(last));
  }
  if (!stop_.stopped()) return;
  done.reason = DoneReason::StopText;
  done.stop_text = stop_.found();
}

}  // namespace bezel
