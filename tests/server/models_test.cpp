// Models by name: loaded when they are asked for, one at a time, let go, listed, fetched, removed.
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "server/api.h"

namespace bezel::test {
namespace {

using std::chrono::milliseconds;

// A store in memory. "slow" is a model whose pull waits until it is cancelled.
class TestStore final : public ModelStore {
 public:
  void put(const std::string& name, const std::string& path, bool ours = true) {
    StoredModel m;
    m.name = name;
    m.path = path;
    m.place = "bezel";
    m.architecture = "gemma4";
    m.bytes = 1000;
    m.ours = ours;
    models_[name] = m;
  }
  std::vector<StoredModel> list() const override {
    const std::lock_guard lock(mutex_);
    std::vector<StoredModel> out;
    for (const auto& [name, m] : models_) out.push_back(m);
    return out;
  }
  Result<FoundModel> find(const std::string& name) const override {
    const std::lock_guard lock(mutex_);
    const auto alias = aliases_.find(name);
    const auto at = models_.find(alias == aliases_.end() ? name : alias->second);
    if (at == models_.end() && name.find(' ') != std::string::npos)
      return Error{Errc::BadInput, "is no name", ""};
    if (at == models_.end()) return Error{Errc::NotFound, "there is no \"" + name + "\" here", ""};
    return FoundModel{at->second, "", alias != aliases_.end()};
  }
  Result<PullPlan> plan(const std::string& name) const override {
    if (name.rfind("org/", 0) == 0 || name == "slow") return PullPlan{"a file", 1000};
    return Error{Errc::BadInput, "is no name", ""};
  }
  Result<FoundModel> pull(const std::string& name, const PullOptions& options) override {
    BEZEL_TRY(const PullPlan planned, plan(name));
    pulls += name == "slow" ? 1 : 0;
    PullProgress p;
    options.on_progress(p);
    p.stage = PullProgress::Stage::Downloading;
    p.file = "model.gguf";
    p.total = planned.bytes;
    for (p.done = 0; p.done <= p.total; p.done += 500) {
      options.on_progress(p);
      if (name != "slow") continue;
      p.done = 0;
      if (*options.cancel) {
        --pulls;
        return Error{Errc::Cancelled, "the pull was ended", ""};
      }
      std::this_thread::sleep_for(milliseconds(5));
    }
    if (name == "org/broken") return Error{Errc::BadFile, "the checksum is wrong", ""};
    p.stage = PullProgress::Stage::Checking;
    options.on_progress(p);
    put(name, "nowhere");
    return find(name);
  }
  Status remove(const std::string& name) override {
    const std::lock_guard lock(mutex_);
    if (aliases_.erase(name) > 0) return Ok{};
    const auto at = models_.find(name);
    if (at == models_.end()) return Error{Errc::NotFound, "it is not here", ""};
    if (!at->second.ours) return Error{Errc::BadInput, "it is not ours", ""};
    models_.erase(at);
    return Ok{};
  }
  Status alias(const std::string& name, const std::string& alias) override {
    BEZEL_TRY(const FoundModel found, find(name));
    const std::lock_guard lock(mutex_);
    aliases_[alias] = found.model.name;
    return Ok{};
  }
  std::atomic<int> pulls{0};  // of "slow", under way

 private:
  mutable std::mutex mutex_;
  std::map<std::string, StoredModel> models_;
  std::map<std::string, std::string> aliases_;
};

constexpr const char* kHello = R"("messages":[{"role":"user","content":"hello"}])";

class Models : public Api {
 protected:
  void SetUp() override {
    auto store = std::make_unique<TestStore>();
    static const ModelFolder other("e2b", true);
    store->put("other", other.path());
    store->put("damaged", text_fixture("no/such/file"));
    store->put("theirs", other.path() + "/.", false);
    test_store_ = store.get();
    store_ = std::move(store);
    Api::SetUp();
  }
  Response chat(const std::string& model, const std::string& more = "") {
    return post("/api/chat", fmt::format(R"({{"model":"{}",{},"options":{{"num_predict":2}},)"
                                         R"("stream":false{}}})",
                                         model, kHello, more));
  }
  // What /api/ps has, or "".
  std::string loaded() {
    const Json ps = json_of(get("/api/ps").body);
    return ps["models"].empty() ? "" : ps["models"][0]["name"].get<std::string>();
  }
  bool becomes(const std::string& name) {
    for (int i = 0; i < 1000 && loaded() != name; ++i) std::this_thread::sleep_for(milliseconds(5));
    return loaded() == name;
  }
  // Opens a server anew and gives a client that it writes to without end, until that is closed.
  std::unique_ptr<Client> busy(int sequences, int queue) {
    close();
    open(sequences, queue, "", 4096, "scalar");
    auto client = std::make_unique<Client>(front_->port());
    client->send(request("POST", "/v1/completions", kEndless));
    client->read_until("data: ");
    return client;
  }
  TestStore* test_store_ = nullptr;
};

TEST_F(Models, AreLoadedWhenARequestNamesThemOneAtATime) {
  EXPECT_EQ(loaded(), "tiny");
  const Response first = chat("other");
  EXPECT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(json_of(first.body)["model"], "other");
  EXPECT_EQ(loaded(), "other");
  EXPECT_EQ(json_of(chat("tiny").body)["model"], "tiny");
  EXPECT_EQ(loaded(), "tiny");
  // Every API finds them.
  const std::string body = fmt::format(R"({{"model":"other","max_tokens":2,{}}})", kHello);
  for (const char* path : {"/v1/chat/completions", "/v1/messages"})
    EXPECT_EQ(json_of(post(path, body).body)["model"], "other") << path;
  EXPECT_EQ(post("/tokenize", R"({"model":"tiny","content":"a"})").status, 200);
  EXPECT_EQ(loaded(), "tiny");
}

TEST_F(Models, ANameThatIsNoneOfTheStoresIsTheFirstOnes) {
  EXPECT_EQ(json_of(chat("gpt-4o").body)["model"], "tiny");
  EXPECT_EQ(json_of(chat("").body)["model"], "tiny");
  EXPECT_EQ(json_of(chat("Claude Sonnet 4").body)["model"], "tiny");
  // It may become one's.
  EXPECT_EQ(post("/api/copy", R"({"source":"other","destination":"gpt-4o"})").status, 200);
  EXPECT_EQ(json_of(chat("gpt-4o").body)["model"], "other");
  EXPECT_EQ(json_of(chat("tiny").body)["model"], "tiny");
  EXPECT_EQ(json_of(chat("other").body)["model"], "other");
  EXPECT_EQ(json_of(chat("").body)["model"], "tiny");  // also while another is loaded
}

TEST_F(Models, OneThatCouldBeFetchedIsNotTakenForAnother) {
  const Response r = chat("org/elsewhere");
  EXPECT_EQ(r.status, 404);
  EXPECT_TRUE(has(r.body, "is not on this machine; `bezel pull org/elsewhere`")) << r.body;
}

TEST_F(Models, OneThatCannotBeLoadedIsSaidAndTheFirstComesBack) {
  const Response r = chat("damaged");
  EXPECT_EQ(r.status, 404) << r.body;
  EXPECT_EQ(json_of(r.body)["error"], "damaged: no such file or folder; check the path");
  EXPECT_EQ(loaded(), "");
  EXPECT_EQ(get("/v1/models").status, 200);
  EXPECT_EQ(json_of(get("/page.json").body)["loaded"], false);
  EXPECT_EQ(get("/openapi.json").status, 200);
  EXPECT_EQ(json_of(chat("tiny").body)["model"], "tiny");
}

TEST_F(Models, AreLetGoAfterKeepAlive) {
  close();
  keep_alive_ = std::chrono::seconds(0);
  open(4, 8, "");
  EXPECT_EQ(chat("other").status, 200);
  EXPECT_TRUE(becomes(""));
  EXPECT_EQ(chat("tiny").status, 200);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(loaded(), "tiny");  // the first stays
}

TEST_F(Models, LookingAtAModelKeepsItNoLonger) {
  close();
  keep_alive_ = std::chrono::seconds(1);
  open(4, 8, "");
  EXPECT_EQ(chat("other").status, 200);
  EXPECT_TRUE(becomes(""));  // it asks /api/ps all the time
}

TEST_F(Models, KeepAliveOfARequestCountsFromThenOn) {
  EXPECT_EQ(chat("other", R"(,"keep_alive":"1h30m")").status, 200);
  const Json ps = json_of(get("/api/ps").body);
  EXPECT_NE(ps["models"][0]["expires_at"], "9999-12-31T23:59:59Z");
  EXPECT_EQ(chat("other", R"(,"keep_alive":-1)").status, 200);
  EXPECT_EQ(json_of(get("/api/ps").body)["models"][0]["expires_at"], "9999-12-31T23:59:59Z");
  const Response r = post("/api/generate", R"({"model":"other","keep_alive":0})");
  EXPECT_EQ(json_of(r.body)["done_reason"], "unload");
  EXPECT_TRUE(becomes(""));
  for (const char* wrong : {"\"5 minutes\"", "\"\"", "\"-\"", "\"m\"", "true", "[]", "\"1e3s\""}) {
    const Response no = chat("other", fmt::format(R"(,"keep_alive":{})", wrong));
    EXPECT_EQ(no.status, 400) << wrong;
    EXPECT_TRUE(has(no.body, "keep_alive")) << no.body;
  }
}

TEST_F(Models, AnotherWaitsUntilTheAnswersOfTheLoadedOneHaveEnded) {
  const auto talking = busy(4, 8);
  Response answer;
  std::thread other([&] { answer = chat("other"); });
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(loaded(), "tiny");
  EXPECT_EQ(get("/health").status, 200);  // nobody else waits for it
  talking->close();                       // its answer ends
  other.join();
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(loaded(), "other");
}

TEST_F(Models, ManyClientsWithTwoModelsAllGetTheirOwn) {
  std::vector<std::thread> clients;
  clients.reserve(8);
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i)
    clients.emplace_back([&, name = i % 2 == 0 ? "tiny" : "other"] {
      for (int n = 0; n < 3; ++n) {
        const Response r = chat(name);
        right += r.status == 200 && json_of(r.body)["model"] == name ? 1 : 0;
      }
    });
  for (std::thread& t : clients) t.join();
  EXPECT_EQ(right, 24);
  EXPECT_GE(loader_->load().requests, 24U);  // of all models together
}

TEST_F(Models, WhoHasLeftIsNotWaitedForAndLoadsNothing) {
  const auto talking = busy(2, 1);  // the loader's queue holds 64
  for (int i = 0; i < 70; ++i) {
    Client leaving(front_->port());
    leaving.send(request("POST", "/v1/completions", R"({"model":"other","prompt":"a"})"));
  }
  // The server has noticed when only the talker and who asks here are connected.
  bool noticed = false;
  for (int i = 0; i < 600 && !noticed; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    noticed = get("/metrics").body.find("bezel_connections 2\n") != std::string::npos;
  }
  EXPECT_TRUE(noticed);
  talking->close();
  EXPECT_EQ(json_of(chat("tiny").body)["model"], "tiny");
  EXPECT_EQ(loaded(), "tiny");
  EXPECT_EQ(loader_->load().requests, 2U);
}

TEST_F(Models, MoreThanMayWaitForAnotherAreRefused) {
  LoaderOptions o;
  o.store = store_.get();
  o.waiting = 0;
  const auto loader = Loader::start(o);
  ASSERT_TRUE(loader) << loader.error().text();
  bool told = false;
  (*loader)->with("other", std::nullopt, nullptr, [&](const Result<LoadedModel>& m) {
    told = true;
    ASSERT_FALSE(m);
    EXPECT_EQ(m.error().code, Errc::Busy);
  });
  EXPECT_TRUE(told);
}

TEST_F(Models, WhoWaitsForAnotherIsRefusedWhenTheServerStops) {
  const auto talking = busy(1, 8);
  Response answer;
  std::thread other([&] { answer = chat("other"); });
  std::this_thread::sleep_for(milliseconds(50));
  loader_->stop();
  other.join();
  EXPECT_EQ(answer.status, 503) << answer.body;
  EXPECT_TRUE(has(answer.body, "stopping"));
}

TEST_F(Models, TheFirstByItsOtherNameIsStillTheFirst) {
  static const ModelFolder first("e2b", true);
  close();
  test_store_->put("org/first", first.path());
  LoaderOptions o;
  o.service.engine = tiny(first.path());
  o.first = "tiny";
  o.store = store_.get();
  const auto loader = Loader::start(o);
  ASSERT_TRUE(loader) << loader.error().text();
  for (const char* name : {"org/first", "other", "org/first", ""}) {
    std::atomic<bool> told{false};
    (*loader)->with(name, std::nullopt, nullptr, [&](const Result<LoadedModel>& m) {
      EXPECT_EQ(m ? m->name : m.error().text(), std::string(name) == "other" ? "other" : "tiny");
      told = true;
    });
    for (int i = 0; i < 1000 && !told; ++i) std::this_thread::sleep_for(milliseconds(5));
    EXPECT_TRUE(told);
  }
}

TEST_F(Models, AreListedWithWhatIsKnownOfThem) {
  const Json list = json_of(get("/v1/models").body);
  std::set<std::string> names;
  for (const Json& m : list["data"]) names.insert(m["id"].get<std::string>());
  EXPECT_EQ(names, (std::set<std::string>{"tiny", "other", "damaged", "theirs"}));
  EXPECT_EQ(list["data"][0]["id"], "tiny");
  EXPECT_EQ(get("/v1/models/other").status, 200);
  EXPECT_EQ(get("/v1/models/nothing").status, 404);
  const Json tags = json_of(get("/api/tags").body);
  for (const Json& m : tags["models"])
    EXPECT_EQ(m["bezel"]["loaded"], m["name"] == "tiny") << m["name"];
  const Json show = json_of(post("/api/show", R"({"model":"other"})").body);
  EXPECT_EQ(show["model_info"]["general.architecture"], "gemma4");
  EXPECT_EQ(post("/api/show", R"({"model":"nothing"})").status, 404);
}

TEST_F(Models, APullTellsItsProgressAndThenTheModelIsThere) {
  const Response r = post("/api/pull", R"({"model":"org/new"})");
  EXPECT_EQ(r.status, 200);
  EXPECT_TRUE(has(r.body, R"({"status":"pulling manifest"})")) << r.body;
  EXPECT_TRUE(has(r.body, R"("total":1000)")) << r.body;
  EXPECT_TRUE(has(r.body, R"({"status":"verifying model.gguf"})")) << r.body;
  EXPECT_TRUE(has(r.body, R"({"status":"success"})")) << r.body;
  EXPECT_EQ(get("/v1/models/org%2Fnew").status, 200);
  const Response whole = post("/api/pull", R"({"name":"org/new","stream":false})");
  EXPECT_EQ(json_of(whole.body)["status"], "success");
}

TEST_F(Models, APullThatFailsSaysWhy) {
  const Response early = post("/api/pull", R"({"model":"x y"})");
  EXPECT_EQ(early.status, 400) << early.body;
  EXPECT_EQ(json_of(early.body)["error"], "is no name");
  const Response late = post("/api/pull", R"({"model":"org/broken"})");
  EXPECT_EQ(late.status, 200);
  EXPECT_TRUE(has(late.body, R"({"error":"the checksum is wrong"})")) << late.body;
  EXPECT_FALSE(has(late.body, "success"));
  EXPECT_EQ(post("/api/pull", R"({"model":"org/broken","stream":false})").status, 500);
  EXPECT_EQ(post("/api/pull", R"({"model":"https://example.com/x.gguf"})").status, 400);
  EXPECT_EQ(post("/api/pull", "{}").status, 400);
}

TEST_F(Models, APullEndsWhenItsClientLeavesOrTheServerStops) {
  {
    Client client(front_->port());
    client.send(request("POST", "/api/pull", R"({"model":"slow"})"));
    client.read_until("completed");
  }
  for (int i = 0; i < 1000 && test_store_->pulls > 0; ++i)
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(test_store_->pulls, 0);
  Client other(front_->port());
  other.send(request("POST", "/api/pull", R"({"model":"slow"})"));
  other.read_until("completed");
  EXPECT_EQ(test_store_->pulls, 1);
  front_->stop(std::chrono::seconds(30));  // does not wait for it
  EXPECT_TRUE(has(other.read_until(""), "the pull was ended"));
}

TEST_F(Models, OnlySoManyPullsRunAtATime) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(front_->port()));
    clients.back()->send(request("POST", "/api/pull", R"({"model":"slow"})"));
    clients.back()->read_until("completed");
  }
  const Response r = post("/api/pull", R"({"model":"org/new"})");
  EXPECT_EQ(r.status, 503) << r.body;
  EXPECT_TRUE(has(r.body, "4 models are fetched already"));
}

Response erase(const std::string& body, std::uint16_t port) {
  return ask(port, request("DELETE", "/api/delete", body));
}

TEST_F(Models, OneThatIsRemovedIsLetGo) {
  EXPECT_EQ(chat("other").status, 200);
  EXPECT_EQ(erase(R"({"model":"other"})", front_->port()).status, 200);
  EXPECT_TRUE(becomes(""));
  EXPECT_EQ(json_of(chat("other").body)["model"], "tiny");
  EXPECT_EQ(erase(R"({"model":"other"})", front_->port()).status, 404);
  EXPECT_EQ(erase(R"({"model":"theirs"})", front_->port()).status, 400);
  EXPECT_EQ(erase("", front_->port()).status, 400);
  EXPECT_EQ(erase("{", front_->port()).status, 400);
}

TEST_F(Models, ACopyIsAnotherNameForTheSame) {
  EXPECT_EQ(post("/api/copy", R"({"source":"other","destination":"mine"})").status, 200);
  EXPECT_EQ(json_of(chat("mine").body)["model"], "other");
  EXPECT_EQ(erase(R"({"model":"mine"})", front_->port()).status, 200);
  EXPECT_EQ(loaded(), "other");  // an alias goes alone
  EXPECT_EQ(post("/api/copy", R"({"source":"nothing","destination":"x"})").status, 404);
  EXPECT_EQ(post("/api/copy", R"({"source":"other"})").status, 400);
}

TEST_F(Models, WithoutAStoreThereIsTheFirstAlone) {
  close();
  store_.reset();
  open(4, 8, "");
  EXPECT_EQ(json_of(chat("other").body)["model"], "tiny");
  EXPECT_EQ(json_of(get("/v1/models").body)["data"].size(), 1U);
  for (const char* path : {"/api/pull", "/api/copy"})
    EXPECT_EQ(post(path, R"({"model":"a","source":"a","destination":"b"})").status, 400) << path;
  EXPECT_EQ(erase(R"({"model":"tiny"})", front_->port()).status, 400);
  EXPECT_EQ(json_of(get("/page.json").body)["store"], false);
}

TEST_F(Models, MoreThanTheMemoryThatIsAllowedIsNotLoaded) {
  LoaderOptions o;
  o.service.engine.memory = 999;
  o.store = store_.get();
  const auto loader = Loader::start(o);
  ASSERT_TRUE(loader) << loader.error().text();
  std::atomic<bool> told{false};
  (*loader)->with("other", std::nullopt, nullptr, [&](const Result<LoadedModel>& m) {
    ASSERT_FALSE(m);
    EXPECT_TRUE(has(m.error().text(), "--memory")) << m.error().text();
    told = true;
  });
  (*loader)->with("", std::nullopt, nullptr, [](const Result<LoadedModel>& m) {
    ASSERT_FALSE(m);
    EXPECT_TRUE(has(m.error().text(), "must name a model")) << m.error().text();
  });
  for (int i = 0; i < 1000 && !told; ++i) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(told);
  (*loader)->stop();
}

}  // namespace
}  // namespace bezel::test
