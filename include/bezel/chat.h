// A conversation: history, answers, saving, and making room when the context runs out.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"

namespace bezel {

// Borrows the engine. One thread at a time.
class Chat {
 public:
  explicit Chat(Engine& engine) : engine_(engine) {}

  using OnEvent = std::function<bool(const Event&)>;
  // Gives the result of a call. An Error's sentence becomes the result, so that the model can
  // react. Of a result longer than kMaxResultBytes the model reads the beginning, and a sentence
  // that says so.
  using CallTool = std::function<Result<std::string>(const ToolCall&)>;

  // Asks and keeps question and answer. `rules` gives everything but the prompt. Calls of tools are
  // answered by `call_tool`, and the model goes on, at most kMaxRounds times. A cancelled answer
  // is kept as far as it came, without its calls; after an Error the history is as before.
  Result<Done> ask(const std::string& text, const Request& rules, const OnEvent& on_event,
                   const CallTool& call_tool = {});
  static constexpr int kMaxRounds = 16;
  static constexpr std::size_t kMaxResultBytes = std::size_t{64} << 10U;

  // What the model may do: think, call tools.
  Talk& talk() { return talk_; }

  const std::string& system() const { return system_; }
  void set_system(std::string text) { system_ = std::move(text); }
  const std::vector<Turn>& turns() const { return turns_; }  // without the system text
  void clear() { turns_.clear(); }

  // Tokens of the conversation as it would be sent now.
  Result<int> used_tokens() const;

  // Has the model write a summary, which takes the history's place. When the history is too long
  // even for that, its oldest exchanges are left out of the summary; `dropped` counts them. A
  // cancelled summary is an Error and changes nothing.
  struct Compacted {
    int before = 0, after = 0;  // tokens
    int dropped = 0;            // exchanges left out
  };
  Result<Compacted> compact(const Request& rules, const OnEvent& on_event);

  // JSON: {"system": text, "turns": [{"role": ..., "text": ...}]}; turns of assistants may have
  // "calls", those of tools have a "call_id". Thoughts are not saved.
  Status save(const std::string& path) const;
  Status load(const std::string& path);

 private:
  std::vector<Turn> with_system(const std::vector<Turn>& turns) const;

  Engine& engine_;
  Talk talk_;
  std::string system_;
  std::vector<Turn> turns_;
};

}  // namespace bezel
