// The engine behind the porch: a Runner with a tokenizer, and what makes requests into sequences.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bezel/engine.h"
#include "engine/batch/scheduler.h"
#include "engine/constraint.h"
#include "engine/runner.h"
#include "engine/talk/talker.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace bezel {

// An answer that can be given to the scheduler: the sequence and, in a conversation, what takes its
// text apart.
struct Answer {
  std::function<bool(const Event&)> on_event;
  std::unique_ptr<Talker> talker;  // null: no conversation
  std::unique_ptr<Sequence> sequence;

  Result<Reply> take();  // once the sequence has ended
};

// The methods that are const, and open(), may be called by any thread; the others by one.
class LocalEngine final : public Engine {
 public:
  using OnEvent = std::function<bool(const Event&)>;

  // `serves`: there is room to read whole chunks for embeddings.
  static Result<std::unique_ptr<LocalEngine>> open(const EngineOptions& options, bool serves);

  const EngineInfo& info() const override { return info_; }
  Status store_prefixes() override;
  Sampling default_sampling() const override;
  std::vector<TokenId> raw_prompt(std::string_view text, bool markers) const override;
  std::string text_of(const std::vector<TokenId>& ids) const override;
  Result<std::vector<TokenId>> chat_prompt(const std::vector<Turn>& turns,
                                           const Talk& talk) const override;
  Result<Done> generate(const Request& request, const OnEvent& on_event) override;
  Result<Reply> reply(const std::vector<Turn>& turns, const Talk& talk, const Request& rules,
                      const OnEvent& on_event) override;

  // An answer to a prompt, and one in a conversation. Errors as of generate() and reply().
  Result<std::unique_ptr<Answer>> open(const Request& request, OnEvent on_event);
  Result<std::unique_ptr<Answer>> open(const std::vector<Turn>& turns, const Talk& talk,
                                       const Request& rules, OnEvent on_event);
  Scheduler& scheduler() { return scheduler_; }

 private:
  LocalEngine(std::unique_ptr<Runner> runner, std::unique_ptr<Tokenizer> tokenizer,
              const EngineOptions& options);
  void load_prefixes(const EngineOptions& options);
  Status check(const Request& request) const;
  Result<Reply> run(Result<std::unique_ptr<Answer>> answer);

  std::unique_ptr<Runner> runner_;
  std::unique_ptr<Tokenizer> tokenizer_;
  StyleChoice style_;
  SequenceRules rules_;
  Constraints constraints_;
  Scheduler scheduler_;
  EngineInfo info_;
  std::string cache_folder_;
  std::uint64_t prefix_key_ = 0;
};

}  // namespace bezel
