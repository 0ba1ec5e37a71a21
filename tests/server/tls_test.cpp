// TLS: with a certificate made on the spot, spoken to by curl.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/temp_folder.h"
#include "server/client.h"
#include "server/http/server.h"

namespace bezel::test {
namespace {

using ExchangePtr = std::shared_ptr<http::Exchange>;

// What a command prints.
std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return out;
  char bytes[4096];
  for (std::size_t n = 0; (n = std::fread(bytes, 1, sizeof bytes, pipe)) > 0;) out.append(bytes, n);
  ::pclose(pipe);
  return out;
}

class Tls : public testing::Test {
 protected:
  void SetUp() override {
    http::Options o;
    o.cert = o.key = "none";
    const auto none = http::Server::start(o, {});
    if (!none && none.error().code == Errc::Unsupported) GTEST_SKIP() << none.error().text();
    if (std::system("openssl version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no openssl here";
    if (std::system("curl --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no curl here";
    make("a");
    make("b");
  }
  void make(const std::string& name) {
    const std::string command = fmt::format(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {} -out {} "
        "2> /dev/null",
        file(name + ".key"), file(name + ".pem"));
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  std::string file(const std::string& name) const { return folder_.path() + "/" + name; }
  Result<std::unique_ptr<http::Server>> start(const std::string& cert, const std::string& key,
                                              const http::Handler& handler = echo,
                                              const http::Limits& limits = {}) {
    http::Options o;
    o.port = 0;
    o.limits = limits;
    o.cert = cert.empty() ? "" : file(cert);
    o.key = key.empty() ? "" : file(key);
    return http::Server::start(o, handler);
  }
  static void echo(const http::Request& r, const ExchangePtr& e) {
    e->respond(200, "text/plain", r.method + " " + r.path + " " + r.body);
  }
  std::string curl(std::uint16_t port, const std::string& more) const {
    return output_of(
        fmt::format("curl -s -m 20 --noproxy '*' --cacert {} {} https://localhost:{}/x",
                    file("a.pem"), more, port));
  }
  TempFolder folder_;
};

bool soon(const std::function<bool()>& condition) {
  for (int n = 0; n < 1000; ++n) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST_F(Tls, AnswersAndStreams) {
  const auto server = start("a.pem", "a.key", [](const http::Request& r, const ExchangePtr& e) {
    if (r.method == "POST") return echo(r, e);
    e->begin(200, "text/plain");
    for (const char* piece : {"one ", "two ", "three"}) e->write(piece);
    e->end();
  });
  ASSERT_TRUE(server) << server.error().text();
  EXPECT_EQ(curl((*server)->port(), "--data abc"), "POST /x abc");
  EXPECT_EQ(curl((*server)->port(), ""), "one two three");
  EXPECT_EQ(curl((*server)->port(), "--tls-max 1.1"), "") << "old versions are refused";
  const std::string large = file("large");
  std::ofstream(large) << std::string(3'000'000, 'x');
  EXPECT_EQ(curl((*server)->port(), "--data-binary @" + large).size(), 3'000'008U);
  EXPECT_TRUE(soon([&] { return (*server)->connections() == 0; }));
}

TEST_F(Tls, ClientsThatCheckRefuseAnotherCertificate) {
  const auto server = start("b.pem", "b.key");
  ASSERT_TRUE(server);
  EXPECT_EQ(curl((*server)->port(), ""), "");
  EXPECT_EQ(curl((*server)->port(), "-k"), "GET /x ");
}

TEST_F(Tls, PlainHttpGetsNoAnswer) {
  const auto server = start("a.pem", "a.key");
  ASSERT_TRUE(server);
  Client client((*server)->port());
  client.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_all().find("HTTP/1.1 200"), std::string::npos);
  EXPECT_EQ(curl((*server)->port(), ""), "GET /x ");
}

TEST_F(Tls, SlowHandshakesAreEndedAndHoldNobody) {
  http::Limits limits;
  limits.handshake_time = std::chrono::seconds(1);
  const auto server = start("a.pem", "a.key", echo, limits);
  ASSERT_TRUE(server);
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 40; ++i) {
    slow.push_back(std::make_unique<Client>((*server)->port()));
    if (i % 2 == 1) slow.back()->send("\x16\x03\x01");  // a record that does not go on
  }
  EXPECT_EQ(curl((*server)->port(), ""), "GET /x ");
  for (const auto& client : slow) client->read_all();  // until the server closes
  EXPECT_TRUE(soon([&] { return (*server)->connections() == 0; }));
}

TEST_F(Tls, AClientThatLeavesIsNoticed) {
  std::atomic<bool> gone{false};
  std::mutex mutex;
  ExchangePtr kept;
  const auto server = start("a.pem", "a.key", [&](const http::Request&, ExchangePtr e) {
    e->on_gone([&] { gone = true; });
    const std::lock_guard lock(mutex);
    kept = std::move(e);
  });
  ASSERT_TRUE(server);
  EXPECT_EQ(curl((*server)->port(), "-m 1"), "");
  EXPECT_TRUE(soon([&] { return gone.load(); }));
  const std::lock_guard lock(mutex);
  kept.reset();
}

TEST_F(Tls, FilesThatAreWrongAreNamedInASentence) {
  std::ofstream(file("junk")) << "not PEM";
  folder_.put("empty", "");
  ASSERT_EQ(std::system(fmt::format("openssl ec -in {} -aes256 -passout pass:secret -out {} "
                                    "2> /dev/null",
                                    file("a.key"), file("locked.key"))
                            .c_str()),
            0);
  const struct {
    const char *cert, *key, *where, *what;
  } cases[] = {
      {"missing", "a.key", "missing", ""},
      {"a.pem", "missing", "missing", ""},
      {"junk", "a.key", "junk", "no certificate"},
      {"empty", "a.key", "empty", "no certificate"},
      {"a.pem", "junk", "junk", "no private key"},
      {"a.pem", "locked.key", "locked.key", "no private key"},
      {"a.pem", "b.key", "b.key", "does not belong"},
      {"a.pem", "", "", "needs both"},
      {"", "a.key", "", "needs both"},
  };
  for (const auto& c : cases) {
    const auto server = start(c.cert, c.key);
    ASSERT_FALSE(server) << c.cert << " " << c.key;
    EXPECT_NE(server.error().text().find(c.where), std::string::npos) << server.error().text();
    EXPECT_NE(server.error().text().find(c.what), std::string::npos) << server.error().text();
  }
}

}  // namespace
}  // namespace bezel::test
