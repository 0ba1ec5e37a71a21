// An answer on its way from the threads that make it to the connection that sends it. For
// server.cpp alone.
#pragma once
#include <fmt/format.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/status.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "server/http/server.h"

namespace bezel::http {

inline const char* reason(int status) {
  const auto text =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(status));
  return text.data();
}

inline std::string_view common_headers(bool keep_alive) {
  return keep_alive ? "X-Content-Type-Options: nosniff\r\n"
                    : "X-Content-Type-Options: nosniff\r\nConnection: close\r\n";
}

// The header of an answer whose body has `bytes`.
inline std::string whole_head(int status, std::string_view type, std::size_t bytes, bool keep_alive,
                              std::string_view more_headers) {
  return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}\r\n", status,
                     reason(status), type, bytes, common_headers(keep_alive), more_headers);
}

// The server's thread will run `f`, also when there is no memory right now: then this waits for it.
template <class F>
void post_surely(boost::asio::io_context& io, const F& f) noexcept {
  while (true) {
    try {
      boost::asio::post(io, f);
      return;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// Other threads fill the queue, the connection's coroutine empties it.
class Answer final : public Exchange {
 public:
  Answer(boost::asio::io_context& io, std::size_t most, bool chunked, bool keep_alive)
      : io_(io),
        wake_(std::make_shared<boost::asio::steady_timer>(io)),
        most_(most),
        chunked_(chunked),
        keep_alive_(keep_alive) {
    wake_->expires_at(boost::asio::steady_timer::time_point::max());
  }

  void respond(int status, std::string_view type, std::string body,
               std::string_view more_headers) override {
    Pieces pieces;
    pieces.push_back(whole_head(status, type, body.size(), keep_alive_, more_headers));
    pieces.push_back(std::move(body));
    push(std::move(pieces), true, true);
  }
  void begin(int status, std::string_view type) override {
    push(one(fmt::format(
             "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nCache-Control: no-cache\r\n{}{}\r\n", status,
             reason(status), type, chunked_ ? "Transfer-Encoding: chunked\r\n" : "",
             common_headers(keep_alive_ && chunked_))),
         false, true);
  }
  bool write(std::string_view piece) override {
    if (piece.empty()) return true;
    return push(
        one(chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece)),
        false, false);
  }
  void end() override { push(one(chunked_ ? "0\r\n\r\n" : ""), true, false); }
  void on_gone(std::function<void()> gone) override {
    std::unique_lock lock(mutex_);
    if (!gone_) {
      if (!ended_) told_ = std::move(gone);
      return;
    }
    lock.unlock();
    gone();
  }

  // ---- the connection's side, on the server's thread

  // The client has left.
  void leave() {
    std::function<void()> told;
    {
      const std::lock_guard lock(mutex_);
      if (gone_ || ended_) return;
      gone_ = true;
      told = std::move(told_);
      told_ = nullptr;
    }
    wake_->cancel();
    if (told) told();
  }
  // What is to be written now; `last`: nothing comes after it. Small pieces are joined, a large one
  // is not copied.
  std::string take(bool& last, bool& gone) {
    const std::lock_guard lock(mutex_);
    std::string out;
    while (!queue_.empty() && (out.empty() || out.size() + queue_.front().size() <= most_)) {
      std::string& next = queue_.front();
      queued_ -= next.size();
      if (out.empty())
        out = std::move(next);
      else
        out += next;
      queue_.pop_front();
    }
    last = ended_ && queue_.empty();
    gone = gone_;
    return out;
  }
  std::shared_ptr<boost::asio::steady_timer> wake() { return wake_; }
  bool keeps_alive() const { return keep_alive_ && (chunked_ || whole_); }

 private:
  using Pieces = std::list<std::string>;

  static Pieces one(std::string piece) {
    Pieces p;
    p.push_back(std::move(piece));
    return p;
  }
  // All of the pieces, or none where memory runs out.
  bool push(Pieces pieces, bool last, bool head) {
    std::size_t size = 0;
    for (const std::string& s : pieces) size += s.size();
    {
      const std::lock_guard lock(mutex_);
      if (gone_ || ended_) return false;
      if (queued_ + size > most_ && !last && !head) {
        gone_ = true;
      } else {
        queue_.splice(queue_.end(), pieces);
        queued_ += size;
        ended_ = last;
        whole_ = whole_ || (last && head);
        if (last) told_ = nullptr;
      }
    }
    post_surely(io_, [wake = wake_] { wake->cancel(); });
    return !gone_;
  }

  boost::asio::io_context& io_;
  std::shared_ptr<boost::asio::steady_timer> wake_;
  std::size_t most_;
  bool chunked_, keep_alive_;
  std::mutex mutex_;  // of what follows
  Pieces queue_;
  std::size_t queued_ = 0;
  bool ended_ = false, whole_ = false;
  std::atomic<bool> gone_{false};
  std::function<void()> told_;
};

// What handlers hold: when the last one lets go, an unanswered request is given up.
class Held final : public Exchange {
 public:
  explicit Held(std::shared_ptr<Answer> answer, boost::asio::io_context& io)
      : answer_(std::move(answer)), io_(io) {}
  ~Held() override {
    post_surely(io_, [answer = answer_] { answer->leave(); });
  }
  void respond(int status, std::string_view type, std::string body,
               std::string_view more_headers) override {
    answer_->respond(status, type, std::move(body), more_headers);
  }
  void begin(int status, std::string_view type) override { answer_->begin(status, type); }
  bool write(std::string_view piece) override { return answer_->write(piece); }
  void end() override { answer_->end(); }
  void on_gone(std::function<void()> gone) override { answer_->on_gone(std::move(gone)); }

 private:
  std::shared_ptr<Answer> answer_;
  boost::asio::io_context& io_;
};

}  // namespace bezel::http
