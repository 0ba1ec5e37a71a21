// The page and saved chats over HTTP.
#include "base/temp_folder.h"
#include "server/api.h"

namespace bezel::test {
namespace {

// A chat as the page saves it; `more` begins with a comma.
std::string chat(const std::string& text = "hello", const std::string& more = "") {
  return fmt::format(R"({{"bezel_chat":1,"title":"T","updated":5,"messages":[)"
                     R"({{"id":"m1","parent":null,"role":"user","content":"{}"}}]{}}})",
                     text, more);
}

class Page : public Api {
 protected:
  void SetUp() override { open_page(""); }

  void open_page(const std::string& key, bool saves = true) {
    close();
    chats_.reset();
    if (saves) {
      auto chats = ChatStore::open(folder_.file("chats.db"), {3, 64 * 4096});
      ASSERT_TRUE(chats) << chats.error().text();
      chats_ = *std::move(chats);
    }
    open(4, 8, key, 256);
  }
  Response call(const std::string& method, const std::string& path, const std::string& body = "",
                const std::string& more = "") {
    return ask(front_->port(), request(method, path, body, more));
  }
  std::string param(const Response& r) { return json_of(r.body)["error"]["param"].dump(); }

  TempFolder folder_;
};

constexpr const char* kOne = "/chats/aaaaaaaa";

TEST_F(Page, ThePageIsServedWithRulesThatLetNothingElseRun) {
  const Response r = call("GET", "/");
  ASSERT_EQ(r.status, 200);
  EXPECT_TRUE(has(r.head, "Content-Type: text/html; charset=utf-8"));
  EXPECT_TRUE(has(r.head, "Content-Security-Policy: default-src 'none'; script-src 'self';"));
  EXPECT_TRUE(has(r.head, "connect-src 'self'"));
  EXPECT_FALSE(has(r.head, "unsafe"));
  EXPECT_TRUE(has(r.head, "X-Content-Type-Options: nosniff"));
  EXPECT_TRUE(has(r.head, "Referrer-Policy: no-referrer"));
  EXPECT_TRUE(has(r.head, "Cache-Control: no-cache"));
  EXPECT_TRUE(has(r.body, "<div id=\"app\">"));
  EXPECT_FALSE(has(r.body, "<style"));
}

TEST_F(Page, EveryFileThatThePageNamesIsThereAndMayBeKept) {
  const std::string page = call("GET", "/").body;
  int files = 0;
  for (std::size_t at = 0; (at = page.find("=\"./", at)) != std::string::npos; ++files) {
    at += 3;
    const std::string path = page.substr(at, page.find('"', at) - at);
    const Response r = call("GET", path);
    ASSERT_EQ(r.status, 200) << path;
    EXPECT_FALSE(r.body.empty());
    const bool named = path.rfind("/assets/", 0) == 0;
    EXPECT_EQ(has(r.head, "immutable"), named);
    if (has(path, ".js")) {
      EXPECT_TRUE(has(r.head, "Content-Type: text/javascript"));
    }
    if (has(path, ".css")) {
      EXPECT_TRUE(has(r.head, "Content-Type: text/css"));
    }
  }
  EXPECT_GE(files, 3);
  EXPECT_EQ(call("GET", "/assets/../CMakeLists.txt").status, 404);
  EXPECT_EQ(call("POST", "/", "{}").status, 405);
}

TEST_F(Page, ThePageLearnsWhatItNeeds) {
  const Json j = json_of(call("GET", "/page.json").body);
  EXPECT_EQ(j["model"], "tiny");
  EXPECT_EQ(j["context"], 256);
  EXPECT_EQ(j["thinking"], true);
  EXPECT_EQ(j["chats"], true);
  EXPECT_TRUE(j["sampling"]["temperature"].is_number());
}

TEST_F(Page, WithAKeyThePageIsOpenAndTheChatsAreNot) {
  open_page("secret");
  EXPECT_EQ(call("GET", "/").status, 200);
  for (const char* path : {"/page.json", "/chats", "/chats/export", kOne})
    EXPECT_EQ(call("GET", path).status, 401) << path;
  EXPECT_EQ(call("PUT", kOne, chat()).status, 401);
  EXPECT_EQ(call("DELETE", kOne).status, 401);
  const std::string key = "Authorization: Bearer secret\r\n";
  EXPECT_EQ(call("PUT", kOne, chat(), key).status, 200);
  EXPECT_EQ(call("GET", "/chats", "", key).status, 200);
}

TEST_F(Page, OtherHostsAndOriginsReachNothing) {
  for (const char* path : {"/", "/chats", kOne}) {
    EXPECT_EQ(call("GET", path, "", "Origin: http://evil.example\r\n").status, 403) << path;
    const Response r =
        ask(front_->port(), fmt::format("GET {} HTTP/1.1\r\nHost: evil.example\r\n\r\n", path));
    EXPECT_EQ(r.status, 403) << path;
  }
  EXPECT_EQ(call("PUT", kOne, chat(), "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(call("GET", kOne).status, 404);             // nothing was saved
  const char* link = "Sec-Fetch-Site: cross-site\r\n";  // leads to the page, and to nothing else
  EXPECT_EQ(call("GET", "/", "", link).status, 200);
  EXPECT_EQ(call("GET", "/chats", "", link).status, 403);
}

TEST_F(Page, AChatIsSavedListedReadAndDeleted) {
  const Response saved = call("PUT", kOne, chat("hello there", R"(,"leaf":"m1","mine":[1,null])"));
  ASSERT_EQ(saved.status, 200) << saved.body;
  EXPECT_EQ(json_of(saved.body)["revision"], 1);
  EXPECT_TRUE(has(saved.head, "ETag: \"1\""));

  const Response list = call("GET", "/chats");
  const Json j = json_of(list.body);
  EXPECT_TRUE(has(list.head, "no-store"));
  EXPECT_EQ(j["total"], 1);
  EXPECT_EQ(j["chats"][0]["id"], "aaaaaaaa");
  EXPECT_EQ(j["chats"][0]["title"], "T");
  EXPECT_EQ(j["chats"][0]["updated"], 5);
  EXPECT_FALSE(j["chats"][0].contains("found"));

  const Response got = call("GET", kOne);
  EXPECT_EQ(json_of(got.body), json_of(chat("hello there", R"(,"leaf":"m1","mine":[1,null])")));
  EXPECT_TRUE(has(got.head, "ETag: \"1\""));

  EXPECT_EQ(call("DELETE", kOne).status, 200);
  EXPECT_EQ(call("DELETE", kOne).status, 404);
  EXPECT_EQ(call("GET", kOne).status, 404);
}

TEST_F(Page, TheQueryIsReadWithItsEscapes) {
  call("PUT", kOne, chat("one fine day"));
  call("PUT", "/chats/bbbbbbbb", chat("another night"));
  const auto total = [&](const std::string& query) {
    return json_of(call("GET", "/chats?" + query).body)["total"].get<int>();
  };
  EXPECT_EQ(total("search=one+DAY"), 1);
  EXPECT_EQ(total("search=fi%6Ee%20day"), 1);
  EXPECT_EQ(total("limit=5&search=night&x"), 1);
  EXPECT_EQ(total("search=%zz"), 0);
  EXPECT_EQ(total("search"), 2);
  const Json found = json_of(call("GET", "/chats?search=fine").body);
  EXPECT_EQ(found["chats"][0]["found"], "one fine day ");
  for (const char* wrong : {"limit=-1", "limit=501", "limit=x", "limit=", "offset=1e3"})
    EXPECT_EQ(call("GET", fmt::format("/chats?{}", wrong)).status, 400) << wrong;
  EXPECT_EQ(json_of(call("GET", "/chats?limit=1&offset=1").body)["chats"].size(), 1U);
}

TEST_F(Page, WrongChatsAreRefusedByTheFieldThatIsWrong) {
  const auto wrong = [&](const std::string& body, const std::string& field) {
    const Response r = call("PUT", kOne, body);
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_EQ(param(r), field) << body;
  };
  wrong(R"({"messages":[]})", "\"title\"");
  wrong(R"({"title":5,"messages":[]})", "\"title\"");
  wrong(fmt::format(R"({{"title":"{}","messages":[]}})", std::string(401, 'x')), "\"title\"");
  wrong(R"({"title":"T"})", "\"messages\"");
  wrong(R"({"title":"T","messages":{}})", "\"messages\"");
  wrong(R"({"title":"T","messages":[1]})", "\"messages[0]\"");
  wrong(R"({"title":"T","id":"other","messages":[]})", "\"id\"");
  wrong(R"({"title":"T","updated":-1,"messages":[]})", "\"updated\"");
  wrong(R"({"title":"T","messages":[{"id":"","role":"user","content":""}]})", "\"messages[0].id\"");
  wrong(R"({"title":"T","messages":[{"id":"a","role":"tool","content":""}]})",
        "\"messages[0].role\"");
  wrong(R"({"title":"T","messages":[{"id":"a","role":"user"}]})", "\"messages[0].content\"");
  EXPECT_EQ(call("PUT", kOne, "{").status, 400);
  EXPECT_EQ(call("PUT", kOne, "[]").status, 400);
  EXPECT_EQ(call("PUT", kOne, "").status, 400);
  EXPECT_EQ(call("PUT", kOne, chat(), "If-Match: \"x\"\r\n").status, 400);
  for (const char* path : {"/chats/short", "/chats/", "/chats/a/b/c/d/e/f", "/chats/..%2f..%2fetc"})
    EXPECT_EQ(call("PUT", path, chat()).status, 404) << path;
  EXPECT_EQ(call("PUT", "/chats", chat()).status, 405);
  EXPECT_EQ(call("POST", kOne, chat()).status, 405);
  EXPECT_EQ(call("GET", "/chatsx").status, 404);
  EXPECT_EQ(json_of(call("GET", "/chats").body)["total"], 0);
}

TEST_F(Page, AChangeOfAnOlderRevisionIsRefused) {
  EXPECT_EQ(call("PUT", kOne, chat("a"), "If-Match: \"0\"\r\n").status, 200);
  EXPECT_EQ(call("PUT", kOne, chat("b"), "If-Match: \"0\"\r\n").status, 412);
  EXPECT_EQ(call("PUT", kOne, chat("c"), "If-Match: \"1\"\r\n").status, 200);
  EXPECT_TRUE(has(call("GET", kOne).body, "\"c\""));
}

TEST_F(Page, AFullStoreSaysSoAndAnswersGoOn) {
  const Response r = call("PUT", kOne, chat(std::string(600000, 'x')));
  EXPECT_EQ(r.status, 507);
  EXPECT_TRUE(has(r.body, "full"));
  EXPECT_FALSE(has(r.body, folder_.path()));
  const Response large = call("PUT", kOne, chat(std::string((16U << 20U) + 1, 'x')));
  EXPECT_EQ(large.status, 413);
  EXPECT_EQ(json_of(large.body)["error"]["code"], nullptr) << "no prompt was too long";
  for (const char* id : {"aaaaaaaa", "bbbbbbbb", "cccccccc"})
    EXPECT_EQ(call("PUT", fmt::format("/chats/{}", id), chat()).status, 200);
  EXPECT_EQ(call("PUT", "/chats/dddddddd", chat()).status, 507);
  const Response answer = call("POST", "/v1/chat/completions",
                               R"({"messages":[{"role":"user","content":"a"}],"max_tokens":3})");
  EXPECT_EQ(answer.status, 200) << answer.body;
}

TEST_F(Page, AnExportHoldsEveryChat) {
  EXPECT_EQ(json_of(call("GET", "/chats/export").body)["chats"].size(), 0U);
  call("PUT", kOne, chat("a"));
  call("PUT", "/chats/bbbbbbbb", chat("b"));
  const Response r = call("GET", "/chats/export");
  EXPECT_TRUE(has(r.head, "attachment; filename=\"bezel-chats.json\""));
  const Json j = json_of(r.body);
  EXPECT_EQ(j["bezel_chats"], 1);
  ASSERT_EQ(j["chats"].size(), 2U);
  EXPECT_EQ(j["chats"][0], json_of(chat("a")));
}

TEST_F(Page, TheDocumentTellsOfChatsWithTheirOwnRefusals) {
  const Json paths = json_of(call("GET", "/openapi.json").body)["paths"];
  const Json put = paths["/chats/{id}"]["put"];
  for (const char* status : {"200", "400", "401", "404", "412", "413", "507"})
    EXPECT_TRUE(put["responses"].contains(status)) << status;
  const Json chat = put["requestBody"]["content"]["application/json"]["schema"];
  EXPECT_EQ(chat["required"], (Json{"title", "messages"}));
  EXPECT_EQ(paths["/chats"]["get"]["parameters"].size(), 3U);
}

TEST_F(Page, ThePathOfTheExportIsNoChat) {
  for (const char* method : {"PUT", "DELETE"}) {
    const Response r = call(method, "/chats/export", method[0] == 'P' ? chat() : "");
    EXPECT_EQ(r.status, 405) << method;
    EXPECT_TRUE(has(r.head, "Allow: GET\r\n")) << r.head;
  }
  EXPECT_TRUE(has(call("POST", kOne, "{}").head, "Allow: GET, PUT, DELETE\r\n"));
  EXPECT_EQ(call("GET", "/chats/%61aaaaaaa").status, 404);
  call("PUT", kOne, chat());
  EXPECT_EQ(call("GET", "/chats/%61aaaaaaa").status, 200);
}

TEST_F(Page, WithoutAStoreThePageSaysThatNothingIsSaved) {
  open_page("", false);
  EXPECT_EQ(json_of(call("GET", "/page.json").body)["chats"], false);
  EXPECT_EQ(call("GET", "/chats").status, 404);
  EXPECT_EQ(call("PUT", kOne, chat()).status, 404);
  EXPECT_EQ(call("GET", "/").status, 200);
}

}  // namespace
}  // namespace bezel::test
