// HTTP/1.1 behind our own interface: many connections on one thread, requests handled by a few
// others, answers whole or as a stream. Knows no model.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bezel/result.h"

namespace bezel::http {

struct Limits {
  std::size_t header_bytes = std::size_t{16} << 10U;
  std::size_t body_bytes = std::size_t{32} << 20U;
  std::size_t all_bodies_bytes = std::size_t{256}
                                 << 20U;             // of all requests that are not handled yet
  std::size_t queued_bytes = std::size_t{1} << 20U;  // that a slow client may leave unread
  int connections = 512;
  std::chrono::seconds handshake_time{10}, header_time{15}, body_time{60}, idle_time{75},
      write_time{30};
};

struct Options {
  std::string host = "127.0.0.1";  // an address, or a name of this machine
  std::uint16_t port = 8080;       // 0: any free one
  Limits limits;
  int workers = 4;        // threads that run the handler
  std::string cert, key;  // PEM files; both: TLS is spoken, neither: not
};

struct Request {
  std::string method, path;                                  // path without the query
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string query;                 // what follows the path's "?"
  std::shared_ptr<const void> room;  // its share of all bodies, until the last copy goes

  std::string_view header(std::string_view name) const;  // the first of that name, or ""
};

// The answer to one request, from any thread. Either respond(), or begin(), write() and end(). When
// the last holder lets go of it unanswered, the connection is closed.
class Exchange {
 public:
  virtual ~Exchange() = default;
  // `more_headers`: whole lines, each ended by CR LF.
  virtual void respond(int status, std::string_view type, std::string body,
                       std::string_view more_headers = "") = 0;
  virtual void begin(int status, std::string_view type) = 0;
  // False when the client is gone, or reads so slowly that too much waits for it: it is then
  // disconnected.
  virtual bool write(std::string_view piece) = 0;
  virtual void end() = 0;
  // `gone` is called once, on any thread, when the client leaves before the answer's end; at once
  // if it has left.
  virtual void on_gone(std::function<void()> gone) = 0;
};

using Handler = std::function<void(Request, std::shared_ptr<Exchange>)>;

// The answer to a request whose body nobody wants to read.
struct Refusal {
  int status = 400;
  std::string json, more_headers;
};
// Looks at a request before its body is read; nothing: it is taken. On the server's thread, so it
// must be quick.
using Admit = std::function<std::optional<Refusal>(const Request& without_body)>;

// Any thread.
class Server {
 public:
  // Takes the address and reads the certificate; nobody can connect yet.
  static Result<std::unique_ptr<Server>> open(const Options& options);
  // Opens and serves.
  static Result<std::unique_ptr<Server>> start(const Options& options, Handler handler,
                                               Admit admit = {});
  virtual ~Server() = default;  // stop(0); nobody may hold an Exchange any more

  // Listens when this returns. `handler` runs on the workers' threads. Without `admit` every
  // request is taken. Once.
  virtual Status serve(Handler handler, Admit admit) = 0;
  virtual std::uint16_t port() const = 0;
  virtual int connections() const = 0;
  // Accepts no more connections and no more requests, waits until the answers under way have ended
  // or `grace` is over, then closes everything and waits for the handlers that run.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace bezel::http
