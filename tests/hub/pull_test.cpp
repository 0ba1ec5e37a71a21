// Pulls from the test hub: every one ends in the right file or in one sentence.
#include "hub/net/pull.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <thread>

#include "base/file.h"
#include "bezel/store.h"
#include "hub/find/find.h"
#include "hub/test_hub.h"
#include "hub/world.h"

namespace bezel {
namespace {

namespace fs = std::filesystem;
using hub::ModelName;
using hub::Pulled;
using test::HubReply;
using test::HubRequest;
using test::TestHub;
using test::World;

constexpr std::size_t kPart = 64U << 10U;
constexpr int kForever = 1 << 20;
const std::string kRepo = "o/gemma-4-E2B-it-GGUF";
const std::string kFile = "gemma-4-E2B-it-Q4_0.gguf";

class HubPull : public testing::Test {
 protected:
  HubPull() {
    content_ = test::gguf_head("gemma4", 35, "Gemma", 10 * kPart + 123);
    hub_.add(kRepo, kFile, {content_});
    hub_.add(kRepo, "mmproj-F16.gguf", {"GGUFno"});
    hub_.add(kRepo, "README.md", {"read me", false});
    world_.set("HF_ENDPOINT", hub_.url());
    tuning_ = {.part_bytes = kPart,
               .connections = 4,
               .first_pause_ms = 2,
               .tries = 3,
               .stalled_seconds = 2};
  }

  Result<Pulled> pull(const std::string& name, const PullOptions& options = {}) const {
    const auto parsed = hub::parse_name(name);
    if (!parsed) return parsed.error();
    return hub::pull(world_.places(), {*parsed, 8'000'000'000}, options, tuning_);
  }
  // Fails, with this in its sentence; nothing under the file's name, nothing outside the store.
  std::string complaint(const std::string& part, const std::string& name = kRepo) {
    const auto pulled = pull(name);
    EXPECT_FALSE(pulled) << part;
    if (pulled) return "";
    const std::string text = pulled.error().text();
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
    if (world_.files().empty()) {
      EXPECT_FALSE(is_directory(world_.cache() + "/" + hub::repo_folder(kRepo)));
    }
    for (const std::string& file : world_.files()) {
      EXPECT_EQ(file.rfind("hf/hub/", 0), 0U) << file;
      EXPECT_EQ(file.find("snapshots"), std::string::npos) << file;
      EXPECT_TRUE(file.find("/blobs/") == std::string::npos ||
                  file.find(".bezel.") != std::string::npos)
          << file;
    }
    return text;
  }
  void expect_right(const Result<Pulled>& pulled) const {
    ASSERT_TRUE(pulled) << pulled.error().text();
    const auto got = read_file(pulled->path, 1U << 30U);
    ASSERT_TRUE(got);
    EXPECT_TRUE(*got == content_);
    for (const std::string& file : world_.files())
      EXPECT_EQ(file.find(".bezel."), std::string::npos) << "left behind: " << file;
  }
  // Trouble for requests to the second server, n times.
  void trouble_cdn(int times, const std::function<void(HubReply&)>& what) {
    auto left = std::make_shared<std::atomic<int>>(times);
    hub_.set_trouble([left, what](const HubRequest& r, HubReply& reply) {
      if (r.cdn && (*left)-- > 0) what(reply);
    });
  }

  void complaint_by_url(const std::string& part, const std::string& url) const {
    const auto pulled = pull(url);
    ASSERT_FALSE(pulled) << part;
    EXPECT_NE(pulled.error().text().find(part), std::string::npos) << pulled.error().text();
  }
  // Every redirect has a signature of its own, which is good for so many parts.
  void sign_anew(int parts) {
    const auto last = std::make_shared<std::atomic<int>>(0);
    const auto left = std::make_shared<std::atomic<int>>(0);
    hub_.set_trouble([=](const HubRequest& r, HubReply& reply) {
      for (auto& [name, value] : reply.headers)
        if (!r.cdn && name == "Location") {
          value += fmt::format("{}", ++*last);
          *left = parts;
        }
      if (!r.cdn || r.method == "HEAD") return;
      if (r.path.find(fmt::format("signature=x{}", last->load())) == std::string::npos ||
          (*left)-- <= 0)
        reply = {403, {}, "expired", -1, std::string::npos};
    });
  }
  // Ends a pull half-way; the bytes that the second server has sent until now.
  std::size_t pull_half(const std::string& name) {
    tuning_.part_bytes = 8U << 10U;
    std::atomic<bool> stop{false};
    PullOptions options;
    options.cancel = &stop;
    options.on_progress = [&](const PullProgress& p) {
      if (p.done > content_.size() / 2) stop = true;
    };
    hub_.set_bytes_per_second(1 << 20);
    const auto first = pull(name, options);
    EXPECT_FALSE(first);
    EXPECT_TRUE(first || first.error().code == Errc::Cancelled);
    hub_.set_bytes_per_second(0);
    return hub_.cdn_bytes();
  }

  World world_;
  TestHub hub_;
  std::string content_;
  hub::PullTuning tuning_;
};

TEST_F(HubPull, AFileLandsInTheLayoutOfTheHubsOwnTools) {
  const auto pulled = pull(kRepo + ":q4_0");
  expect_right(pulled);
  const std::string folder = "hf/hub/models--o--gemma-4-E2B-it-GGUF/";
  const std::string sum = test::sha256_of(content_);
  EXPECT_EQ(world_.files(),
            (std::vector<std::string>{folder + ".bezel/" + sum, folder + "blobs/" + sum,
                                      folder + "refs/main"}));
  EXPECT_EQ(world_.folder().get(folder + "refs/main"), TestHub::kCommit);
  EXPECT_EQ(pulled->path,
            world_.folder().file(folder + "snapshots/" + TestHub::kCommit + "/" + kFile));
  EXPECT_EQ(fs::read_symlink(pulled->path), "../../blobs/" + sum);
  EXPECT_TRUE(is_file(world_.cache() + "/.locks/models--o--gemma-4-E2B-it-GGUF/" + sum + ".lock"));
  EXPECT_GT(hub_.n_requests(), 10U) << "parts";
}

TEST_F(HubPull, WhatIsHereCostsNothing) {
  const auto first = pull(kRepo);
  expect_right(first);
  EXPECT_NE(first->why.find("checksum"), std::string::npos) << first->why;
  const std::size_t bytes = hub_.cdn_bytes();
  const auto again = pull(kRepo + ":" + kFile);
  expect_right(again);
  EXPECT_EQ(again->why.find("checksum"), std::string::npos) << again->why;
  EXPECT_EQ(hub_.cdn_bytes(), bytes);
}

TEST_F(HubPull, TheTokenGoesToTheHubAndNowhereElse) {
  world_.set("HF_TOKEN", "hf_secret");
  hub_.set_trouble(
      [this](const HubRequest& r, HubReply& reply) {  // the list of files elsewhere, too
        if (!r.cdn && r.path.rfind("/api/", 0) == 0 && r.path.find("again") == std::string::npos)
          reply = {307, {{"Location", hub_.url() + r.path + "&again"}}, "", -1, std::string::npos};
      });
  expect_right(pull(kRepo));
  int with = 0;
  for (const HubRequest& r : hub_.requests()) {
    EXPECT_EQ(r.header("authorization"), r.cdn ? "" : "Bearer hf_secret") << r.path;
    with += r.cdn ? 0 : 1;
  }
  EXPECT_GE(with, 3);
}

TEST_F(HubPull, ARedirectOfTheListToAnotherHostLosesTheToken) {
  world_.set("HF_TOKEN", "hf_secret");
  hub_.set_trouble([this](const HubRequest& r, HubReply& reply) {
    if (!r.cdn) reply = {302, {{"Location", hub_.cdn_url() + r.path}}, "", -1, std::string::npos};
  });
  EXPECT_FALSE(pull(kRepo));
  int elsewhere = 0;
  for (const HubRequest& r : hub_.requests()) {
    if (!r.cdn) continue;
    ++elsewhere;
    EXPECT_EQ(r.header("authorization"), "");
  }
  EXPECT_GE(elsewhere, 1);
}

TEST_F(HubPull, ATokenNeverTravelsWithoutEncryptionToAnotherMachine) {
  const auto sends = [](const std::string& endpoint, const std::string& url) {
    return hub::Http({.endpoint = endpoint, .token = "t"}).gets_token(url);
  };
  EXPECT_TRUE(sends("https://huggingface.co", "https://huggingface.co/api"));
  EXPECT_TRUE(sends("https://huggingface.co", "https://HuggingFace.co:443/api"));
  EXPECT_TRUE(sends("http://127.0.0.1:80", "http://127.0.0.1/x"));
  EXPECT_FALSE(sends("http://hub.example", "http://hub.example/api"));
  EXPECT_FALSE(sends("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example/"));
  EXPECT_FALSE(sends("https://huggingface.co", "http://huggingface.co/api"));
  EXPECT_FALSE(sends("https://huggingface.co", "https://huggingface.co:444/api"));
  EXPECT_FALSE(sends("https://huggingface.co", "https://huggingface.co.evil.example/"));
  EXPECT_FALSE(sends("https://huggingface.co", "https://huggingface.co@evil.example/"));
  EXPECT_FALSE(sends("https://huggingface.co", "https://cdn.huggingface.co/"));
}

TEST_F(HubPull, ATokenThatCouldForgeAHeaderIsRefused) {
  world_.set("HF_TOKEN", "a\r\nX-Evil: 1");
  complaint("HF_TOKEN");
  EXPECT_EQ(hub_.n_requests(), 0U);
}

TEST_F(HubPull, RefusalsOfTheHubSayWhatToDo) {
  const auto answer = [&](int status, const char* code) {
    hub_.set_trouble([=](const HubRequest& r, HubReply& reply) {
      if (!r.cdn) reply = {status, {}, "", -1, std::string::npos};
      if (!r.cdn && *code != '\0') reply.headers.emplace_back("X-Error-Code", code);
    });
  };
  answer(403, "GatedRepo");
  complaint(fmt::format("accept its terms", hub_.url()));
  answer(401, "GatedRepo");
  complaint(hub_.url() + "/" + kRepo);
  answer(401, "RepoNotFound");
  complaint("does not exist, or it is private");
  answer(404, "");
  complaint("no repository");
  answer(404, "RevisionNotFound");
  complaint("no such revision");
  answer(429, "");
  complaint("too many requests");
  for (const int status : {500, 502, 503, 504, 418}) {
    answer(status, "");
    complaint(fmt::format("status {}", status));
  }
}

TEST_F(HubPull, NamesThatTheHubDoesNotHaveAreOneSentence) {
  complaint("does not exist", "o/other");
  complaint("no file other.gguf", kRepo + ":other.gguf");
  complaint("of type q5_0", kRepo + ":q5_0");
  hub_.add("o/empty", "README.md", {"x", false});
  complaint("holds no model", "o/empty");
}

TEST_F(HubPull, TroubleThatPassesIsOvercome) {
  for (const int status : {429, 500, 503, 0}) {
    std::atomic<int> left{2};
    hub_.set_trouble([&](const HubRequest&, HubReply& reply) {
      if (left-- > 0) reply.status = status, reply.body.clear();
    });
    fs::remove_all(world_.cache());
    expect_right(pull(kRepo));
  }
  trouble_cdn(3, [](HubReply& reply) { reply = {503, {{"Retry-After", "0"}}, "busy", -1, 4}; });
  fs::remove_all(world_.cache());
  expect_right(pull(kRepo));
}

TEST_F(HubPull, AServerThatStaysAwayEndsTheFileAndKeepsWhatCame) {
  trouble_cdn(1 << 20, [](HubReply& reply) { reply = {503, {}, "busy", -1, 4}; });
  complaint("status 503");
}

TEST_F(HubPull, CutConnectionsGoOnWhereTheyWereCut) {
  trouble_cdn(12, [](HubReply& reply) { reply.cut = reply.body.size() / 2; });
  expect_right(pull(kRepo));
  EXPECT_LT(hub_.cdn_bytes(), content_.size() + content_.size() / 4) << "no byte twice";
}

TEST_F(HubPull, EveryConnectionCutAfterAFewBytesStillEndsWell) {
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {
    if (r.cdn) reply.cut = 20'000;
  });
  expect_right(pull(kRepo));
}

TEST_F(HubPull, ALaterPullGoesOnFromAnEarlierOne) {
  const std::size_t before = pull_half(kRepo);
  expect_right(pull(kRepo));
  EXPECT_LT(hub_.cdn_bytes() - before, content_.size() * 3 / 4);
}

TEST_F(HubPull, AServerWithoutRangesWorksAlsoWhenItIsCut) {
  hub_.set_trouble(
      [this, cuts = std::make_shared<std::atomic<int>>(2)](const HubRequest& r, HubReply& reply) {
        if (!r.cdn) return;
        reply = {200, {}, content_, -1, std::string::npos};
        if (r.header("range").empty() && (*cuts)-- > 0) reply.cut = content_.size() / 3;
      });
  expect_right(pull(kRepo));
}

TEST_F(HubPull, AnAddressThatHasRunOutIsAskedForAnew) {
  trouble_cdn(2, [](HubReply& reply) { reply = {403, {}, "expired", -1, std::string::npos}; });
  expect_right(pull(kRepo));
}

TEST_F(HubPull, WrongContentsAreThrownAway) {
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {
    if (r.cdn && !reply.body.empty()) reply.body[0] = '!';
  });
  complaint("checksum");
  for (const std::string& file : world_.files())
    EXPECT_EQ(file.find("incomplete"), std::string::npos);
}

TEST_F(HubPull, WrongLengthsAreOneSentence) {
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {  // longer than it said
    if (r.cdn) reply.body += "more";
  });
  complaint("more than the file's length");
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {  // other parts
    for (auto& [name, value] : reply.headers)
      if (r.cdn && name == "Content-Range") value = "bytes 0-9/10";
  });
  complaint("another part");
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {  // shorter, always
    if (r.cdn) reply.body.clear();
  });
  complaint("failed");
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {
    for (auto& [name, value] : reply.headers)
      if (!r.cdn && name == "X-Linked-Size") value.assign(1, '5');
  });
  complaint("two different lengths");
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {
    for (auto& [name, value] : reply.headers)
      if (!r.cdn && name == "X-Linked-Etag") value = '"' + std::string(64, 'a') + '"';
  });
  complaint("two different checksums");
}

// The list of files with something in place of something else.
void forge(TestHub& hub, const std::string& old, const std::string& now) {
  hub.set_trouble([=](const HubRequest& r, HubReply& reply) {
    if (r.cdn || r.path.rfind("/api/", 0) != 0) return;
    for (std::size_t at = reply.body.find(old); at != std::string::npos;
         at = reply.body.find(old, at + now.size()))
      reply.body.replace(at, old.size(), now);
  });
}

TEST_F(HubPull, HostileNamesLeadNowhere) {
  for (const char* name :
       {"../../../../evil.gguf", "/tmp/evil.gguf", "a/../../evil.gguf", "evil\\n.gguf",
        "evil\\u0000.gguf", "..", "", "a//b.gguf", "..\\\\evil.gguf"}) {
    forge(hub_, kFile, name);
    complaint("could lead out of the store");
  }
  forge(hub_, TestHub::kCommit, "../../../evil");
  complaint("names no commit");
  forge(hub_, test::sha256_of(content_), "../../../../evil");
  complaint("is no SHA-256");
  for (const std::string& r : world_.files()) ADD_FAILURE() << r;
}

TEST_F(HubPull, AnswersThatAreNoneAreOneSentence) {
  for (const char* body :
       {"", "{", "[]", "{}", "null", R"({"sha": 5})", "<html>",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567"})",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": [5]})",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings":
                               [{"rfilename": "x.gguf", "size": -1}]})",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings":
                               [{"rfilename": "x.gguf", "size": 9223372036854775807}]})"}) {
    hub_.set_trouble([=](const HubRequest& r, HubReply& reply) {
      if (!r.cdn) reply = {200, {}, body, -1, std::string::npos};
    });
    complaint("the hub's answer about", kRepo);
    EXPECT_TRUE(world_.files().empty()) << body;
  }
}

TEST_F(HubPull, ADiskThatIsTooSmallIsAskedBefore) {
  forge(hub_, fmt::format("\"size\":{}", content_.size()), "\"size\":999999999999999");
  complaint("GB are free");
  EXPECT_EQ(hub_.cdn_bytes(), 0U);
}

TEST_F(HubPull, AFolderThatCannotBeWrittenIsOneSentence) {
  world_.folder().put("hf/hub", "a file in its place");
  const auto pulled = pull(kRepo);
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, Errc::Io);
}

TEST_F(HubPull, NoNetworkIsOneSentence) {
  world_.set("HF_ENDPOINT", "http://127.0.0.1:1");
  complaint("cannot be reached");
  world_.set("HF_ENDPOINT", "no address");
  complaint("expected the address");
  world_.set("HF_ENDPOINT", "file:///etc");
  complaint("expected the address");
}

TEST_F(HubPull, OfflineTriesNoConnection) {
  for (const bool by_environment : {false, true}) {
    world_.set("HF_HUB_OFFLINE", by_environment ? "1" : "");
    const auto store = ModelStore::open({.offline = !by_environment});
    ASSERT_TRUE(store);
    const auto pulled = (*store)->pull(kRepo, {});
    ASSERT_FALSE(pulled);
    EXPECT_EQ(pulled.error().code, Errc::Unsupported);
    EXPECT_FALSE((*store)->find(kRepo));
  }
  EXPECT_EQ(hub_.n_requests(), 0U);
}

TEST_F(HubPull, TwoPullsOfOneFileFetchItOnce) {
  hub_.set_bytes_per_second(1 << 20);
  std::vector<Result<Pulled>> results(3, Error{});
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = pull(kRepo); });
  for (std::thread& t : threads) t.join();
  for (const auto& result : results) expect_right(result);
  EXPECT_LT(hub_.cdn_bytes(), content_.size() * 3 / 2);
}

TEST_F(HubPull, SplitModelsAndFoldersComeWhole) {
  for (const char* part : {"1", "2", "3"})
    hub_.add("o/split", fmt::format("x-Q4_0-0000{}-of-00003.gguf", part),
             {test::gguf_head("gemma4", 35, part)});
  const auto split = pull("o/split:q4_0");
  ASSERT_TRUE(split) << split.error().text();
  EXPECT_NE(split->path.find("00001-of-00003"), std::string::npos);
  for (const char* part : {"2", "3"})
    EXPECT_TRUE(is_file(fs::path(split->path).parent_path().string() +
                        fmt::format("/x-Q4_0-0000{}-of-00003.gguf", part)));
  for (const char* name : {"config.json", "tokenizer.json", "generation_config.json"})
    hub_.add("google/x", name, {R"({"model_type": "gemma4"})", false});
  hub_.add("google/x", "model.safetensors", {std::string(200'000, 'w')});
  hub_.add("google/x", "original/other.safetensors", {"not this"});
  const auto folder = pull("google/x");
  ASSERT_TRUE(folder) << folder.error().text();
  std::set<std::string> names;
  for (const auto& e : fs::directory_iterator(folder->path)) names.insert(e.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"config.json", "generation_config.json",
                                          "model.safetensors", "tokenizer.json"}));
}

TEST_F(HubPull, WhatWasPulledIsFoundAndCanBeRemoved) {
  const auto store = ModelStore::open({});
  ASSERT_TRUE(store);
  const auto pulled = (*store)->pull(kRepo + ":q4_0", {});
  ASSERT_TRUE(pulled) << pulled.error().text();
  const auto found = (*store)->find("e2b");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->model.path, pulled->model.path);
  EXPECT_TRUE(found->model.ours);
  ASSERT_TRUE((*store)->remove("e2b:q4_0"));
  EXPECT_FALSE((*store)->find("e2b"));
  for (const std::string& file : world_.files()) ADD_FAILURE() << file;
}

TEST_F(HubPull, AUrlLandsInOurOwnFolder) {
  const std::string url = hub_.url() + "/" + kRepo + "/resolve/main/" + kFile;
  const auto pulled = pull(url);
  ASSERT_TRUE(pulled) << pulled.error().text();
  EXPECT_EQ(*read_file(pulled->path, 1U << 30U), content_);
  EXPECT_EQ(pulled->path.rfind(world_.folder().file("own/url/"), 0), 0U);
  const auto found = (*ModelStore::open({}))->find(kFile);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->model.ours);
  complaint_by_url("status 401", hub_.url() + "/nothing/here.gguf");
  EXPECT_TRUE((*ModelStore::open({}))->find(url));
  EXPECT_FALSE((*ModelStore::open({}))->find(hub_.cdn_url() + "/another/" + kFile));
  ASSERT_TRUE((*ModelStore::open({}))->remove(url));
  for (const std::string& file : world_.files()) ADD_FAILURE() << file;
}

TEST_F(HubPull, AUrlBehindSignedRedirectsIsResumed) {
  sign_anew(kForever);
  const std::string url = hub_.url() + "/" + kRepo + "/resolve/main/" + kFile;
  const std::size_t before = pull_half(url);
  const auto pulled = pull(url);
  ASSERT_TRUE(pulled) << pulled.error().text();
  EXPECT_EQ(*read_file(pulled->path, 1U << 30U), content_);
  EXPECT_LT(hub_.cdn_bytes() - before, content_.size() * 3 / 4);
}

TEST_F(HubPull, ASignatureOfAUrlThatRunsOutIsAskedForAnew) {
  sign_anew(2);
  const auto pulled = pull(hub_.url() + "/" + kRepo + "/resolve/main/" + kFile);
  ASSERT_TRUE(pulled) << pulled.error().text();
  EXPECT_EQ(*read_file(pulled->path, 1U << 30U), content_);
}

TEST_F(HubPull, AFileThatHasChangedBehindItsUrlBeginsAnew) {
  const std::string url = hub_.url() + "/" + kRepo + "/resolve/main/" + kFile;
  (void)pull_half(url);
  for (char& c : content_) c = static_cast<char>(c ^ 1);
  hub_.add(kRepo, kFile, {content_});
  hub_.set_trouble([](const HubRequest& r, HubReply& reply) {
    for (auto& [name, value] : reply.headers)
      if (r.cdn && name == "ETag") value = "\"the second\"";
  });
  const auto pulled = pull(url);
  ASSERT_TRUE(pulled) << pulled.error().text();
  EXPECT_EQ(*read_file(pulled->path, 1U << 30U), content_);
}

TEST_F(HubPull, RefusalsBehindAUrlAreNamed) {
  const std::string url = hub_.url() + "/" + kRepo + "/resolve/main/" + kFile;
  for (const int status : {403, 404}) {
    hub_.set_trouble([status](const HubRequest& r, HubReply& reply) {
      if (r.cdn) reply = {status, {}, "", -1, std::string::npos};
    });
    complaint_by_url(fmt::format("status {}", status), url);
  }
  world_.set("HF_TOKEN", "a\r\nX-Evil: 1");
  const std::size_t before = hub_.n_requests();
  complaint_by_url("HF_TOKEN", url);
  EXPECT_EQ(hub_.n_requests(), before);
}

TEST_F(HubPull, CertificatesAreThoseThatCurlsVariablesName) {
  world_.set("HF_ENDPOINT", fmt::format("https{}", hub_.url().substr(4)));
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    world_.set(name, "/nowhere/certificates");
    complaint("CURL_CA_BUNDLE");
    ::unsetenv(name);
  }
}

TEST_F(HubPull, WhatAKilledPullLeftBesideTheBlobsGoesWithTime) {
  const std::string folder = "hf/hub/" + hub::repo_folder(kRepo) + "/.bezel/";
  world_.folder().put(folder + "tmp-1-1", "");
  world_.folder().put(folder + "tmp-1-2", "");
  fs::last_write_time(world_.folder().file(folder + "tmp-1-1"),
                      fs::file_time_type::clock::now() - std::chrono::hours(48));
  expect_right(pull(kRepo));
  EXPECT_FALSE(is_file(world_.folder().file(folder + "tmp-1-1")));
  EXPECT_TRUE(is_file(world_.folder().file(folder + "tmp-1-2"))) << "another pull may be at it";
}

TEST_F(HubPull, ASplitModelIsMeasuredWhole) {
  hub::RepoInfo info{TestHub::kCommit, {}};
  for (const int part : {1, 2, 3})
    info.files.push_back({fmt::format("x-Q8_0-{:05}-of-00003.gguf", part), 3'000'000'000, "", ""});
  info.files.push_back({"x-Q4_0.gguf", 3'500'000'000, "", ""});
  const ModelName name = *hub::parse_name("o/r");
  const auto last = [&](std::uint64_t memory) {
    const auto files = hub::choose_files(info, name, memory);
    return files ? files->back().path : files.error().text();
  };
  EXPECT_EQ(last(8'000'000'000), "x-Q4_0.gguf");
  EXPECT_EQ(last(5'000'000'000), "x-Q4_0.gguf") << "the smallest";
  EXPECT_EQ(last(18'000'000'000), "x-Q8_0-00001-of-00003.gguf");
}

TEST_F(HubPull, ProgressEndsAtTheWholeAndNeverExceedsIt) {
  std::uint64_t last = 0, total = 0;
  PullOptions options;
  options.on_progress = [&](const PullProgress& p) {
    EXPECT_LE(p.done, p.total);
    last = p.done;
    total = p.total;
  };
  expect_right(pull(kRepo, options));
  EXPECT_EQ(last, content_.size());
  EXPECT_EQ(total, content_.size());
}

}  // namespace
}  // namespace bezel
