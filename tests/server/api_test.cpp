// The APIs over real sockets with a tiny model behind them.
#include "server/api.h"

#include <atomic>
#include <thread>

namespace bezel::test {
namespace {

constexpr const char* kChat = "/v1/chat/completions";

// A chat request; `more` begins with a comma.
std::string chat(const std::string& more = "") {
  return R"({"messages":[{"role":"user","content":"abc"}],"temperature":0,"max_tokens":6)" + more +
         "}";
}

// The data of every event of a stream but the last, which is [DONE].
std::vector<Json> events(const std::string& body) {
  std::vector<Json> out;
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t end = body.find("\n\n", at);
    if (end == std::string::npos) break;
    EXPECT_EQ(body.substr(at, 6), "data: ");
    const std::string data = body.substr(at + 6, end - at - 6);
    if (data != "[DONE]") out.push_back(json_of(data));
    at = end + 2;
    EXPECT_TRUE(data != "[DONE]" || at == body.size());
  }
  EXPECT_TRUE(has(body, "data: [DONE]\n\n")) << body;
  return out;
}

TEST_F(Api, AChatIsAnsweredInOpenAisForm) {
  const Response r = post(kChat, chat());
  ASSERT_EQ(r.status, 200) << r.body;
  const Json j = json_of(r.body);
  EXPECT_EQ(j["object"], "chat.completion");
  EXPECT_EQ(j["model"], "tiny");
  EXPECT_EQ(j["choices"][0]["message"]["role"], "assistant");
  EXPECT_TRUE(j["choices"][0]["message"]["content"].is_string());
  EXPECT_EQ(j["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(j["usage"]["completion_tokens"], 6);
  EXPECT_GT(j["usage"]["prompt_tokens"], 3);
}

TEST_F(Api, AStreamJoinedIsTheWholeAnswerAndEndsWithUsage) {
  const Json whole = json_of(post(kChat, chat()).body);
  const Response r = post(kChat, chat(R"(,"stream":true,"stream_options":{"include_usage":true})"));
  ASSERT_EQ(r.status, 200);
  EXPECT_TRUE(has(r.head, "Content-Type: text/event-stream"));
  const auto all = events(r.body);
  ASSERT_GE(all.size(), 3U);
  std::string text;
  for (const Json& e : all) {
    EXPECT_EQ(e["id"], all[0]["id"]);
    if (e["choices"].empty()) continue;
    if (e["choices"][0]["delta"].contains("content"))
      text += e["choices"][0]["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, whole["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_EQ(all[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(all[all.size() - 2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(all.back()["usage"]["completion_tokens"], 6);
}

TEST_F(Api, TheSameSeedGivesTheSameAnswerAndChoicesDiffer) {
  const std::string body =
      R"({"messages":[{"role":"user","content":"abc"}],"seed":7,"max_tokens":12,"n":3})";
  const Json a = json_of(post(kChat, body).body), b = json_of(post(kChat, body).body);
  ASSERT_EQ(a["choices"].size(), 3U);
  EXPECT_EQ(a["choices"], b["choices"]);
  EXPECT_NE(a["choices"][0]["message"], a["choices"][1]["message"]);
}

TEST_F(Api, LogprobsComeWholeAndInStreams) {
  const Json j = json_of(post(kChat, chat(R"(,"logprobs":true,"top_logprobs":2)")).body);
  const Json& content = j["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 6U);
  for (const Json& t : content) {
    EXPECT_LE(t["logprob"].get<double>(), 0);
    EXPECT_EQ(t["top_logprobs"].size(), 2U);
    EXPECT_EQ(t["top_logprobs"][0]["logprob"], t["logprob"]) << "greedy";
  }
  std::size_t n = 0;
  for (const Json& e :
       events(post(kChat, chat(R"(,"logprobs":true,"top_logprobs":2,"stream":true)")).body))
    if (e["choices"][0]["logprobs"].is_object()) {
      EXPECT_EQ(e["choices"][0]["logprobs"]["content"][0], content[n]);
      ++n;
    }
  EXPECT_EQ(n, 6U);
}

TEST_F(Api, AnAnswerKeepsToItsSchema) {
  const std::string schema =
      R"(,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":)"
      R"({"type":"object","properties":{"a":{"enum":[1,2]}},"required":["a"],)"
      R"("additionalProperties":false}}})";
  std::string body = chat(schema);
  body.replace(body.find("\"max_tokens\":6"), 14, "\"max_tokens\":60");
  const Response r = post(kChat, body);
  ASSERT_EQ(r.status, 200) << r.body;
  const Json j = json_of(r.body);
  const Json answer = json_of(j["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_TRUE(answer["a"] == 1 || answer["a"] == 2) << r.body;
}

TEST_F(Api, WrongValuesAre400AndNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"temperature", "-1"},
      {"temperature", "101"},
      {"temperature", "\"warm\""},
      {"temperature", "1e400"},
      {"top_p", "1.5"},
      {"top_k", "-2"},
      {"top_k", "2147483648"},
      {"top_k", "1.5"},
      {"min_p", "-0.1"},
      {"max_tokens", "0"},
      {"max_tokens", "-1"},
      {"max_tokens", "9223372036854775807"},
      {"max_tokens", "18446744073709551615"},
      {"n", "0"},
      {"n", "1000000"},
      {"seed", "1e30"},
      {"stop", "[1]"},
      {"stop", "[\"\"]"},
      {"presence_penalty", "1000"},
      {"logit_bias", "{\"x\":1}"},
      {"logit_bias", "{\"99999999\":1}"},
      {"logit_bias", "{\"5\":101}"},
      {"stream", "1"},
      {"logprobs", "\"yes\""},
      {"top_logprobs", "21"},
      {"tools", "{}"},
      {"tool_choice", "\"maybe\""},
      {"messages", "[]"},
      {"messages", "3"},
      {"stream_options", "[]"},
      {"model", "7"},
      {"response_format", "\"x\""},
      {"reasoning_effort", "3"},
  };
  for (const auto& [field, value] : cases) {
    Json body = json_of(chat());
    std::string text = dump_json(body);
    const std::string key = fmt::format("\"{}\":", field);
    text.insert(text.size() - 1, fmt::format(",{}{}", key, value));  // the last one wins
    const Response r = post(kChat, text);
    EXPECT_EQ(r.status, 400) << text << r.body;
    const Json e = json_of(r.body)["error"];
    EXPECT_TRUE(has(e["message"].get<std::string>(), std::string(value) == "1e400" ? "" : field))
        << text << r.body;
    EXPECT_EQ(e["type"], "invalid_request_error");
  }
  EXPECT_EQ(post(kChat, chat()).status, 200) << "the server lives";
}

TEST_F(Api, WhatIsNoJsonOrNoRequestIsRefusedInShape) {
  for (
      const std::string body :
      {"", "{", "[]", "nul", "{\"messages\":[{}]}", R"({"messages":[{"role":"cat"}]})",
       R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}]})"}) {
    const Response r = post(kChat, body);
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_TRUE(json_of(r.body)["error"]["message"].is_string());
  }
  EXPECT_EQ(post(kChat, std::string(200, '[')).status, 400);
  EXPECT_EQ(get(kChat).status, 405);
  EXPECT_EQ(get("/nothing").status, 404);
  const Response schema = post(
      kChat,
      chat(R"(,"response_format":{"type":"json_schema","json_schema":{"schema":{"type":7}}})"));
  EXPECT_EQ(schema.status, 400) << schema.body;
}

TEST_F(Api, UnknownFieldsAreTolerated) {
  EXPECT_EQ(post(kChat, chat(R"(,"user":"me","metadata":{"a":[1]},"store":false)")).status, 200);
}

TEST_F(Api, APromptThatCannotFitIsRefusedWithNumbers) {
  const std::string long_text(5000, 'a');
  const Response r =
      post(kChat, R"({"messages":[{"role":"user","content":")" + long_text + "\"}]}");
  EXPECT_EQ(r.status, 400);
  EXPECT_TRUE(has(r.body, "1024")) << r.body;
  EXPECT_TRUE(has(r.body, "context_length_exceeded"));
}

TEST_F(Api, CompletionsScoreTheirPromptForHarnesses) {
  const Response r = post(
      "/v1/completions",
      R"({"prompt":[[2,50,60,70],"abc"],"max_tokens":1,"logprobs":1,"echo":true,"temperature":0})");
  ASSERT_EQ(r.status, 200) << r.body;
  const Json j = json_of(r.body);
  ASSERT_EQ(j["choices"].size(), 2U);
  const Json& l = j["choices"][0]["logprobs"];
  ASSERT_EQ(l["tokens"].size(), 5U) << "four of the prompt, one of the answer";
  EXPECT_TRUE(l["token_logprobs"][0].is_null());
  for (std::size_t i = 1; i < 5; ++i) EXPECT_LE(l["token_logprobs"][i].get<double>(), 0);
  EXPECT_EQ(l["top_logprobs"].size(), 5U);
  EXPECT_EQ(j["choices"][1]["text"].get<std::string>().substr(0, 3), "abc");
  const Json alone = json_of(
      post("/v1/completions", R"({"prompt":[2,50,60,70],"max_tokens":0,"logprobs":1,"echo":true})")
          .body);
  ASSERT_EQ(alone["choices"][0]["logprobs"]["tokens"].size(), 4U);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(alone["choices"][0]["logprobs"]["token_logprobs"][i], l["token_logprobs"][i]);
}

TEST_F(Api, TextsBecomeTokensAndTextsAgain) {
  const Json t = json_of(post("/tokenize", R"({"content":"abc qz"})").body);
  EXPECT_GE(t["count"], 4);
  const Json back = json_of(post("/detokenize", dump_json({{"tokens", t["tokens"]}})).body);
  EXPECT_EQ(back["content"], "abc qz");
  EXPECT_EQ(post("/detokenize", R"({"tokens":[-1]})").status, 400);
}

TEST_F(Api, HealthModelsAndMetricsTellWhatIs) {
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(get("/ready").status, 200);
  EXPECT_EQ(json_of(get("/v1/models").body)["data"][0]["id"], "tiny");
  post(kChat, chat());
  const std::string metrics = get("/metrics").body;
  EXPECT_TRUE(has(metrics, "bezel_requests_total 1\n")) << metrics;
  EXPECT_TRUE(has(metrics, "bezel_generation_tokens_total 6\n")) << metrics;
}

TEST_F(Api, PagesOfOthersAreNotAnswered) {
  const auto with = [&](const std::string& lines) {
    return ask(front_->port(), "GET /v1/models HTTP/1.1\r\n" + lines + "\r\n").status;
  };
  EXPECT_EQ(with("Host: localhost:1\r\n"), 200);
  EXPECT_EQ(with("Host: 127.0.0.1\r\n"), 200);
  EXPECT_EQ(with("Host: [::1]:80\r\n"), 200);
  EXPECT_EQ(with("Host: evil.example\r\n"), 403) << "DNS rebinding";
  EXPECT_EQ(with("Host: 127.0.0.1.evil.example\r\n"), 403);
  EXPECT_EQ(with(""), 403);
  EXPECT_EQ(with("Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
  EXPECT_EQ(with("Host: localhost\r\nOrigin: null\r\n"), 403);
  EXPECT_EQ(with("Host: localhost:80\r\nOrigin: http://localhost:80\r\n"), 200);
  for (const char* site : {"cross-site", "same-site"})  // a picture, a link
    EXPECT_EQ(with(fmt::format("Host: localhost\r\nSec-Fetch-Site: {}\r\n", site)), 403);
  for (const char* site : {"same-origin", "none"})
    EXPECT_EQ(with(fmt::format("Host: localhost\r\nSec-Fetch-Site: {}\r\n", site)), 200);
}

TEST_F(Api, AKeyIsNeededWhereOneIsSet) {
  close();
  open(1, 1, "secret");
  EXPECT_EQ(get("/health").status, 200) << "open to all";
  EXPECT_EQ(get("/v1/models").status, 401);
  EXPECT_EQ(get("/nothing").status, 401) << "strangers learn nothing";
  for (const char* wrong : {"Authorization: Bearer secre\r\n", "Authorization: Bearer secrets\r\n",
                            "Authorization: secret\r\n", "x-api-key: \r\n"})
    EXPECT_EQ(get("/v1/models", wrong).status, 401) << wrong;
  EXPECT_EQ(get("/v1/models", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(get("/v1/models", "x-api-key: secret\r\n").status, 200);
}

TEST_F(Api, StrangersAreRefusedBeforeTheySendABody) {
  close();
  open(1, 1, "secret");
  const auto announced = [&](const char* line, const std::string& host, const std::string& more) {
    Client client(front_->port());
    client.send(fmt::format("{} HTTP/1.1\r\nHost: {}\r\nContent-Length: 30000000\r\n{}\r\n", line,
                            host, more));
    return read_response(client);
  };
  const std::string key = "Authorization: Bearer secret\r\n";
  const Response unknown = announced("POST /v1/messages", "localhost", "");
  EXPECT_EQ(unknown.status, 401);
  EXPECT_EQ(json_of(unknown.body)["type"], "error") << "in the path's own form: " << unknown.body;
  EXPECT_TRUE(has(unknown.head, "WWW-Authenticate: Bearer\r\n"));
  EXPECT_EQ(announced("POST /v1/messages", "evil.example", key).status, 403);
  EXPECT_EQ(announced("POST /v1/messages", "localhost", key + "Origin: null\r\n").status, 403);
  EXPECT_EQ(announced("POST /nothing", "localhost", key).status, 404);
  EXPECT_EQ(announced("PUT /v1/messages", "localhost", key).status, 405);
  EXPECT_EQ(announced("PUT /chats/aaaaaaaa", "localhost", key).status, 413);
  for (const char* open : {"GET /health", "GET /ready", "GET /"})
    EXPECT_EQ(announced(open, "localhost", "").status, 413) << open << " is for strangers too";
  EXPECT_EQ(ask(front_->port(),
                "GET /health HTTP/1.1\r\nHost: localhost\r\n"
                "Transfer-Encoding: chunked\r\n\r\n")
                .status,
            413);
}

TEST_F(Api, AModelWhoseNameNeedsEscapesIsFoundByIt) {
  close();
  model_ = "org/a b+c%";
  open(1, 1, "");
  EXPECT_EQ(json_of(get("/v1/models").body)["data"][0]["id"], model_);
  EXPECT_EQ(json_of(get("/v1/models/org%2Fa%20b+c%25").body)["id"], model_);
  EXPECT_EQ(json_of(get("/v1/models/org%2fa%20b%2Bc%").body)["id"], model_);
  EXPECT_EQ(get("/v1/models/org%2Fa+b+c%25").status, 404) << "+ is a space in queries alone";
  EXPECT_EQ(get("/v1/models/org/a%20b+c%25").status, 404);
}

TEST_F(Api, AClientThatLeavesFreesItsPlace) {
  close();
  open(1, 0, "", 4096, "scalar");  // a second's work, where ours takes milliseconds
  {
    Client client(front_->port());
    ASSERT_TRUE(client.send(request("POST", "/v1/completions", kEndless)));
    client.read_until("data: ");
    const Response busy = post(kChat, chat());
    EXPECT_EQ(busy.status, 503) << busy.body;
    EXPECT_TRUE(has(busy.head, "Retry-After"));
  }
  int status = 0;
  for (int n = 0; n < 1000 && status != 200; ++n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    status = post(kChat, chat()).status;
  }
  EXPECT_EQ(status, 200);
  EXPECT_EQ(loader_->load().cancelled, 1U);
}

TEST_F(Api, EightStreamsAtOnceAreEachTheAnswerOfTheSameRequestAlone) {
  const auto body = [](int i, bool stream) {
    return fmt::format(R"({{"prompt":"{}","temperature":1,"seed":{},"max_tokens":{}{}}})",
                       std::string(static_cast<std::size_t>(1 + 9 * i), static_cast<char>('a' + i)),
                       i, 20 + 3 * i, stream ? R"(,"stream":true)" : "");
  };
  std::vector<std::string> want, got(8);
  for (int i = 0; i < 8; ++i)
    want.push_back(json_of(post("/v1/completions", body(i, false)).body)["choices"][0]["text"]);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const Response r = post("/v1/completions", body(i, true));
      for (const Json& e : events(r.body))
        got[static_cast<std::size_t>(i)] += e["choices"][0]["text"].get<std::string>();
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(got, want);
}

// ---- Anthropic

constexpr const char* kMessage =
    R"({"messages":[{"role":"user","content":[{"type":"text","text":"abc"}]}],"temperature":0,)"
    R"("system":[{"type":"text","text":"x-anthropic-billing-header: 1\nabc"}],"max_tokens":6)";

TEST_F(Api, AMessageStreamsInBlocksThatJoinToTheWhole) {
  const Json whole = json_of(post("/v1/messages", std::string(kMessage) + "}").body);
  EXPECT_EQ(whole["type"], "message");
  EXPECT_TRUE(whole["stop_reason"] == "max_tokens" || whole["stop_reason"] == "end_turn");
  EXPECT_GE(whole["usage"]["output_tokens"], 1);
  const auto all =
      named_events(post("/v1/messages", std::string(kMessage) + R"(,"stream":true})").body);
  ASSERT_GE(all.size(), 6U);
  EXPECT_EQ(all.front()["type"], "message_start");
  EXPECT_EQ(all[1]["type"], "content_block_start");
  EXPECT_EQ(all[all.size() - 3]["type"], "content_block_stop");
  EXPECT_EQ(all[all.size() - 2]["delta"]["stop_reason"], whole["stop_reason"]);
  EXPECT_EQ(all[all.size() - 2]["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
  EXPECT_EQ(all.back()["type"], "message_stop");
  std::string text;
  for (const Json& e : all)
    if (e["type"] == "content_block_delta") text += e["delta"]["text"].get<std::string>();
  EXPECT_EQ(text, whole["content"][0]["text"].get<std::string>());
}

TEST_F(Api, AMessagesTokensAreCountedAndItsFirstSystemLineLeftOut) {
  const auto count = [&](const std::string& system) {
    const Response r = post(
        "/v1/messages/count_tokens",
        dump_json({{"messages", {{{"role", "user"}, {"content", "abc"}}}}, {"system", system}}));
    return json_of(r.body)["input_tokens"].get<int>();
  };
  EXPECT_EQ(count("x-anthropic-billing-header: 1234\nabc"), count("abc"));
  EXPECT_GT(count("abcabc"), count("abc"));
}

TEST_F(Api, WrongMessagesAreRefusedInAnthropicsForm) {
  for (const std::string body :
       {R"({"messages":[{"role":"user","content":"a"}]})", R"({"max_tokens":1})",
        R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
        R"({"max_tokens":1,"messages":[{"role":"user"}]})",
        R"({"max_tokens":1,"messages":[{"role":"user","content":"a"}],"tools":[{}]})",
        R"({"max_tokens":1,"messages":[{"role":"user","content":"a"}],"thinking":{"type":"x"}})"}) {
    const Response r = post("/v1/messages", body);
    EXPECT_EQ(r.status, 400) << body;
    const Json j = json_of(r.body);
    EXPECT_EQ(j["type"], "error");
    EXPECT_EQ(j["error"]["type"], "invalid_request_error");
  }
}

// ---- Ollama

TEST_F(Api, OllamasLinesJoinToTheWholeAnswer) {
  const std::string rules = R"("options":{"temperature":0,"num_predict":6})";
  for (const auto& [path, question] :
       {std::pair("/api/chat", R"("messages":[{"role":"user","content":"abc"}])"),
        std::pair("/api/generate", R"("prompt":"abc")"),
        std::pair("/api/generate", R"("prompt":"abc","raw":true)")}) {
    const bool chat = std::string(path) == "/api/chat";
    const auto text = [&](const Json& j) {
      return (chat ? j["message"]["content"] : j["response"]).get<std::string>();
    };
    const std::string body = fmt::format("{{{},{}", question, rules);
    const Json whole = json_of(post(path, body + R"(,"stream":false})").body);
    EXPECT_EQ(whole["eval_count"], 6);
    EXPECT_EQ(whole["done_reason"], "length");
    const std::string lines = post(path, body + "}").body;
    std::string joined;
    Json last;
    for (std::size_t at = 0; at < lines.size();) {
      const std::size_t end = lines.find('\n', at);
      ASSERT_NE(end, std::string::npos);
      last = json_of(lines.substr(at, end - at));
      joined += text(last);
      at = end + 1;
    }
    EXPECT_EQ(last["done"], true);
    EXPECT_EQ(joined, text(whole));
    EXPECT_FALSE(joined.empty());
  }
}

TEST_F(Api, OllamasWrongValuesAndQuestionsAboutModels) {
  const Response r = post("/api/chat", R"({"messages":[{"role":"user","content":"a"}],)"
                                       R"("options":{"temperature":-1}})");
  EXPECT_EQ(r.status, 400);
  EXPECT_TRUE(has(json_of(r.body)["error"].get<std::string>(), "options.temperature"));
  EXPECT_EQ(json_of(post("/api/chat", "{}").body)["done_reason"], "load");
  EXPECT_EQ(json_of(get("/api/tags").body)["models"][0]["name"], "tiny");
  EXPECT_EQ(json_of(get("/api/ps").body)["models"][0]["context_length"], 1024);
  EXPECT_EQ(json_of(post("/api/show", "{}").body)["capabilities"][0], "completion");
  EXPECT_TRUE(json_of(get("/api/version").body)["version"].is_string());
}

}  // namespace
}  // namespace bezel::test
