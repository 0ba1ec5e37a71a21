#include "server/models/loader.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
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

// Where there is no memory even for saying so, the request goes unanswered.
void give(const Loader::Use& use, const std::optional<LoadedModel>& model,
          const std::optional<Error>& error) {
  keep_reserve();
  try {
    use(model ? Result<LoadedModel>(*model) : Result<LoadedModel>(*error));
  } catch (const std::exception&) {
  }
}

class OneModel final : public Loader {
 public:
  explicit OneModel(LoaderOptions options) : options_(std::move(options)) {}
  ~OneModel() override { stop(); }

  Status begin();
  void with(const std::string& name, KeepAlive keep_alive, const Gone& gone,
            Loader::Use use) override;
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
    now_.going = true;
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
    KeepAlive keep_alive;
    Gone gone;
    Loader::Use use;
  };
  struct Model {
    std::unique_ptr<Service> service;
    std::string name, path;
    int uses = 0;
    bool going = false;  // its files are
    seconds keep_alive{-1};
    Clock::time_point last_use;
  };

  const std::string& first_path() const { return options_.service.engine.model_path; }
  bool has_first() const { return !first_path().empty(); }
  Result<Wanted> find(const std::string& name) const;
  Status check_memory(const std::string& name, std::uint64_t bytes) const;
  Result<std::unique_ptr<Service>> open(const std::string& path) const;
  Result<std::unique_ptr<Service>> open_guarded(const Wanted& w) const;
  void used(bool answers);
  template <class F>
  std::optional<LoadedModel> lend_now(const F& is_right, KeepAlive keep_alive);
  std::optional<Error> wait(Wanted w, Loader::Use& use);
  std::deque<Wanted> without_the_gone();

  // With the lock held, or before there is a thread.
  bool is_now(const std::string& asked) const;
  void hold(std::unique_ptr<Service> service, const Wanted& w);
  LoadedModel lend(bool answers);

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
  Model now_;         // changed by the loader's thread alone
  ServiceLoad past_;  // of models that were let go
  bool stopping_ = false;
  std::thread thread_;
};

Status OneModel::begin() {
  if (has_first()) {
    Wanted first;
    first.name = options_.first;
    first.path = first_path();
    BEZEL_TRY(auto service, open(first.path));
    BEZEL_DO(check_memory(first.name, service->engine().info().memory.mapped));
    hold(std::move(service), first);
  }
  thread_ = std::thread([this] { run(); });
  return Ok{};
}

// ---- which model a request means

// Looks at the disk.
Result<OneModel::Wanted> OneModel::find(const std::string& name) const {
  Wanted w;
  if (options_.store != nullptr && !name.empty() && name != options_.first) {
    const auto found = options_.store->find(name);
    if (found) {
      w.path = found->model.path;
      w.name = w.path == first_path() ? options_.first : found->model.name;
      BEZEL_DO(check_memory(w.name, found->model.bytes));
      return w;
    }
    // BadInput: it cannot be a name at all, and means as little as one that is nobody's.
    const Errc code = found.error().code;
    if (code != Errc::NotFound && code != Errc::BadInput) return found.error();
    if (options_.store->plan(name))
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
  w.path = first_path();
  return w;
}

Status OneModel::check_memory(const std::string& name, std::uint64_t bytes) const {
  const std::uint64_t most = options_.service.engine.memory;
  if (most == 0 || bytes <= most) return Ok{};
  return Error{Errc::TooLarge,
               fmt::format("{} has {:.2f} GB, and a model may have {:.2f} GB here (--memory)", name,
                           static_cast<double>(bytes) / 1e9, static_cast<double>(most) / 1e9),
               ""};
}

// The loaded model's own name, or none where that means it.
bool OneModel::is_now(const std::string& asked) const {
  if (now_.service == nullptr || now_.going) return false;
  if (asked.empty()) return !has_first() || now_.path == first_path();
  return asked == now_.name;
}

void OneModel::with(const std::string& name, KeepAlive keep_alive, const Gone& gone,
                    Loader::Use use) {
  if (auto model = lend_now([&] { return is_now(name); }, keep_alive))
    return use(*std::move(model));
  auto found = find(name);
  if (!found) return use(found.error());
  const auto is_that = [&] { return now_.service != nullptr && now_.path == found->path; };
  if (auto model = lend_now(is_that, keep_alive)) return use(*std::move(model));
  found->keep_alive = keep_alive;
  found->gone = gone;
  if (const auto error = wait(*std::move(found), use)) use(*error);
}

// The loaded model, if it is the right one and nobody waits for another.
template <class F>
std::optional<LoadedModel> OneModel::lend_now(const F& is_right, KeepAlive keep_alive) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || !wanted_.empty() || !is_right()) return std::nullopt;
  if (keep_alive) now_.keep_alive = *keep_alive;
  return lend(true);
}

// Takes `use`, or says why not.
std::optional<Error> OneModel::wait(Wanted w, Loader::Use& use) {
  without_the_gone();
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

// Takes those whose clients have left out of the queue; they are let go without the lock.
std::deque<OneModel::Wanted> OneModel::without_the_gone() {
  const std::lock_guard lock(mutex_);
  std::deque<Wanted> gone, here;
  for (Wanted& w : wanted_) (w.gone != nullptr && *w.gone ? gone : here).push_back(std::move(w));
  wanted_ = std::move(here);
  return gone;
}

// ---- who uses it

void OneModel::hold(std::unique_ptr<Service> service, const Wanted& w) {
  now_.service = std::move(service);
  now_.name = w.name;
  now_.path = w.path;
  now_.keep_alive = w.path == first_path() ? seconds(-1) : options_.keep_alive;
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

// ---- the loader's thread

void OneModel::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const bool may = now_.uses == 0 || (!wanted_.empty() && wanted_.front().path == now_.path);
    if (!wanted_.empty() && may) {
      lock.unlock();
      without_the_gone();
      lock.lock();
      if (!wanted_.empty() && !stopping_) serve_first(lock);
    } else if (idle_too_long()) {
      let_go(lock);
    } else if (now_.service != nullptr && now_.uses == 0 && now_.keep_alive >= seconds(0)) {
      changed_.wait_until(lock, now_.last_use + now_.keep_alive);
    } else {
      changed_.wait(lock);
    }
  }
}

// Loads what the first who waits asks for, unless it is there. Between the look of run() and here
// somebody may have borrowed the loaded model: then there is another look.
void OneModel::serve_first(std::unique_lock<std::mutex>& lock) {
  const std::string path = wanted_.front().path;
  std::optional<Error> error;
  if (now_.service == nullptr || now_.path != path) {
    if (now_.uses > 0) return;
    Wanted w = wanted_.front();
    w.use = nullptr;
    if (now_.service != nullptr) let_go(lock);
    lock.unlock();
    auto service = open_guarded(w);
    lock.lock();
    if (service) {
      hold(*std::move(service), w);
    } else {
      error = service.error();  // clients need not know where it lies
      if (error->where.rfind(path, 0) == 0) error->where.replace(0, path.size(), w.name);
    }
  }
  hand_out(lock, path, error);
}

Result<std::unique_ptr<Service>> OneModel::open(const std::string& path) const {
  ServiceOptions options = options_.service;
  options.engine.model_path = path;
  return Service::start(options);
}

// Whatever goes wrong is the error of those who wait.
Result<std::unique_ptr<Service>> OneModel::open_guarded(const Wanted& w) const {
  try {
    auto service = open(w.path);
    if (service && options_.told) options_.told(w.name, &(*service)->engine().info());
    return service;
  } catch (const std::exception&) {  // memory, or a thread
    return Error{Errc::NoMemory, "there is no room to load this model", w.name};
  }
}

// To everyone who waits for that model.
void OneModel::hand_out(std::unique_lock<std::mutex>& lock, const std::string& path,
                        const std::optional<Error>& error) {
  std::deque<Wanted> mine, others;
  for (Wanted& w : wanted_) (w.path == path ? mine : others).push_back(std::move(w));
  wanted_ = std::move(others);
  for (Wanted& w : mine) {
    std::optional<LoadedModel> model;
    if (!error) {
      if (w.keep_alive) now_.keep_alive = *w.keep_alive;
      model = lend(true);
    }
    lock.unlock();
    give(w.use, model, error);
    model.reset();
    w.use = nullptr;
    lock.lock();
  }
}

void OneModel::let_go(std::unique_lock<std::mutex>& lock) {
  Model gone = std::exchange(now_, Model());
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
  if (thread_.joinable()) thread_.join();  // nobody else changes now_ any more
  std::deque<Wanted> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(wanted_);
  }
  for (const Wanted& w : left) give(w.use, std::nullopt, kStopping);
  if (now_.service == nullptr) return;
  const Status stored = now_.service->stop();
  if (options_.stored) options_.stored(stored);
  std::unique_ptr<Service> service;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return now_.uses == 0; });
  add(past_, now_.service->load());
  service = std::move(now_.service);
  lock.unlock();
}

}  // namespace

Result<std::unique_ptr<Loader>> Loader::start(const LoaderOptions& options) {
  auto loader = std::make_unique<OneModel>(options);
  BEZEL_DO(loader->begin());
  return std::unique_ptr<Loader>(std::move(loader));
}

}  // namespace bezel
