#include "server/http/server.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
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
#include <optional>
#include <thread>
#include <type_traits>

#include "server/http/answer.h"
#include BEZEL_SECURE_H  // tls/openssl.h, or tls/none.h where there is no OpenSSL

namespace bezel::http {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using Tcp = asio::ip::tcp;
using Parser = beast::http::request_parser<beast::http::string_body>;

// An answer to what could not be read; the connection ends behind it.
std::string refusal(int status, std::string_view what) {
  const std::string body =
      fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,)"
                  R"("code":null}}}})",
                  what);
  return whole_head(status, "application/json", body.size(), false, "") + body;
}

// A request without its body.
Request request_of(const Parser::value_type& from) {
  Request request;
  request.method = std::string(from.method_string());
  request.path = std::string(from.target());
  const std::size_t path_end = std::min(request.path.size(), request.path.find('?'));
  if (path_end < request.path.size()) request.query = request.path.substr(path_end + 1);
  request.path.resize(path_end);
  for (const auto& field : from) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    request.headers.emplace_back(std::move(name), std::string(field.value()));
  }
  return request;
}

// What one body takes of the memory for all of them.
class Share {
 public:
  explicit Share(std::atomic<std::size_t>& all) : all_(&all) {}
  Share(Share&& other) noexcept : all_(other.all_), mine_(std::exchange(other.mine_, 0)) {}
  ~Share() { release(); }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  Share& operator=(Share&&) = delete;
  void release() { *all_ -= std::exchange(mine_, 0); }
  // Whether there is room for as many bytes.
  bool grow(std::size_t bytes, std::size_t most) {
    const std::size_t more = bytes - std::exchange(mine_, bytes);
    return (*all_ += more) <= most;
  }

 private:
  std::atomic<std::size_t>* all_;
  std::size_t mine_ = 0;
};

// Takes what a refused client still sends, for a moment: closing at once would lose the answer.
template <class Stream>
asio::awaitable<void> drain(Stream& stream, beast::tcp_stream& below, std::size_t most) {
  error_code ec;
  if constexpr (std::is_same_v<Stream, beast::tcp_stream>)
    below.socket().shutdown(Tcp::socket::shutdown_send, ec);
  std::array<char, 8192> bytes{};
  below.expires_after(std::chrono::seconds(5));
  for (std::size_t n = 0; !ec && n <= most;)
    n += co_await stream.async_read_some(asio::buffer(bytes),
                                         asio::redirect_error(asio::use_awaitable, ec));
}

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
  explicit BeastServer(const Options& options)
      : options_(options),
        acceptor_(io_),
        workers_(static_cast<std::size_t>(std::max(1, options.workers))) {}
  ~BeastServer() override { stop(std::chrono::milliseconds(0)); }

  Status open();
  Status serve(Handler handler, Admit admit) override;
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
  asio::awaitable<void> welcome(Tcp::socket socket);
  // `stream`: `below` itself, or TLS over it.
  template <class Stream>
  asio::awaitable<void> talk(Stream& stream, beast::tcp_stream& below);
  template <class Stream>
  asio::awaitable<std::string> read_body(Stream& stream, beast::tcp_stream& below,
                                         beast::flat_buffer& buffer, Parser& parser, Share& share,
                                         error_code& ec);
  template <class Stream>
  asio::awaitable<bool> exchange(Stream& stream, beast::tcp_stream& below, bool chunked,
                                 bool keep_alive, Request request, Share share);
  template <class Stream>
  asio::awaitable<bool> send(Stream& stream, beast::tcp_stream& below, Answer& answer);
  void handle(Request&& request, const std::shared_ptr<Held>& held) noexcept;
  std::string refusal_of(const error_code& ec) const;
  Error failed(const char* what, const error_code& ec) const;
  void close_all();

  Options options_;
  Handler handler_;
  Admit admit_;
  std::unique_ptr<Secure> secure_;  // null: no TLS
  std::atomic<std::size_t> bodies_{0};
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

Error BeastServer::failed(const char* what, const error_code& ec) const {
  return {Errc::Io,
          fmt::format("cannot {} {} port {}: {}", what, options_.host, options_.port, ec.message()),
          ""};
}

Status BeastServer::open() {
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
  if (ec) return failed("listen at", ec);
  port_ = acceptor_.local_endpoint().port();
  return Ok{};
}

Status BeastServer::serve(Handler handler, Admit admit) {
  handler_ = std::move(handler);
  admit_ = std::move(admit);
  error_code ec;
  acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return failed("listen at", ec);
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
      asio::co_spawn(io_, welcome(std::move(socket)), asio::detached);
    } catch (const std::bad_alloc&) {  // this client is lost
    }
  }
}

asio::awaitable<void> BeastServer::welcome(Tcp::socket socket) {
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
  const Limits& limits = options_.limits;
  beast::flat_buffer buffer(limits.header_bytes + (std::size_t{64} << 10U));
  for (bool first = true, go_on = true; go_on && !stopping_; first = false) {
    error_code ec;
    Parser parser;
    parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    parser.body_limit(limits.body_bytes);
    below.expires_after(first ? limits.header_time : limits.idle_time);
    co_await beast::http::async_read_header(stream, buffer, parser,
                                            asio::redirect_error(asio::use_awaitable, ec));
    Request request;
    Share share(bodies_);
    std::string refused;
    const bool chunked = !ec && parser.get().version() >= 11;
    bool keep_alive = chunked && parser.keep_alive();
    if (!ec) {
      request = request_of(parser.get());
      keep_alive = keep_alive && request.method != "HEAD";  // its answer must not have our bodies
      if (const auto no = admit_ ? admit_(request) : std::nullopt) {
        go_on = keep_alive && parser.is_done();
        refused =
            whole_head(no->status, "application/json", no->json.size(), go_on, no->more_headers) +
            no->json;
      } else {
        refused = co_await read_body(stream, below, buffer, parser, share, ec);
        go_on = refused.empty();
      }
    }
    if (ec) {
      refused = refusal_of(ec);
      go_on = false;
    }
    if (!refused.empty()) {
      parser.get().body() = std::string();
      share.release();
      below.expires_after(std::chrono::seconds(2));
      co_await asio::async_write(stream, asio::buffer(refused),
                                 asio::redirect_error(asio::use_awaitable, ec));
      if (!ec && !go_on) co_await drain(stream, below, limits.body_bytes);
      if (ec) break;
      continue;
    }
    if (!go_on) break;
    request.body = std::move(parser.get().body());
    go_on =
        co_await exchange(stream, below, chunked, keep_alive, std::move(request), std::move(share));
  }
}

// The body of a request that was admitted. What to tell a client whose body is not taken, or
// nothing.
template <class Stream>
asio::awaitable<std::string> BeastServer::read_body(Stream& stream, beast::tcp_stream& below,
                                                    beast::flat_buffer& buffer, Parser& parser,
                                                    Share& share, error_code& ec) {
  below.expires_after(options_.limits.body_time);
  if (!parser.is_done() && beast::iequals(parser.get()["Expect"], "100-continue")) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(stream, asio::buffer(kContinue),
                               asio::redirect_error(asio::use_awaitable, ec));
  }
  parser.eager(true);
  while (!ec && !parser.is_done()) {
    co_await beast::http::async_read_some(stream, buffer, parser,
                                          asio::redirect_error(asio::use_awaitable, ec));
    if (!share.grow(parser.get().body().size(), options_.limits.all_bodies_bytes))
      co_return refusal(503, "the bodies of all requests together are too large now: try again");
  }
  co_return "";
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
asio::awaitable<bool> BeastServer::exchange(Stream& stream, beast::tcp_stream& below, bool chunked,
                                            bool keep_alive, Request request, Share share) {
  auto answer = std::make_shared<Answer>(io_, options_.limits.queued_bytes, chunked, keep_alive);
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
  request.room = std::make_shared<const Share>(std::move(share));
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
#ifndef __clang_analyzer__  // clang-tidy 14 does not follow this coroutine and reports Asio itself
    co_await wake->async_wait(asio::redirect_error(asio::use_awaitable, ec));
#endif
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

Result<std::unique_ptr<Server>> Server::open(const Options& options) {
  auto server = std::make_unique<BeastServer>(options);
  BEZEL_DO(server->open());
  return std::unique_ptr<Server>(std::move(server));
}

Result<std::unique_ptr<Server>> Server::start(const Options& options, Handler handler,
                                              Admit admit) {
  BEZEL_TRY(auto server, open(options));
  BEZEL_DO(server->serve(std::move(handler), std::move(admit)));
  return server;
}

}  // namespace bezel::http
