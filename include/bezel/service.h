// One model for many: requests from any thread, answered at the same time by one engine thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"

namespace bezel {

struct ServiceOptions {
  EngineOptions engine;  // `sequences` answers run at the same time
  int queue = 64;        // requests that may wait beside those; more are refused
};

// A conversation to answer, or a prompt.
struct Job {
  std::vector<Turn> turns;  // empty: the prompt of `request` is answered, as by generate()
  Talk talk;
  Request request;  // its `cancel` is the service's
  // Both run on the engine's thread: they must be quick and never wait, for nobody's answer goes on
  // meanwhile. Returning false cancels.
  std::function<bool(const Event&)> on_event;
  // Called once for every job that was taken, after its last event.
  std::function<void(Result<Reply>)> on_done;
};

// Stops its job; the last copy may go before the job ends.
class Ticket {
 public:
  Ticket() = default;
  explicit Ticket(std::shared_ptr<std::atomic<bool>> stop) : stop_(std::move(stop)) {}
  // At once: the job ends as Cancelled before the next forward pass.
  void cancel() const {
    if (stop_ != nullptr) stop_->store(true);
  }

 private:
  std::shared_ptr<std::atomic<bool>> stop_;
};

// What a service does and has done since its start.
struct ServiceLoad {
  int running = 0, waiting = 0;  // requests
  int positions = 0;             // held by running requests
  std::uint64_t requests = 0, cancelled = 0, failed = 0, refused = 0;
  std::uint64_t prompt_tokens = 0, reused_tokens = 0, answer_tokens = 0;  // of ended requests
  std::uint64_t passes = 0;
  std::uint64_t preemptions = 0;  // times that a running request had to wait for want of memory
  std::uint64_t cache_bytes = 0;  // of keys and values, kept prefixes included
  int checkpoints = 0;            // kept prefixes
  double prompt_seconds = 0, answer_seconds = 0;  // of ended requests, added up
};

// Any thread.
class Service {
 public:
  static Result<std::unique_ptr<Service>> start(const ServiceOptions& options);
  virtual ~Service() = default;  // cancels what runs, and waits for that

  // For its const methods: what the model is, and prompts.
  virtual const Engine& engine() const = 0;
  // Reads and checks the job on this thread, and queues it. An Error, and neither callback is ever
  // called: as of generate() and reply(), or Busy, with numbers.
  virtual Result<Ticket> submit(Job job) = 0;
  virtual ServiceLoad load() const = 0;
  // Cancels what runs, waits for that, and stores prefixes; see Engine::store_prefixes. What is
  // submitted later is refused. Once, by the thread that destroys the service.
  virtual Status stop() = 0;
};

}  // namespace bezel
