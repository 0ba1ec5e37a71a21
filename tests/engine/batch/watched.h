// A service, and requests to it that a test can wait for.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "bezel/service.h"
#include "engine/harness.h"

namespace bezel::test {

// One job's events, for another thread to wait for.
class Watched {
 public:
  Job job(Request request) {
    Job j;
    j.request = std::move(request);
    j.on_event = [this](const Event& e) { return event(e); };
    j.on_done = [this](Result<Reply> r) { done(std::move(r)); };
    return j;
  }
  std::function<bool(const Answer&)> watch;  // engine thread; false cancels

  // The answer, once it is whole.
  Answer wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [this] { return ended_; }));
    return answer_;
  }
  bool wait_for_text(std::size_t pieces) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(60),
                             [&] { return ended_ || answer_.pieces.size() >= pieces; });
  }

 private:
  bool event(const Event& e) {
    const std::lock_guard lock(mutex_);
    if (const auto* piece = std::get_if<TextPiece>(&e)) {
      answer_.text += piece->text;
      answer_.pieces.push_back(*piece);
    } else if (const auto* progress = std::get_if<PromptProgress>(&e)) {
      answer_.progress.push_back(*progress);
    }
    changed_.notify_all();
    return watch ? watch(answer_) : true;
  }
  void done(Result<Reply> r) {
    const std::lock_guard lock(mutex_);
    if (r)
      answer_.done = r->done;
    else
      answer_.error = r.error();
    EXPECT_FALSE(ended_) << "ended twice";
    ended_ = true;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Answer answer_;
  bool ended_ = false;
};

inline std::unique_ptr<Service> start(int sequences, int queue = 64, int context = 512,
                                      const EngineOptions& engine = tiny_engine()) {
  ServiceOptions o;
  o.engine = engine;
  o.engine.sequences = sequences;
  o.engine.context = context;
  o.queue = queue;
  auto service = Service::start(o);
  if (!service) throw std::runtime_error(service.error().text());
  return *std::move(service);
}

}  // namespace bezel::test
