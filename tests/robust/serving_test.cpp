// Memory that runs out while requests are served: each of the first 300 allocations fails alone,
// then about every twentieth (with BEZEL_LONG all of them); and in steps of seven and more the next
// twenty fail with it. Reading a body that finds no memory is refused with a sentence; all else is
// done with memory from the reserve, and the answer has the same bits. The server goes on.
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "base/temp_folder.h"
#include "robust/failing_new.h"
#include "server/api.h"

namespace bezel::test {
namespace {

class Spared {  // the client's own allocations
 public:
  Spared() { spared = true; }
  ~Spared() { spared = false; }
  Spared(const Spared&) = delete;
  Spared& operator=(const Spared&) = delete;
};

// The answer without what differs from time to time.
std::string lasting(const Response& r) {
  std::string out = r.body;
  for (const char* key :
       {"\"id\":\"", "\"created\":", "\"created_at\":", "\"item_id\":\"",
        "_duration\":", "\"cached_tokens\":", "\"call_id\":\"", "\"revision\":"}) {
    for (std::size_t at = 0; (at = out.find(key, at)) != std::string::npos;) {
      const std::size_t from = at + std::string(key).size();
      out.erase(from, out.find_first_of(",}", from) - from);
      at = from;
    }
  }
  return out;
}

// The allocation that fails next after the n-th; `more` fail with each.
long next(long n, long more) {
  static const bool all = std::getenv("BEZEL_LONG") != nullptr;
  if (more > 0) return n + 7 + (all ? 0 : n / 10);
  return n + (all || n < 300 ? 1 : n / 20);
}

// Asks again and again while an allocation fails, with `more` behind it, until none is reached.
void fail_each_allocation(const std::function<Response()>& ask_once, long more) {
  ask_once();
  const std::string want = lasting(ask_once());
  long failures = 0, refused = 0;
  burst.store(1 + more);
  for (long n = 0;; n = next(n, more)) {
    countdown.store(n);
    const Response r = ask_once();
    const bool reached = countdown.exchange(-1) < 0;
    burst_left.store(0);
    if (r.status == 503) {
      ++refused;
      ASSERT_TRUE(has(r.body, "not enough memory")) << n << r.body;
    } else {
      ASSERT_EQ(r.status, 200) << "allocation " << n << ": " << r.head << r.body;
      ASSERT_EQ(lasting(r), want) << "allocation " << n;
    }
    if (!reached) break;
    ++failures;
  }
  const Response after = ask_once();
  EXPECT_EQ(after.status, 200);
  EXPECT_EQ(lasting(after), want) << "the server goes on";
  EXPECT_GE(failures, more > 0 ? 3 : 15) << "reading a saved chat takes the fewest";
  std::printf("%ld times allocations failed: %ld refusals, else the right answer\n", failures,
              refused);
}

TEST_F(Api, AServerWithoutMemoryAnswersOrRefusesAndGoesOn) {
  const Spared mine;
  const TempFolder folder;
  auto chats = ChatStore::open(folder.file("chats.db"));
  const bool saves = chats || chats.error().code != Errc::Unsupported;
  if (saves) {
    ASSERT_TRUE(chats) << chats.error().text();
    close();
    chats_ = *std::move(chats);
    open(4, 8, "");
  }
  constexpr const char* kChat = "/chats/aaaaaaaa";
  const std::string chat =
      R"({"title":"T","messages":[{"id":"m1","role":"user","content":"abc"}]})";
  const std::pair<const char*, const char*> asks[] = {
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"abc"}],"temperature":0,"max_tokens":3})"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"abc"}],"temperature":0,"max_tokens":3,)"
       R"("stream":true})"},
      {"/v1/responses",
       R"({"input":"abc","temperature":0,"max_output_tokens":3,"stream":true,"store":false})"},
      {"/v1/messages",
       R"({"messages":[{"role":"user","content":"abc"}],"temperature":0,"max_tokens":3})"},
      {"/api/generate", R"({"prompt":"abc","options":{"temperature":0,"num_predict":3}})"},
      {"/v1/embeddings", R"({"input":"abc"})"},
      {"/openapi.json", ""},
  };
  for (const auto& [path, body] : asks) {
    SCOPED_TRACE(path);
    for (const long more : {0L, 20L})
      fail_each_allocation([&, p = path, b = body] { return *b == 0 ? get(p) : post(p, b); }, more);
  }
  for (const char* method : {"PUT", "GET"}) {
    SCOPED_TRACE(method);
    const std::string bytes = request(method, kChat, *method == 'P' ? chat : "");
    for (const long more : {0L, 20L})
      if (saves) fail_each_allocation([&] { return ask(front_->port(), bytes); }, more);
  }
  close();
  chats_.reset();  // before its folder
}

}  // namespace
}  // namespace bezel::test
