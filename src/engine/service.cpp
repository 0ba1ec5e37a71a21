#include "bezel/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "base/fp_env.h"
#include "engine/local_engine.h"

namespace bezel {

namespace {

struct Task {
  std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<Answer> answer;
  std::function<void(Result<Reply>)> on_done;
};

class LocalService final : public Service {
 public:
  LocalService(std::unique_ptr<LocalEngine> engine, int queue)
      : engine_(std::move(engine)), most_(engine_->info().sequences + queue) {
    thread_ = std::thread([this] { work(); });
  }
  ~LocalService() override { end(); }

  const Engine& engine() const override { return *engine_; }
  Result<Ticket> submit(Job job) override;
  ServiceLoad load() const override;
  Status stop() override {
    end();
    return engine_->store_prefixes();
  }

 private:
  Status enter();
  void end();
  void work();
  bool fetch();
  void step();
  void finish(Task& task);
  void count(const Result<Reply>& reply);

  std::unique_ptr<LocalEngine> engine_;
  int most_;                  // jobs that may be inside
  std::vector<Task> tasks_;   // engine thread
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::deque<Task> inbox_;
  ServiceLoad load_;
  int inside_ = 0;  // jobs taken and not ended
  bool stopping_ = false;
  std::thread thread_;
};

void LocalService::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// Takes a place for one more job.
Status LocalService::enter() {
  const std::lock_guard lock(mutex_);
  if (inside_ >= most_ || stopping_) {
    ++load_.refused;
    const int sequences = engine_->info().sequences;
    return Error{Errc::Busy,
                 stopping_ ? "the service is stopping"
                           : fmt::format("{} requests run and {} wait, which is all that may; try "
                                         "again later",
                                         sequences, most_ - sequences),
                 ""};
  }
  ++inside_;
  ++load_.requests;
  return Ok{};
}

Result<Ticket> LocalService::submit(Job job) {
  BEZEL_DO(enter());
  const auto leave = [this](Error error) {
    const std::lock_guard lock(mutex_);
    --inside_;
    ++load_.failed;
    return error;
  };
  try {
    Task task;
    job.request.cancel = task.stop.get();
    auto answer = job.turns.empty()
                      ? engine_->open(job.request, std::move(job.on_event))
                      : engine_->open(job.turns, job.talk, job.request, std::move(job.on_event));
    if (!answer) return leave(answer.error());
    task.answer = *std::move(answer);
    task.on_done = std::move(job.on_done);
    Ticket ticket(task.stop);
    {
      const std::lock_guard lock(mutex_);
      inbox_.push_back(std::move(task));
    }
    wake_.notify_all();
    return ticket;
  } catch (const std::bad_alloc&) {
    return leave({Errc::NoMemory, "not enough memory for the request", ""});
  }
}

ServiceLoad LocalService::load() const {
  const std::lock_guard lock(mutex_);
  ServiceLoad load = load_;
  load.running = std::min(load.running, inside_);  // one that has just ended is not
  load.waiting = inside_ - load.running;
  return load;
}

// Jobs from the inbox, waiting for one when there is nothing to do. False: the end.
bool LocalService::fetch() {
  std::unique_lock lock(mutex_);
  const Scheduler& scheduler = engine_->scheduler();
  load_.running = scheduler.running();
  load_.positions = scheduler.positions_held();
  load_.passes = scheduler.passes();
  load_.preemptions = scheduler.preemptions();
  load_.checkpoints = scheduler.prefixes().size();
  load_.cache_bytes = scheduler.cache_bytes();
  wake_.wait(lock, [this] { return stopping_ || !inbox_.empty() || !tasks_.empty(); });
  while (!inbox_.empty()) {
    tasks_.reserve(tasks_.size() + 1);  // what may fail comes first
    engine_->scheduler().add(*inbox_.front().answer->sequence);
    tasks_.push_back(std::move(inbox_.front()));
    inbox_.pop_front();
  }
  if (stopping_)
    for (const Task& t : tasks_) t.stop->store(true);
  return !stopping_ || !tasks_.empty();
}

void LocalService::work() {
  const FpEnv env;
  while (true) {
    try {
      if (!fetch()) return;
    } catch (const std::bad_alloc&) {  // what is under way goes on
    }
    step();
  }
}

void LocalService::step() {
  Scheduler& scheduler = engine_->scheduler();
  try {
    scheduler.step();
  } catch (const std::bad_alloc&) {  // outside a pass: nobody can go on
    for (Task& t : tasks_) t.answer->sequence->fail(no_memory());
  }
  const auto ended = std::stable_partition(
      tasks_.begin(), tasks_.end(), [](const Task& t) { return !t.answer->sequence->ended(); });
  for (auto t = ended; t != tasks_.end(); ++t) finish(*t);
  tasks_.erase(ended, tasks_.end());
}

void LocalService::finish(Task& task) {
  engine_->scheduler().remove(*task.answer->sequence);
  Result<Reply> reply = no_memory();
  try {
    reply = task.answer->take();
  } catch (const std::bad_alloc&) {  // the error above
  }
  count(reply);
  task.on_done(std::move(reply));
}

void LocalService::count(const Result<Reply>& reply) {
  const std::lock_guard lock(mutex_);
  --inside_;
  if (!reply) {
    ++load_.failed;
    return;
  }
  const Done& d = reply->done;
  load_.cancelled += d.reason == DoneReason::Cancelled ? 1U : 0U;
  load_.prompt_tokens += static_cast<std::uint64_t>(d.prompt_tokens);
  load_.reused_tokens += static_cast<std::uint64_t>(d.reused_tokens);
  load_.answer_tokens += d.ids.size();
  load_.prompt_seconds += d.prompt_seconds;
  load_.answer_seconds += d.answer_seconds;
}

}  // namespace

Result<std::unique_ptr<Service>> Service::start(const ServiceOptions& options) {
  if (options.queue < 0)
    return Error{Errc::BadInput,
                 fmt::format("a queue cannot have {} places; 0 or more", options.queue), ""};
  BEZEL_TRY(auto engine, LocalEngine::open(options.engine, true));
  return std::unique_ptr<Service>(std::make_unique<LocalService>(std::move(engine), options.queue));
}

}  // namespace bezel
