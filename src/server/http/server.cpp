#include "server/http/server.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "base/utf8.h"
#include BEZEL_SECURE_H  // tls/openssl.h, or tls/none.h where there is no OpenSSL

namespace bezel::http {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Parser = beast::http::request_parser<beast::http::string_body>;

const char* reason(int status) {
  const auto text = beast::http::obsolete_reason(static_cast<beast::http::status>(status));
  return text.data();
}

std::string refusal(int status, std::string_view what) {
  const std::string body =
      fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,)"
                  R"("code":null}}}})",
                  what);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n{}",
      status, reason(status), body.size(), body);
}

// The server's thread will run `f`, also when there is no memory right now: then this waits for it.
template <class F>
void post_surely(asio::io_context& io, const F& f) noexcept {
  while (true) {
    try {
      asio::post(io, f);
      return;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// An answer on its way: other threads fill the queue, the connection's coroutine empties it.
class Answer final : public Exchange {
 public:
  Answer(asio::io_context& io, std::size_t most, bool chunked, bool keep_alive)
      : io_(io),
        wake_(std::make_shared<asio::steady_timer>(io)),
        most_(most),
        chunked_(chunked),
        keep_alive_(keep_alive) {
    wake_->expires_at(asio::steady_timer::time_point::max());
  }

  void respond(int status, std::string_view type, std::string body,
               std::string_view more_headers) override {
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}{}", status,
                    reason(status), type, body.size(), common(keep_alive_), more_headers);
    head += "\r\n";
    push(head + body, true, true);
  }
  void begin(int status, std::string_view type) override {
    push(fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\nCache-Control: no-cache\r\n{}{}\r\n",
                     status, reason(status), type, chunked_ ? "Transfer-Encoding: chunked\r\n" : "",
                     common(keep_alive_ && chunked_)),
         false, true);
  }
  bool write(std::string_view piece) override {
    if (piece.empty()) return true;
    return push(chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece),
                false, false);
  }
  void end() override { push(chunked_ ? "0\r\n\r\n" : "", true, false); }
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
  // What is to be written now; `last`: nothing comes after it.
  std::string take(bool& last, bool& gone) {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (std::string& s : queue_) out += s;
    queue_.clear();
    queued_ = 0;
    last = ended_;
    gone = gone_;
    return out;
  }
  std::shared_ptr<asio::steady_timer> wake() { return wake_; }
  bool keeps_alive() const { return keep_alive_ && (chunked_ || whole_); }

 private:
  static std::string_view common(bool keep_alive) {
    return keep_alive ? "X-Content-Type-Options: nosniff\r\n"
                      : "X-Content-Type-Options: nosniff\r\nConnection: close\r\n";
  }
  bool push(std::string bytes, bool last, bool head) {
    {
      const std::lock_guard lock(mutex_);
      if (gone_ || ended_) return false;
      if (queued_ + bytes.size() > most_ && !last && !head) {
        gone_ = true;
      } else {
        const std::size_t size = bytes.size();
        queue_.push_back(std::move(bytes));
        queued_ += size;
        ended_ = last;
        whole_ = whole_ || (last && head);
        if (last) told_ = nullptr;
      }
    }
    post_surely(io_, [wake = wake_] { wake->cancel(); });
    return !gone_;
  }

  asio::io_context& io_;
  std::shared_ptr<asio::steady_timer> wake_;
  std::size_t most_;
  bool chunked_, keep_alive_;
  std::mutex mutex_;  // of what follows
  std::deque<std::string> queue_;
  std::size_t queued_ = 0;
  bool ended_ = false, whole_ = false;
  std::atomic<bool> gone_{false};
  std::function<void()> told_;
};

// What handlers hold: when the last one lets go, an unanswered request is given up.
class Held final : public Exchange {
 public:
  explicit Held(std::shared_ptr<Answer> answer, asio::io_context& io)
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
  asio::io_context& io_;
};

// Notices that a client leaves although nothing is read from it meanwhile. The server's thread.
struct Watch {
  Watch(beast::tcp_stream& stream, std::shared_ptr<Answer> of)
      : below(stream), answer(std::move(of)), pause(stream.get_executor()) {}

  // The other side has closed, also where bytes are left to read.
  bool hung_up() {
    pollfd p = {below.socket().native_handle(), POLLRDHUP, 0};
    return ::poll(&p, 1, 0) > 0;
  }
  void end() {
    alive = false;
    signal.emit(asio::cancellation_type::terminal);
    pause.cancel();
  }
  static void look(const std::shared_ptr<Watch>& w) {
    w->below.socket().async_wait(
        Tcp::socket::wait_read, asio::bind_cancellation_slot(w->signal.slot(), [w](error_code ec) {
          if (!w->alive) return;
          if (ec || w->hung_up()) return w->answer->leave();
          w->pause.expires_after(std::chrono::milliseconds(100));  // bytes wait, for later
          w->pause.async_wait([w](error_code cut) {
            if (w->alive && !cut) look(w);
          });
        }));
  }

  beast::tcp_stream& below;  // while alive
  std::shared_ptr<Answer> answer;
  asio::steady_timer pause;
  asio::cancellation_signal signal;
  bool alive = true;
};

class BeastServer final : public Server {
 public:
  BeastServer(const Options& options, Handler handler)
      : options_(options),
        handler_(std::move(handler)),
        acceptor_(io_),
        workers_(static_cast<std::size_t>(std::max(1, options.workers))) {}
  ~BeastServer() override { stop(std::chrono::milliseconds(0)); }

  Status listen();
  std::uint16_t port() const override { return port_; }
  int connections() const override { return open_; }
  void stop(std::chrono::milliseconds grace) override;

 private:
  // A connection that counts.
  class Door {
   public:
    Door(BeastServer& server, beast::tcp_stream& stream) : server_(server), stream_(stream) {
      ++server_.open_;
      server_.streams_.push_back(&stream_);
    }
    ~Door() {
      auto& all = server_.streams_;
      all.erase(std::remove(all.begin(), all.end(), &stream_), all.end());
      --server_.open_;
    }
    Door(const Door&) = delete;
    Door& operator=(const Door&) = delete;

   private:
    BeastServer& server_;
    beast::tcp_stream& stream_;
  };
  void run();
  asio::awaitable<void> accept();
  asio::awaitable<void> serve(Tcp::socket socket);
  // `stream`: `below` itself, or TLS over it.
  template <class Stream>
  asio::awaitable<void> talk(Stream& stream, beast::tcp_stream& below);
  template <class Stream>
  asio::awaitable<bool> exchange(Stream& stream, beast::tcp_stream& below, Parser& parser);
  template <class Stream>
  asio::awaitable<bool> send(Stream& stream, beast::tcp_stream& below, Answer& answer);
  void handle(Request&& request, const std::shared_ptr<Held>& held) noexcept;
  std::string refusal_of(const error_code& ec) const;
  void close_all();

  Options options_;
  Handler handler_;
  std::unique_ptr<Secure> secure_;  // null: no TLS
  asio::io_context io_;
  Tcp::acceptor acceptor_;
  asio::thread_pool workers_;
  std::thread thread_;
  std::uint16_t port_ = 0;
  std::atomic<int> open_{0}, answering_{0};
  std::atomic<bool> stopping_{false};
  bool accepting_ = false;                   // server's thread
  std::vector<beast::tcp_stream*> streams_;  // server's thread
};

Status BeastServer::listen() {
  const auto failed = [&](const char* what, const error_code& ec) {
    return Error{
        Errc::Io,
        fmt::format("cannot {} {} port {}: {}", what, options_.host, options_.port, ec.message()),
        ""};
  };
  if (options_.cert.empty() != options_.key.empty())
    return Error{Errc::BadInput, "TLS needs both: a certificate and its key", ""};
  if (!options_.cert.empty()) {
    BEZEL_TRY(secure_, Secure::load(options_.cert, options_.key));
  }
  error_code ec;
  Tcp::resolver resolver(io_);
  const auto found =
      resolver.resolve(options_.host, std::to_string(options_.port), Tcp::resolver::passive, ec);
  if (ec || found.empty()) return failed("find the address", ec);
  const Tcp::endpoint at = found.begin()->endpoint();
  acceptor_.open(at.protocol(), ec);
  if (!ec) acceptor_.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) acceptor_.bind(at, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return failed("listen at", ec);
  port_ = acceptor_.local_endpoint().port();
  thread_ = std::thread([this] { run(); });
  return Ok{};
}

// Where an allocation fails, a connection is lost, or the wait for the next one; not the server.
void BeastServer::run() {
  while (true) {
    try {
      if (!accepting_ && !stopping_) asio::co_spawn(io_, accept(), asio::detached);
      io_.run();
      if (stopping_) return;
      io_.restart();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

asio::awaitable<void> BeastServer::accept() {
  struct Accepting {
    explicit Accepting(bool& f) : flag(f) { flag = true; }
    ~Accepting() { flag = false; }
    Accepting(const Accepting&) = delete;
    Accepting& operator=(const Accepting&) = delete;
    bool& flag;
  } const accepting(accepting_);
  while (!stopping_) {
    error_code ec;
    Tcp::socket socket(io_);
    try {
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
    } catch (const std::bad_alloc&) {
      continue;
    }
    if (ec == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (ec) {  // out of file descriptors, or the client left: a breath, then on
      asio::steady_timer pause(io_, std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      continue;
    }
    socket.set_option(Tcp::no_delay(true), ec);
    try {
      asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
    } catch (const std::bad_alloc&) {  // this client is lost
    }
  }
}

asio::awaitable<void> BeastServer::serve(Tcp::socket socket) {
  beast::tcp_stream stream(std::move(socket));
  error_code ec;
  if (open_ >= options_.limits.connections) {
    if (secure_ != nullptr) co_return;
    stream.expires_after(std::chrono::seconds(1));
    const std::string full = refusal(503, "too many connections");
    co_await asio::async_write(stream, asio::buffer(full),
                               asio::redirect_error(asio::use_awaitable, ec));
    co_return;
  }
  const Door door(*this, stream);
  if (secure_ != nullptr)
    co_await secure_->run(stream, options_.limits.handshake_time,
                          [&](auto& secured) { return talk(secured, stream); });
  else
    co_await talk(stream, stream);
  stream.socket().shutdown(Tcp::socket::shutdown_both, ec);
}

// One connection: request after request.
template <class Stream>
asio::awaitable<void> BeastServer::talk(Stream& stream, beast::tcp_stream& below) {
  error_code ec;
  beast::flat_buffer buffer(options_.limits.header_bytes + (std::size_t{64} << 10U));
  for (bool first = true, go_on = true; go_on && !stopping_; first = false) {
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(options_.limits.header_bytes));
    parser.body_limit(options_.limits.body_bytes);
    below.expires_after(first ? options_.limits.header_time : options_.limits.idle_time);
    co_await beast::http::async_read_header(stream, buffer, parser,
                                            asio::redirect_error(asio::use_awaitable, ec));
    if (!ec && beast::iequals(parser.get()["Expect"], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(stream, asio::buffer(kContinue),
                                 asio::redirect_error(asio::use_awaitable, ec));
    }
    below.expires_after(options_.limits.body_time);
    if (!ec)
      co_await beast::http::async_read(stream, buffer, parser,
                                       asio::redirect_error(asio::use_awaitable, ec));
    if (ec) {
      const std::string say = refusal_of(ec);
      below.expires_after(std::chrono::seconds(2));
      if (!say.empty())
        co_await asio::async_write(stream, asio::buffer(say),
                                   asio::redirect_error(asio::use_awaitable, ec));
      break;
    }
    go_on = co_await exchange(stream, below, parser);
  }
}

// What a client is told whose request could not be read; empty: nothing, it is gone or was too
// slow.
std::string BeastServer::refusal_of(const error_code& ec) const {
  using beast::http::error;
  if (ec == error::header_limit || ec == error::buffer_overflow)
    return refusal(431,
                   fmt::format("the header has more than {} bytes", options_.limits.header_bytes));
  if (ec == error::body_limit)
    return refusal(413, fmt::format("the body has more than {} bytes", options_.limits.body_bytes));
  const bool http = ec.category() == make_error_code(error::bad_method).category();
  if (!http || ec == error::end_of_stream || ec == error::partial_message) return "";
  return refusal(400, "this is no HTTP request");
}

// Hands a request to a worker and sends what comes back; whether the connection lives on.
template <class Stream>
asio::awaitable<bool> BeastServer::exchange(Stream& stream, beast::tcp_stream& below,
                                            Parser& parser) {
  const bool chunked = parser.get().version() >= 11;
  auto answer = std::make_shared<Answer>(io_, options_.limits.queued_bytes, chunked,
                                         chunked && parser.keep_alive());
  Request request;
  request.method = std::string(parser.get().method_string());
  request.path = std::string(parser.get().target());
  const std::size_t path_end = std::min(request.path.size(), request.path.find('?'));
  if (path_end < request.path.size()) request.query = request.path.substr(path_end + 1);
  request.path.resize(path_end);
  for (const auto& field : parser.get()) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    request.headers.emplace_back(std::move(name), std::string(field.value()));
  }
  request.body = std::move(parser.get().body());

  const auto watch = std::make_shared<Watch>(below, answer);
  Watch::look(watch);
  // Ends also where memory runs out halfway.
  struct Underway {
    ~Underway() {
      watch->end();
      watch->answer->leave();
      --count;
    }
    std::shared_ptr<Watch> watch;
    std::atomic<int>& count;
  };
  ++answering_;
  const Underway underway{watch, answering_};
  auto held = std::make_shared<Held>(answer, io_);
  asio::post(workers_, [this, request = std::move(request), held = std::move(held)]() mutable {
    handle(std::move(request), held);
  });
  const bool sent = co_await send(stream, below, *answer);
  co_return sent && answer->keeps_alive();
}

// On a worker's thread.
void BeastServer::handle(Request&& request, const std::shared_ptr<Held>& held) noexcept {
  try {
    try {
      handler_(std::move(request), held);
    } catch (const std::bad_alloc&) {
      held->respond(503, "application/json",
                    R"({"error":{"message":"not enough memory for the request",)"
                    R"("type":"unavailable_error","param":null,"code":null}})",
                    "");
    }
  } catch (const std::exception&) {  // unanswered: the connection will be closed
  }
}

template <class Stream>
asio::awaitable<bool> BeastServer::send(Stream& stream, beast::tcp_stream& below, Answer& answer) {
  const auto wake = answer.wake();
  while (true) {
    bool last = false, gone = false;
    const std::string bytes = answer.take(last, gone);
    if (gone) co_return false;
    error_code ec;
    if (!bytes.empty()) {
      below.expires_after(options_.limits.write_time);
      co_await asio::async_write(stream, asio::buffer(bytes),
                                 asio::redirect_error(asio::use_awaitable, ec));
      below.expires_never();
      if (ec) co_return false;
    }
    if (last) co_return true;
    if (!bytes.empty()) continue;  // more may have come while this was sent
    co_await wake->async_wait(asio::redirect_error(asio::use_awaitable, ec));
  }
}

void BeastServer::close_all() {
  for (beast::tcp_stream* s : streams_) s->close();
}

void BeastServer::stop(std::chrono::milliseconds grace) {
  if (stopping_.exchange(true)) return;
  asio::post(io_, [this] {
    error_code ec;
    acceptor_.close(ec);
  });
  const auto end = std::chrono::steady_clock::now() + grace;
  while (answering_ > 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  while (open_ > 0) {  // each ends as soon as its connection is closed and its handler has let go
    asio::post(io_, [this] { close_all(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  workers_.join();
  io_.stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return "";
}

Result<std::unique_ptr<Server>> Server::start(const Options& options, Handler handler) {
  auto server = std::make_unique<BeastServer>(options, std::move(handler));
  BEZEL_DO(server->listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace bezel::http
