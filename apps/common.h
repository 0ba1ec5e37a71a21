// What the commands share: standard output that is checked, errors as sentences, Ctrl-C, flags.
#pragma once
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "bezel/engine.h"
#include "bezel/result.h"
#include "engine/runner.h"

namespace bezel::app {

enum ExitStatus { kDone = 0, kFailed = 1, kUsage = 2, kInterrupted = 130 };

// ---- output

// Standard output: results only, held back until flush() or 64 KB. After a failed write everything
// else is dropped.
class Output {
 public:
  bool write(std::string_view text);  // false once writing has failed
  bool flush();
  // Flushes; `status`, or kFailed when something could not be written. Says so on standard error
  // unless the reader closed the pipe.
  int finish(int status);

 private:
  std::string buffer_;
  int error_ = 0;  // errno of the first failure
};
Output& output();

// `text` with spaces for control characters: names come from files and may hold anything.
std::string one_line(std::string_view text);
// "bezel: ERROR" on standard error, one line; gives the exit status.
int fail(const Error& error);
// A line on standard error that is no error.
void note(std::string_view text);

// ---- Ctrl-C

// While one lives, SIGINT sets the flag instead of ending the program; a second one before the flag
// is cleared ends it at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static const std::atomic<bool>& flag();
  static void clear();
};

// ---- flags

// Whole numbers from lo to hi.
CLI::Range range(int lo, int hi);

// Those of every command that runs a model. Must not move after add().
struct ModelFlags {
  EngineOptions options;

  void add(CLI::App& command);
  void add_cache(CLI::App& command);  // of those that answer
};

struct SamplingFlags {
  std::optional<float> temperature, top_p, min_p;
  std::optional<int> top_k;
  float repetition_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> bias, stop;
  bool greedy = false;
  int max_tokens = 0;

  void add(CLI::App& command);
  // The model's own defaults with what was asked for in their place; without --seed a random one.
  Result<Request> request(const Engine& engine) const;
};

// MODEL of a command, or an option in its place: a file, a folder, or a name (bezel/store.h). Adds
// --offline. Neither `path` nor `asked`, which gets the name if one was given, may move.
CLI::Option* add_model(CLI::App& command, const std::string& option, std::string& path,
                       const std::string& text = "model: a file, a folder, or a name like e2b",
                       std::string* asked = nullptr);
// Puts a path in place of every name that add_model() has read; asks before it fetches.
Status find_models();

// Ids given on the command line or in a file: decimal, separated by commas or white space.
struct IdsFlags {
  std::string ids, file;

  void add(CLI::App& command, bool in_place);
  Result<std::vector<TokenId>> read() const;
};
Result<std::vector<TokenId>> parse_ids(std::string_view text, const std::string& where);

// The context chosen and the memory it takes, on standard error.
void note_context(const EngineInfo& info);
// Says when prefixes could not be stored.
void note_stored(const Status& stored);

// ---- commands: each adds itself to `app`; when chosen it sets `action`.

using Action = std::function<int()>;
void add_run(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_serve(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_pull(CLI::App& app, Action& action);
void add_rm(CLI::App& app, Action& action);
void add_doctor(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_perplexity(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_render(CLI::App& app, Action& action);
void add_parse(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_toolcheck(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

}  // namespace bezel::app
