#include "server/models/loader.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "server/reserve.h"

namespace bezel {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

const Error kStopping = {Errc::Busy, "the server is stopping", ""};

// Sums of what is counted from the start on.
void add(ServiceLoad& to, const ServiceLoad& from) {
  to.requests += from.requests;
  to.cancelled += from.cancelled;
  to.failed += from.failed;
  to.refused += from.refused;
  to.prompt_tokens += from.prompt_tokens;
  to.reused_tokens += from.reused_tokens;
  to.answer_tokens += from.answer_tokens;
  to.passes += from.passes;
  to.preemptions += from.preemptions;
  to.prompt_seconds += from.prompt_seconds;
  to.answer_seconds += from.answer_seconds;
}

class OneModel final : public Loader {
 public:
  explicit OneModel(LoaderOptions options) : options_(std::move(options)) {}
  ~OneModel() override { stop(); }

  Status begin() {
    if (!options_.service.engine.model_path.empty()) {
      Wanted first;
      first.name = options_.first;
      first.path = options_.service.engine.model_path;
      BEZEL_TRY(now_.service, open(first));
      hold(first);
    }
    thread_ = std::thread([this] { run(); });
    return Ok{};
  }

  void with(const std::string& name, KeepAlive keep_alive, Loader::Use use) override;
  std::optional<LoadedModel> loaded() override {
    const std::lock_guard lock(mutex_);
    if (now_.service == nullptr || stopping_) return std::nullopt;
    return lend(false);
  }
  std::optional<seconds> seconds_left() const override {
    const std::lock_guard lock(mutex_);
    if (now_.service == nullptr || now_.keep_alive < seconds(0)) return std::nullopt;
    const auto idle = now_.uses > 0 ? Clock::duration(0) : Clock::now() - now_.last_use;
    return std::max(seconds(0), std::chrono::duration_cast<seconds>(now_.keep_alive - idle));
  }
  void forget(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (now_.path != path) return;
    now_.names.clear();
    now_.keep_alive = seconds(0);
    changed_.notify_all();
  }
  ServiceLoad load() const override {
    const std::lock_guard lock(mutex_);
    ServiceLoad sum = now_.service == nullptr ? ServiceLoad() : now_.service->load();
    add(sum, past_);
    sum.waiting += static_cast<int>(wanted_.size());
    return sum;
  }
  void stop() override;

 private:
  class Use {
   public:
    Use(OneModel& of, bool answers) : of_(of), answers_(answers) {}
    ~Use() { of_.used(answers_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    OneModel& of_;
    bool answers_;  // else it only looks, which keeps nothing loaded for longer
  };
  struct Wanted {
    std::string name, path;
    std::uint64_t bytes = 0;  // of its files; 0: not known
    std::string asked;        // what the request called it
    KeepAlive keep_alive;
    Loader::Use use;
  };
  struct Model {
    std::unique_ptr<Service> service;
    std::string name, path;
    std::set<std::string> names;  // that were found to be this model
    int uses = 0;
    seconds keep_alive{-1};
    Clock::time_point last_use;
  };

  bool has_first() const { return !options_.service.engine.model_path.empty(); }
  Result<Wanted> find(const std::string& name) const;
  std::optional<Error> wait(Wanted w, Loader::Use& use);
  Result<std::unique_ptr<Service>> open(const Wanted& w) const;
  // With the lock held, or before there is a thread.
  void hold(const Wanted& w);
  LoadedModel lend(bool answers = true);
  bool is_now(const std::string& asked) const {
    return now_.service != nullptr && now_.names.count(asked) > 0;
  }
  void used(bool answers);
  // On the loader's thread.
  void run();
  bool idle_too_long() const {
    return now_.service != nullptr && now_.uses == 0 && now_.keep_alive >= seconds(0) &&
           Clock::now() - now_.last_use >= now_.keep_alive;
  }
  void let_go(std::unique_lock<std::mutex>& lock);
  void serve_first(std::unique_lock<std::mutex>& lock);
  void hand_out(std::unique_lock<std::mutex>& lock, const std::string& path,
                const std::optional<Error>& error);

  const LoaderOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Wanted> wanted_;
  Model now_;
  ServiceLoad past_;  // of models that were let go
  bool stopping_ = false;
  std::thread thread_;
};

// Which model a name means. Looks at the disk.
Result<OneModel::Wanted> OneModel::find(const std::string& name) const {
  Wanted w;
  w.asked = name;
  if (options_.store != nullptr && !name.empty() && name != options_.first) {
    auto found = options_.store->find(name);
    if (found) {
      w.name = found->model.name;
      w.path = found->model.path;
      w.bytes = found->model.bytes;
      return w;
    }
    if (found.error().code != Errc::NotFound) return found.error();
    const auto plan = options_.store->plan(name);
    if (plan)
      return Error{Errc::NotFound,
                   fmt::format("{} is not on this machine; `bezel pull {}` or POST /api/pull "
                               "fetches it",
                               name, name),
                   "model"};
    if (!has_first()) return found.error();
  }
  if (!has_first())
    return Error{Errc::BadInput, "must name a model: none is loaded, and GET /v1/models lists them",
                 "model"};
  w.name = options_.first;
  w.path = options_.service.engine.model_path;
  return w;
}

Result<std::unique_ptr<Service>> OneModel::open(const Wanted& w) const {
  ServiceOptions options = options_.service;
  const std::uint64_t most = options.engine.memory;
  if (most > 0 && w.bytes > most)
    return Error{
        Errc::TooLarge,
        fmt::format("{} has {:.1f} GB, and models may take {:.1f} GB here (--memory)", w.name,
                    static_cast<double>(w.bytes) / 1e9, static_cast<double>(most) / 1e9),
        "model"};
  options.engine.model_path = w.path;
  return Service::start(options);
}

void OneModel::hold(const Wanted& w) {
  const bool first = w.path == options_.service.engine.model_path;
  now_.name = w.name;
  now_.path = w.path;
  now_.names = {w.name, w.asked};
  if (first || !has_first()) now_.names.insert("");
  now_.keep_alive = first ? seconds(-1) : options_.keep_alive;
  now_.last_use = Clock::now();
}

LoadedModel OneModel::lend(bool answers) {
  LoadedModel out = {now_.service.get(), now_.name, std::make_shared<const Use>(*this, answers)};
  ++now_.uses;
  return out;
}

void OneModel::used(bool answers) {
  const std::lock_guard lock(mutex_);
  --now_.uses;
  if (answers) now_.last_use = Clock::now();
  changed_.notify_all();
}

void OneModel::with(const std::string& name, KeepAlive keep_alive, Loader::Use use) {
  std::optional<LoadedModel> model;
  {
    const std::lock_guard lock(mutex_);
    const bool any = name.empty() && !has_first();
    if (!stopping_ && (any || wanted_.empty()) && is_now(name)) {
      if (keep_alive) now_.keep_alive = *keep_alive;
      model = lend();
    }
  }
  if (model) return use(*std::move(model));
  auto found = find(name);
  if (!found) return use(found.error());
  found->keep_alive = keep_alive;
  const auto error = wait(*std::move(found), use);
  if (error) use(*error);
}

// Takes `use`, or says why not.
std::optional<Error> OneModel::wait(Wanted w, Loader::Use& use) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return kStopping;
  if (static_cast<int>(wanted_.size()) >= options_.waiting)
    return Error{Errc::Busy, fmt::format("{} requests wait for a model already", wanted_.size()),
                 ""};
  w.use = std::move(use);
  wanted_.push_back(std::move(w));
  changed_.notify_all();
  return std::nullopt;
}

void OneModel::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (stopping_) return;
    if (!wanted_.empty() && (now_.uses == 0 || wanted_.front().path == now_.path)) {
      serve_first(lock);
    } else if (idle_too_long()) {
      let_go(lock);
    } else if (now_.service != nullptr && now_.uses == 0 && now_.keep_alive >= seconds(0)) {
      changed_.wait_until(lock, now_.last_use + now_.keep_alive);
    } else {
      changed_.wait(lock);
    }
  }
}

// Loads what the first who waits asks for, unless it is there.
void OneModel::serve_first(std::unique_lock<std::mutex>& lock) {
  const std::string path = wanted_.front().path;
  std::optional<Error> error;
  if (now_.service == nullptr || now_.path != path) {
    Wanted w = wanted_.front();
    w.use = nullptr;
    if (now_.service != nullptr) let_go(lock);
    lock.unlock();
    auto service = open(w);
    if (service && options_.told) options_.told(w.name, &(*service)->engine().info());
    lock.lock();
    if (service) {
      now_.service = *std::move(service);
      hold(w);
    } else {
      error = service.error();  // clients need not know where it lies
      if (error->where.rfind(path, 0) == 0) error->where.replace(0, path.size(), w.name);
    }
  }
  hand_out(lock, path, error);
}

// To everyone who waits for that model.
void OneModel::hand_out(std::unique_lock<std::mutex>& lock, const std::string& path,
                        const std::optional<Error>& error) {
  std::deque<Wanted> mine, others;
  for (Wanted& w : wanted_) (w.path == path ? mine : others).push_back(std::move(w));
  wanted_ = std::move(others);
  for (Wanted& w : mine) {
    Result<LoadedModel> model = kStopping;
    if (error) {
      model = *error;
    } else {
      now_.names.insert(w.asked);
      if (w.keep_alive) now_.keep_alive = *w.keep_alive;
      model = lend();
    }
    lock.unlock();
    keep_reserve();
    try {
      w.use(std::move(model));
    } catch (const std::exception&) {  // no memory even for saying so: it goes unanswered
    }
    w.use = nullptr;
    lock.lock();
  }
}

void OneModel::let_go(std::unique_lock<std::mutex>& lock) {
  Model gone = std::move(now_);
  now_ = Model();
  add(past_, gone.service->load());
  lock.unlock();
  const Status stored = gone.service->stop();
  gone.service.reset();
  if (options_.stored) options_.stored(stored);
  if (options_.told) options_.told(gone.name, nullptr);
  lock.lock();
}

void OneModel::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  for (Wanted& w : std::exchange(wanted_, {})) w.use(kStopping);
  if (now_.service == nullptr) return;
  const Status stored = now_.service->stop();
  if (options_.stored) options_.stored(stored);
  std::unique_ptr<Service> service;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return now_.uses == 0; });
    add(past_, now_.service->load());
    service = std::move(now_.service);
  }
}

}  // namespace

Result<std::unique_ptr<Loader>> Loader::start(const LoaderOptions& options) {
  auto loader = std::make_unique<OneModel>(options);
  BEZEL_DO(loader->begin());
  return std::unique_ptr<Loader>(std::move(loader));
}

}  // namespace bezel
