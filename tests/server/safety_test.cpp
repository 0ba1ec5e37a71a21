// What went wrong in other servers (integers, grammars, pictures, proxies, HTTP), and what we
// promise instead. Each test is a row of that list; loopback, keys, slow clients and DNS rebinding
// are in api_test and http_test.
#include <dirent.h>

#include <fstream>
#include <set>
#include <thread>

#include "robust/sanitized.h"
#include "server/api.h"

namespace bezel::test {
namespace {

// A socket that should never be spoken to.
class Bait {
 public:
  Bait() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
        ::listen(fd_, 8) != 0 || ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
      throw std::runtime_error("cannot listen");
    port_ = ntohs(at.sin_port);
    const timeval wait = {0, 200'000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
  }
  ~Bait() { ::close(fd_); }
  Bait(const Bait&) = delete;
  Bait& operator=(const Bait&) = delete;
  std::uint16_t port() const { return port_; }
  bool bitten() const {
    const int got = ::accept(fd_, nullptr, nullptr);
    if (got >= 0) ::close(got);
    return got >= 0;
  }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

// The number fields of a schema, with the text that puts a value there.
void number_fields(const Json& schema, const std::string& before, const std::string& after,
                   std::vector<std::pair<std::string, std::string>>& out) {
  if (!schema.contains("properties")) return;
  for (const auto& [name, field] : schema["properties"].items()) {
    const std::string at = fmt::format("{}\"{}\":", before, name);
    if (field.contains("minimum")) out.emplace_back(at, after);
    const char* brief = name == "options" ? R"("num_predict":1,)" : "";  // the last one wins
    if (field.contains("properties"))
      number_fields(field, fmt::format("{}{{{}", at, brief), "}" + after, out);
  }
}

TEST_F(Api, EveryNumberOfEveryApiTakesAnyNumberWithoutHarm) {
  const Json doc = json_of(get("/openapi.json").body);
  const std::pair<const char*, const char*> bodies[] = {
      {"/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}],"max_tokens":1,)"},
      {"/v1/completions", R"({"prompt":"a","max_tokens":1,)"},
      {"/v1/responses", R"({"input":"a","max_output_tokens":1,)"},
      {"/v1/embeddings", R"({"input":"a",)"},
      {"/v1/messages", R"({"messages":[{"role":"user","content":"a"}],"max_tokens":1,)"},
      {"/api/chat", R"({"messages":[{"role":"user","content":"a"}],)"},
      {"/api/generate", R"({"prompt":"a",)"},
  };
  int asked = 0;
  for (const auto& [path, begin] : bodies) {
    std::vector<std::pair<std::string, std::string>> fields;
    number_fields(
        doc["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"], "", "",
        fields);
    EXPECT_FALSE(fields.empty()) << path;
    const std::string least = has(path, "/api/") ? R"(,"stream":false})" : "}";
    for (const auto& [before, after] : fields)
      for (const char* value : {"-1", "-2147483649", "2147483648", "-9223372036854775808",
                                "9223372036854775808", "18446744073709551616", "NaN", "1e400",
                                "-1e400", "1e-400", "0.5", "\"1\"", "[]", "true"}) {
        const Response r =
            post(path, fmt::format("{}{}{}{}{}", begin, before, value, after, least));
        EXPECT_TRUE(r.status == 200 || r.status == 400)
            << path << " " << before << value << ": " << r.head << r.body;
        ++asked;
      }
  }
  EXPECT_GT(asked, 900);
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(Api, BadSchemasPatternsAndGrammarsAreRefusedAndTheServerLives) {
  const auto format = [](const std::string& schema) {
    return fmt::format(
        R"({{"messages":[{{"role":"user","content":"a"}}],"max_tokens":4,)"
        R"("response_format":{{"type":"json_schema","json_schema":{{"schema":{}}}}}}})",
        schema);
  };
  std::string deep = "true";
  for (int i = 0; i < 90; ++i) deep = R"({"not":)" + deep + "}";
  std::string wide = R"({"type":"string","pattern":"(a{1,1000}){1,1000}"})";
  for (const std::string& schema :
       {std::string(R"({"type":7})"), std::string(R"({"pattern":"("})"),
        std::string(R"({"type":"string","pattern":"(?=a)b"})"), wide,
        std::string(R"({"$ref":"#/nowhere"})"), std::string(R"({"$ref":"http://localhost/x"})"),
        std::string(R"({"$ref":"#"})"),
        std::string(R"({"allOf":[{"type":"string"},{"type":"null"}]})"),
        std::string(R"({"type":"string","minLength":-1})"),
        std::string(R"({"type":"string","maxLength":1e30})"),
        fmt::format(R"({{"enum":["{}"]}})", std::string(5'000'000, 'x'))}) {
    const Response r = post("/v1/chat/completions", format(schema));
    EXPECT_EQ(r.status, 400) << schema.substr(0, 80) << r.body.substr(0, 300);
  }
  for (const std::string& schema : {deep, std::string(R"({"type":"string","pattern":"(a*)*b"})")}) {
    const int status = post("/v1/chat/completions", format(schema)).status;
    EXPECT_TRUE(status == 200 || status == 400) << schema.substr(0, 80);
  }
  EXPECT_EQ(post("/api/chat", R"({"messages":[{"role":"user","content":"a"}],"format":{"type":7}})")
                .status,
            400);
  EXPECT_EQ(post("/v1/messages", R"({"messages":[{"role":"user","content":"a"}],"max_tokens":4,)"
                                 R"("output_config":{"format":{"type":"json_schema",)"
                                 R"("schema":{"type":7}}}})")
                .status,
            400);
  EXPECT_EQ(post("/v1/chat/completions", format(R"({"type":"boolean"})")).status, 200);
}

TEST_F(Api, NoUrlOfARequestIsEverFetched) {
  const Bait bait;
  const std::string url = fmt::format("http://127.0.0.1:{}/x.png", bait.port());
  const std::pair<const char*, std::string> asks[] = {
      {"/v1/chat/completions",
       fmt::format(R"({{"messages":[{{"role":"user","content":[{{"type":"image_url",)"
                   R"("image_url":{{"url":"{}"}}}}]}}]}})",
                   url)},
      {"/v1/responses", fmt::format(R"({{"input":[{{"role":"user","content":[)"
                                    R"({{"type":"input_image","image_url":"{}"}}]}}]}})",
                                    url)},
      {"/v1/messages",
       fmt::format(R"({{"max_tokens":1,"messages":[{{"role":"user","content":[)"
                   R"({{"type":"image","source":{{"type":"url","url":"{}"}}}}]}}]}})",
                   url)},
      {"/v1/chat/completions",
       fmt::format(R"({{"messages":[{{"role":"user","content":"a"}}],"response_format":)"
                   R"({{"type":"json_schema","json_schema":{{"schema":{{"$ref":"{}"}}}}}}}})",
                   url)},
      {"/api/generate", fmt::format(R"({{"prompt":"a","images":["{}"]}})", url)},
  };
  for (const auto& [path, body] : asks) EXPECT_EQ(post(path, body).status, 400) << path;
  EXPECT_FALSE(bait.bitten());
}

TEST_F(Api, ThisIsNoProxy) {
  const Bait bait;
  const auto status = [&](const std::string& line) {
    return ask(front_->port(), line + "\r\nHost: localhost\r\n\r\n").status;
  };
  EXPECT_EQ(status(fmt::format("GET http://127.0.0.1:{}/health HTTP/1.1", bait.port())), 404);
  EXPECT_EQ(status(fmt::format("CONNECT 127.0.0.1:{} HTTP/1.1", bait.port())), 404);
  EXPECT_EQ(status("GET /v1/models/../../health HTTP/1.1"), 404);
  EXPECT_FALSE(bait.bitten());
}

TEST_F(Api, NothingFromTheWireBecomesAPath) {
  for (const char* path : {"/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd",
                           "//etc/passwd", "/v1/responses/..%2f..%2fetc", "/v1/responses/../x"}) {
    const Response r = get(path);
    EXPECT_EQ(r.status, 404) << path;
    EXPECT_FALSE(has(r.body, "root:"));
  }
  const Response r = post("/v1/completions", R"({"model":"../../../etc/passwd","prompt":"a",)"
                                             R"("max_tokens":1})");
  EXPECT_EQ(r.status, 200) << "a model's name is a name: one model is served";
  EXPECT_EQ(json_of(r.body)["model"], "tiny");
}

TEST_F(Api, WhatCouldGrowHasALimitBeforeWorkBegins) {
  std::string stops = "\"x\"", tools = R"({"type":"function","function":{"name":"f0"}})";
  std::string flat = R"({"type":"function","name":"f0"})", plain = R"({"name":"f0"})";
  for (int i = 1; i < 257; ++i) {
    stops += ",\"x\"";
    tools += fmt::format(R"(,{{"type":"function","function":{{"name":"f{}"}}}})", i);
    flat += fmt::format(R"(,{{"type":"function","name":"f{}"}})", i);
    plain += fmt::format(R"(,{{"name":"f{}"}})", i);
  }
  const std::string chat = R"({"messages":[{"role":"user","content":"a"}],"max_tokens":1,)";
  const std::pair<const char*, std::string> asks[] = {
      {"/v1/chat/completions", chat + "\"n\":17}"},
      {"/v1/chat/completions", chat + "\"stop\":[" + stops + "]}"},
      {"/v1/chat/completions", chat + "\"tools\":[" + tools + "]}"},
      {"/v1/chat/completions", chat + "\"top_logprobs\":21,\"logprobs\":true}"},
      {"/v1/responses", "{\"input\":\"a\",\"tools\":[" + flat + "]}"},
      {"/v1/messages", chat + "\"tools\":[" + plain + "]}"},
      {"/v1/messages", chat + "\"stop_sequences\":[" + stops + "]}"},
      {"/api/chat", chat + "\"tools\":[" + tools + "]}"},
      {"/v1/completions", "{\"prompt\":[" + stops + "]}"},
      {"/v1/embeddings", "{\"input\":[" + stops + "]}"},
      {"/v1/chat/completions", chat + "\"stop\":\"" + std::string(5000, 'x') + "\"}"},
  };
  for (const auto& [path, body] : asks) {
    const Response r = post(path, body);
    EXPECT_EQ(r.status, 400) << path << " " << body.substr(0, 100) << r.body;
  }
  EXPECT_EQ(loader_->load().requests, 0U);
}

TEST_F(Api, ErrorsAreOurOwnSentencesAndTellNoAddress) {
  for (const char* body :
       {"{", "[1", "\"\\ud800\"", "{\"messages\":3}", "{\"messages\":[{\"role\":\"\\u0000\"}]}",
        "\xff\xfe", "{\"a\":1}{", "{\"messages\":[{\"role\":\"user\",\"content\":\"\xc3\"}]}"}) {
    const Response r = post("/v1/chat/completions", body);
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_FALSE(has(r.body, "0x")) << r.body;
    EXPECT_FALSE(has(r.body, "nlohmann")) << r.body;
    EXPECT_TRUE(json_of(r.body)["error"]["message"].is_string());
  }
}

TEST_F(Api, RequestsThatCouldBeReadTwoWaysAreRefused) {
  const auto answers = [&](const std::string& lines, const std::string& body) {
    Client client(front_->port());
    client.send("POST /tokenize HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n" + body +
                "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return client.read_all();
  };
  const std::string hidden = "0\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (const std::string& lines :
       {std::string("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        std::string("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        std::string("Content-Length: 5\r\nContent-Length: 6\r\n"),
        std::string("Content-Length: 5, 6\r\n"), std::string("Content-Length: +5\r\n"),
        std::string("Content-Length: 0x5\r\n"), std::string("Content-Length : 5\r\n")}) {
    const std::string all = answers(lines, hidden);
    EXPECT_TRUE(has(all, "HTTP/1.1 400")) << lines << all;
    EXPECT_FALSE(has(all, "\"object\":\"list\"")) << lines << all;
    EXPECT_FALSE(has(all, "\"status\":\"ok\"")) << "what follows is not read: " << lines << all;
  }
}

TEST_F(Api, AFloodOfHeadersEndsAtTheLimit) {
  std::string many;
  for (int i = 0; many.size() < 40'000; ++i) many += fmt::format("a{}: b\r\n", i);
  EXPECT_EQ(ask(front_->port(), request("GET", "/health", "", many)).status, 431);
  EXPECT_EQ(ask(front_->port(), request("GET", "/" + std::string(40'000, 'x'))).status, 431);
  EXPECT_EQ(get("/health").status, 200);
}

TEST_F(Api, AFormOfAnotherPageIsNotAnswered) {
  const std::string body = R"({"prompt":"a","max_tokens":1})";
  const Response r = post(
      "/v1/completions", body,
      "Origin: http://evil.example\r\nContent-Type: text/plain\r\nSec-Fetch-Mode: no-cors\r\n");
  EXPECT_EQ(r.status, 403) << "a page needs no leave to send this";
  EXPECT_FALSE(has(r.head, "Access-Control-Allow"));
  EXPECT_EQ(loader_->load().requests, 0U);
}

int sockets_open() {
  int n = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  for (const dirent* one = nullptr; (one = ::readdir(folder)) != nullptr;) {
    char target[64] = {};
    const std::string link = std::string("/proc/self/fd/") + one->d_name;
    if (::readlink(link.c_str(), target, sizeof target - 1) > 0)
      n += std::string_view(target).substr(0, 7) == "socket:" ? 1 : 0;
  }
  ::closedir(folder);
  return n;
}

TEST(Safety, LoadingAModelOpensNoSocket) {
  const ModelFolder folder("e2b", true);
  const int before = sockets_open();
  const auto service = Service::start({.engine = tiny(folder.path())});
  ASSERT_TRUE(service);
  EXPECT_EQ(sockets_open(), before);
}

TEST_F(Api, ItListensAtLoopbackUnlessToldOtherwise) {
  EXPECT_EQ(http::Options().host, "127.0.0.1");
  std::ifstream table("/proc/net/tcp");
  if (!table) GTEST_SKIP() << "no /proc/net/tcp";
  int listeners = 0;
  for (std::string line; std::getline(table, line);) {
    if (!has(line, fmt::format(":{:04X} 00000000:0000 0A", front_->port()))) continue;
    ++listeners;
    EXPECT_TRUE(has(line, "0100007F:")) << line;
  }
  EXPECT_EQ(listeners, 1);
}

// Bytes of memory that is this process's own.
std::uint64_t own_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "RssAnon:") {
      std::uint64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes << 10U;
    }
  return 0;
}

TEST_F(Api, MemoryStaysBelowWhatIsPrintedAtTheStart) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory of its own";
  close();
  const std::uint64_t before = own_memory();
  if (before == 0) GTEST_SKIP() << "no RssAnon here";
  open(4, 16, "", 2048);
  std::vector<std::thread> clients;
  clients.reserve(8);
  for (int i = 0; i < 8; ++i)
    clients.emplace_back([&, i] {
      for (int n = 0; n < 3; ++n)
        post("/v1/completions",
             fmt::format(R"({{"prompt":"{}","max_tokens":300,"seed":{}}})",
                         std::string(static_cast<std::size_t>(100 + 150 * i), 'a'), n));
    });
  for (std::thread& t : clients) t.join();
  const std::uint64_t taken = own_memory() - std::min(before, own_memory());
  EXPECT_LE(taken, loader_->loaded()->service->engine().info().memory.anonymous());
}

}  // namespace
}  // namespace bezel::test
