// What a model writes, taken apart for the caller: thought, text, calls.
#pragma once
#include <functional>
#include <string>

#include "bezel/engine.h"
#include "engine/talk/stop.h"
#include "text/output/parser.h"

namespace bezel {

// One answer. Borrows the tokenizer and on_event.
class Talker {
 public:
  using OnEvent = std::function<bool(const Event&)>;

  // `n_calls`: calls of the conversation so far, for their ids.
  Talker(const Tokenizer& tokenizer, output::Options options, std::vector<std::string> stops,
         std::size_t n_calls, const OnEvent& on_event);

  // An event of generate(); false when the caller cancels, or a stop text was found.
  bool push(const Event& event);
  // The answer is over: its end token, what was held back, and how it ended.
  void finish(Done& done);
  Turn take() { return std::move(turn_); }

 private:
  bool pass(const std::vector<output::Event>& events, const TextPiece* token);
  bool say(TextPiece piece);
  bool call(const output::Event& event);

  output::Parser parser_;
  output::IdFeed feed_;
  StopScanner stop_;
  const OnEvent& on_event_;
  std::size_t n_calls_;
  Turn turn_;
  bool go_on_ = true;
};

}  // namespace bezel
