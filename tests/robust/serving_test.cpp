// Memory that runs out while requests are served: the n-th allocation fails, for every n. That
// request is refused, its stream ends in an error, or its connection is closed; what is answered is
// right, and the server goes on.
#include <cstdio>
#include <functional>

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
  for (const char* key : {"\"id\":\"", "\"created\":", "\"created_at\":", "\"item_id\":\"",
                          "_duration\":", "\"cached_tokens\":", "\"call_id\":\""}) {
    for (std::size_t at = 0; (at = out.find(key, at)) != std::string::npos;) {
      const std::size_t from = at + std::string(key).size();
      out.erase(from, out.find_first_of(",}", from) - from);
      at = from;
    }
  }
  return out;
}

bool is_error(const Response& r) {
  return r.status == 0 || r.status == 503 || r.status == 500 || r.status == 413 ||
         has(r.body, "not enough memory");
}

// Asks again and again while allocation 0, 1, 2, … fails, until none is reached.
void fail_each_allocation(const std::function<Response()>& ask_once) {
  ask_once();
  const std::string want = lasting(ask_once());
  long failures = 0, closed = 0, refused = 0;
  for (long n = 0;; n += n < 300 ? 1 : 7) {
    countdown.store(n);
    const Response r = ask_once();
    const bool reached = countdown.exchange(-1) < 0;
    const bool whole = r.status == 200 && lasting(r) == want;
    const bool cut = r.status == 200 && want.rfind(lasting(r), 0) == 0;  // closed on the way
    ASSERT_TRUE(whole || cut || is_error(r))
        << "allocation " << n << " of an answer: " << r.head << r.body << "\nwanted " << want;
    closed += r.status == 0 || (cut && !whole) ? 1 : 0;
    refused += r.status >= 500 ? 1 : 0;
    if (!reached) break;
    ++failures;
  }
  const Response after = ask_once();
  EXPECT_EQ(after.status, 200);
  EXPECT_EQ(lasting(after), want) << "the server goes on";
  EXPECT_GE(failures, 50);
  EXPECT_GE(refused, failures / 4) << "most refusals have a sentence";
  std::printf(
      "%ld allocations failed: %ld answers refused with a sentence, %ld connections "
      "closed\n",
      failures, refused, closed);
}

TEST_F(Api, AServerWithoutMemoryRefusesAndGoesOnAtEveryAllocation) {
  const Spared mine;
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
    fail_each_allocation([&, p = path, b = body] { return *b == 0 ? get(p) : post(p, b); });
  }
}

}  // namespace
}  // namespace bezel::test
