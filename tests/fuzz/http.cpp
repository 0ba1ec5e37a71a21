// Any bytes to a server on a socket of its own, behind which no model is: every answer is HTTP with
// a status that is told of, and the server goes on.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "server/client.h"
#include "server/front.h"

namespace {

using namespace bezel;

class NoModel final : public Loader {
 public:
  void with(const std::string&, KeepAlive, const Gone&, Use use) override {
    use(Error{Errc::Busy, "no model is here", ""});
  }
  std::optional<LoadedModel> loaded() override { return std::nullopt; }
  std::optional<std::chrono::seconds> seconds_left() const override { return std::nullopt; }
  void forget(const std::string&) override {}
  ServiceLoad load() const override { return {}; }
  void stop() override {}
};

Front& front() {
  static NoModel none;
  static const std::unique_ptr<Front> one = [] {
    FrontOptions o;
    o.http.port = 0;
    o.http.limits.body_bytes = 4096;
    o.http.limits.header_bytes = 2048;
    o.http.limits.idle_time = std::chrono::seconds(1);
    auto started = Front::start(none, o);
    if (!started) std::abort();
    return *std::move(started);
  }();
  return *one;
}

// Whether an answer's first line is right: "HTTP/1.1 200 OK".
bool is_http(const std::string& answer) {
  static const char* const known[] = {"100", "200", "400", "401", "403", "404",
                                      "405", "408", "413", "431", "503"};
  if (answer.rfind("HTTP/1.", 0) != 0) return false;
  for (const char* status : known)
    if (answer.compare(9, 3, status) == 0) return true;
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::Client client(front().port());
  client.send(std::string(reinterpret_cast<const char*>(data), size));
  client.send("\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  client.end();
  const std::string answer = client.read_until("");
  if (!answer.empty() && !is_http(answer)) std::abort();
  return 0;
}
