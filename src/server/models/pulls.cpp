#include "server/models/pulls.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <list>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include "server/api/ollama.h"
#include "server/reserve.h"

namespace bezel {

namespace {

using api::ExchangePtr;

constexpr std::size_t kMostPulls = 4;

// The news of one pull, written to its client.
class News {
 public:
  News(ExchangePtr exchange, bool stream) : exchange_(std::move(exchange)), stream_(stream) {}

  // False: the client is gone.
  bool show(const PullProgress& p) {
    using Stage = PullProgress::Stage;
    const auto now = std::chrono::steady_clock::now();
    const bool same = p.stage == stage_ && p.file == file_;
    if (p.stage == Stage::Asking || !stream_) return true;
    if (same && now - last_ < std::chrono::milliseconds(200)) return true;
    last_ = now;
    stage_ = p.stage;
    file_ = p.file;
    Json j;
    if (p.stage == Stage::Waiting) j["status"] = "waiting for another program";
    if (p.stage == Stage::Checking) j["status"] = fmt::format("verifying {}", p.file);
    if (p.stage == Stage::Downloading) {
      j["status"] = fmt::format("pulling {}", p.file);
      j["total"] = p.total;
      j["completed"] = p.done;
    }
    return line(j);
  }
  void end(const Status& pulled) {
    Json j;
    if (pulled) {
      j["status"] = "success";
      if (!stream_) return exchange_->respond(200, "application/json", dump_json(j));
      line(j);
      return exchange_->end();
    }
    const Error& e = pulled.error();
    const int status = e.code == Errc::Io         ? 502
                       : e.code == Errc::TooLarge ? 507
                                                  : api::status_of(e);
    const std::string body = api::ollama_error(e, status);
    if (!begun_) return exchange_->respond(status, "application/json", body);
    exchange_->write(body + "\n");
    exchange_->end();
  }

 private:
  bool line(const Json& j) {
    if (!std::exchange(begun_, true)) {
      exchange_->begin(200, "application/x-ndjson");
      exchange_->write("{\"status\":\"pulling manifest\"}\n");
    }
    return exchange_->write(dump_json(j) + "\n");
  }

  ExchangePtr exchange_;
  bool stream_, begun_ = false;
  PullProgress::Stage stage_ = PullProgress::Stage::Asking;
  std::string file_;
  std::chrono::steady_clock::time_point last_;
};

class Threads final : public Pulls {
 public:
  explicit Threads(ModelStore& store) : store_(store) {}
  ~Threads() override { stop(); }

  void start(const std::string& name, bool stream, const ExchangePtr& exchange) override {
    const auto pull = std::make_shared<Pull>();
    const Status begun = begin(name, stream, exchange, pull);
    if (!begun) return api::refuse(*exchange, begun.error(), api::ollama_error);
    exchange->on_gone([pull] { pull->cancel = true; });
  }

  void stop() override {
    std::list<std::shared_ptr<Pull>> all;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      all.swap(all_);
    }
    for (const auto& p : all) p->cancel = true;
    for (const auto& p : all) p->thread.join();
  }

 private:
  struct Pull {
    std::atomic<bool> cancel{false}, ended{false};
    std::thread thread;
  };

  Status begin(const std::string& name, bool stream, const ExchangePtr& exchange,
               const std::shared_ptr<Pull>& pull) {
    if (name.find("://") != std::string::npos)
      return Error{Errc::BadInput, "is a URL, which `bezel pull` takes; here it must be a name",
                   "model"};
    const std::lock_guard lock(mutex_);
    if (stopping_) return Error{Errc::Busy, "the server is stopping", ""};
    all_.remove_if([](const std::shared_ptr<Pull>& p) {
      if (!p->ended) return false;
      p->thread.join();
      return true;
    });
    if (all_.size() >= kMostPulls)
      return Error{Errc::Busy, fmt::format("{} models are fetched already", all_.size()), ""};
    all_.push_back(pull);
    try {
      pull->thread = std::thread(
          [this, pull = pull.get(), name, news = News(exchange, stream)]() mutable noexcept {
            run(*pull, name, std::move(news));
          });
    } catch (const std::exception&) {
      all_.pop_back();
      return Error{Errc::NoMemory, "there is no room for another thread", ""};
    }
    return Ok{};
  }

  // The news goes before the pull has ended: whoever waits for that may then end the connections.
  void run(Pull& pull, const std::string& name, News news) {
    try {
      keep_reserve();
      PullOptions options;
      options.cancel = &pull.cancel;
      options.on_progress = [&](const PullProgress& p) {
        if (!news.show(p)) pull.cancel = true;
      };
      const auto pulled = store_.pull(name, options);
      news.end(pulled ? Status(Ok{}) : Status(pulled.error()));
    } catch (const std::exception&) {  // no memory to say anything: the connection ends
    }
    { const News gone = std::move(news); }
    pull.ended = true;
  }

  ModelStore& store_;
  std::mutex mutex_;
  std::list<std::shared_ptr<Pull>> all_;
  bool stopping_ = false;
};

}  // namespace

std::unique_ptr<Pulls> Pulls::make(ModelStore& store) {
  return std::make_unique<Threads>(store);
}

}  // namespace bezel
