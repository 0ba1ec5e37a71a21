// OpenAI's responses and embeddings.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "server/api.h"

namespace bezel::test {
namespace {

constexpr const char* kResponses = "/v1/responses";

// `more` begins with a comma.
std::string asked(const std::string& more = "") {
  return R"({"input":"abc","temperature":0,"max_output_tokens":6)" + more + "}";
}

std::string text_of(const Json& response) {
  std::string out;
  for (const Json& item : response["output"])
    if (item["type"] == "message")
      for (const Json& part : item["content"]) out += part["text"].get<std::string>();
  return out;
}

// Ids differ in every answer.
Json without_ids(Json items) {
  for (Json& item : items)
    for (const char* key : {"id", "call_id"}) item.erase(key);
  return items;
}

constexpr const char* kTool =
    R"(,"tools":[{"type":"function","name":"add","parameters":{"type":"object",)"
    R"("properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}}])";

TEST_F(Api, AResponseHasItemsAndCountsTokens) {
  const Response r = post(kResponses, asked(R"(,"metadata":{"k":"v"})"));
  ASSERT_EQ(r.status, 200) << r.body;
  const Json j = json_of(r.body);
  EXPECT_EQ(j["object"], "response");
  EXPECT_EQ(j["status"], "incomplete");
  EXPECT_EQ(j["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(j["usage"]["output_tokens"], 6);
  EXPECT_EQ(j["usage"]["total_tokens"], j["usage"]["input_tokens"].get<int>() + 6);
  EXPECT_TRUE(j["usage"]["output_tokens_details"]["reasoning_tokens"].is_number());
  EXPECT_EQ(j["metadata"]["k"], "v");
  EXPECT_FALSE(text_of(j).empty());
  const Json chat = json_of(
      post("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"abc"}],"temperature":0,"max_tokens":6})")
          .body);
  EXPECT_EQ(text_of(j), chat["choices"][0]["message"]["content"].get<std::string>());
}

TEST_F(Api, AStreamOfAResponseTellsItsItemsOneByOne) {
  const Json whole = json_of(post(kResponses, asked()).body);
  const auto all = named_events(post(kResponses, asked(R"(,"stream":true)")).body);
  ASSERT_GE(all.size(), 8U);
  EXPECT_EQ(all[0]["type"], "response.created");
  EXPECT_EQ(all[1]["type"], "response.in_progress");
  EXPECT_EQ(all[2]["type"], "response.output_item.added");
  EXPECT_EQ(all[2]["item"]["content"], Json::array());
  EXPECT_EQ(all[3]["type"], "response.content_part.added");
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i]["sequence_number"], i);
    if (all[i]["type"] == "response.output_text.delta") text += all[i]["delta"].get<std::string>();
    if (all[i]["type"] == "response.output_text.done") {
      EXPECT_EQ(all[i]["text"], text);
    }
  }
  EXPECT_EQ(text, text_of(whole));
  EXPECT_EQ(all.back()["type"], "response.incomplete");
  EXPECT_EQ(without_ids(all.back()["response"]["output"]), without_ids(whole["output"]));
  EXPECT_EQ(all.back()["response"]["usage"]["output_tokens"], 6);
}

TEST_F(Api, AResponseCallsAFunctionAndReadsItsResult) {
  const std::string ask = R"({"input":"abc","temperature":0,"max_output_tokens":200,)"
                          R"("tool_choice":"required","parallel_tool_calls":false)" +
                          std::string(kTool) + "}";
  const Response r = post(kResponses, ask);
  ASSERT_EQ(r.status, 200) << r.body;
  const Json whole = json_of(r.body);
  const Json& call = whole["output"].back();
  ASSERT_EQ(call["type"], "function_call") << r.body;
  EXPECT_EQ(call["name"], "add");
  const Json arguments = json_of(call["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["a"] == 1 || arguments["a"] == 2);
  std::string streamed, done;
  std::string streaming = ask;
  streaming.insert(streaming.size() - 1, R"(,"stream":true)");
  for (const Json& e : named_events(post(kResponses, streaming).body)) {
    if (e["type"] == "response.function_call_arguments.delta")
      streamed += e["delta"].get<std::string>();
    if (e["type"] == "response.function_call_arguments.done")
      done = e["arguments"].get<std::string>();
  }
  EXPECT_EQ(streamed, call["arguments"].get<std::string>());
  EXPECT_EQ(done, streamed);

  // The result, behind the call written out again, and behind the response that is kept.
  const Json result = {
      {"type", "function_call_output"}, {"call_id", call["call_id"]}, {"output", "3"}};
  Json all;
  all["input"] = Json::array({{{"role", "user"}, {"content", "abc"}}});
  for (const Json& item : whole["output"]) all["input"].push_back(item);
  all["input"].push_back(result);
  all["temperature"] = 0;
  all["max_output_tokens"] = 5;
  all["tools"] = json_of(ask)["tools"];
  Json after = all;
  after["input"] = Json::array({result});
  after["previous_response_id"] = whole["id"];
  const Response a = post(kResponses, dump_json(all)), b = post(kResponses, dump_json(after));
  ASSERT_EQ(a.status, 200) << a.body;
  ASSERT_EQ(b.status, 200) << b.body;
  EXPECT_EQ(text_of(json_of(a.body)), text_of(json_of(b.body)));
  EXPECT_EQ(json_of(a.body)["usage"]["input_tokens"], json_of(b.body)["usage"]["input_tokens"]);
  EXPECT_GT(json_of(b.body)["usage"]["input_tokens_details"]["cached_tokens"], 0);
}

TEST_F(Api, AResponseIsKeptUntilItIsForgottenAndNotWithoutStore) {
  const Json kept = json_of(post(kResponses, asked(R"(,"instructions":"qqq")")).body);
  const std::string path = std::string(kResponses) + "/" + kept["id"].get<std::string>();
  EXPECT_EQ(json_of(get(path).body), kept);
  const auto tokens_behind = [&](const std::string& more) {
    return json_of(post(kResponses, asked(fmt::format(R"(,"previous_response_id":"{}"{})",
                                                      kept["id"].get<std::string>(), more)))
                       .body)["usage"]["input_tokens"]
        .get<int>();
  };
  EXPECT_GT(tokens_behind(R"(,"instructions":"qqq")"), tokens_behind(""))
      << "instructions are not kept";
  const Response gone = ask(front_->port(), request("DELETE", path));
  EXPECT_EQ(gone.status, 200);
  EXPECT_EQ(json_of(gone.body)["deleted"], true);
  EXPECT_EQ(get(path).status, 404);
  const Json lost = json_of(post(kResponses, asked(R"(,"store":false)")).body);
  const Response r =
      post(kResponses,
           asked(fmt::format(R"(,"previous_response_id":"{}")", lost["id"].get<std::string>())));
  EXPECT_EQ(r.status, 400);
  EXPECT_EQ(json_of(r.body)["error"]["param"], "previous_response_id");
}

TEST_F(Api, AResponseKeepsToItsSchemaAndTellsLogprobs) {
  const std::string format =
      R"(,"text":{"format":{"type":"json_schema","name":"x","schema":{"type":"object",)"
      R"("properties":{"a":{"enum":[1,2]}},"required":["a"],"additionalProperties":false}}})";
  std::string body = asked(format);
  body.replace(body.find("tokens\":6"), 9, "tokens\":60");
  const Json answer = json_of(text_of(json_of(post(kResponses, body).body)));
  EXPECT_TRUE(answer["a"] == 1 || answer["a"] == 2);
  const Json j = json_of(
      post(kResponses, asked(R"(,"include":["message.output_text.logprobs"],"top_logprobs":2)"))
          .body);
  const Json& logprobs = j["output"][0]["content"][0]["logprobs"];
  ASSERT_EQ(logprobs.size(), 6U);
  EXPECT_EQ(logprobs[0]["top_logprobs"].size(), 2U);
}

TEST_F(Api, WrongResponsesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"input", "[]"},
      {"input", "3"},
      {"input[0].role", R"([{"role":"cat","content":"a"}])"},
      {"input[0].type", R"([{"type":"item_reference","id":"x"}])"},
      {"input[0].call_id", R"([{"type":"function_call_output","output":"x"}])"},
      {"input[0].arguments",
       R"([{"type":"function_call","call_id":"a","name":"f","arguments":"{"}])"},
      {"input[0].content", R"([{"role":"user","content":[{"type":"input_image"}]}])"},
      {"max_output_tokens", "0"},
      {"top_logprobs", "21"},
      {"tools[0].type", R"([{"type":"web_search"}])"},
      {"tools[0].name", R"([{"type":"function"}])"},
      {"tool_choice", "\"maybe\""},
      {"tool_choice.name", R"({"type":"function"})"},
      {"text.format.type", R"({"format":{"type":"x"}})"},
      {"text.format.schema", R"({"format":{"type":"json_schema"}})"},
      {"background", "true"},
      {"conversation", "\"x\""},
      {"truncation", "\"x\""},
      {"store", "1"},
      {"reasoning", "1"},
      {"previous_response_id", "\"resp_0\""},
  };
  for (const auto& [path, value] : cases) {
    const std::string field = std::string(path).substr(0, std::string(path).find_first_of(".["));
    const Response r = post(kResponses, asked(fmt::format(R"(,"{}":{})", field, value)));
    EXPECT_EQ(r.status, 400) << path << r.body;
    EXPECT_EQ(json_of(r.body)["error"]["param"], path) << r.body;
  }
}

TEST_F(Api, EmbeddingsAreUnitVectorsThatDependOnTheirTextAlone) {
  const Json j =
      json_of(post("/v1/embeddings", R"({"input":["abc","qqq zzz","abc",[2,50,60]]})").body);
  ASSERT_EQ(j["data"].size(), 4U) << j;
  EXPECT_EQ(j["data"][0]["embedding"], j["data"][2]["embedding"]);
  EXPECT_NE(j["data"][0]["embedding"], j["data"][1]["embedding"]);
  for (const Json& one : j["data"]) {
    double squares = 0;
    for (const double x : one["embedding"].get<std::vector<double>>()) squares += x * x;
    EXPECT_NEAR(squares, 1, 1e-6);
  }
  EXPECT_EQ(j["usage"]["prompt_tokens"], j["usage"]["total_tokens"]);
  const Json alone = json_of(post("/v1/embeddings", R"({"input":"qqq zzz"})").body);
  EXPECT_EQ(alone["data"][0]["embedding"], j["data"][1]["embedding"]) << "to the bit";
  const auto few = json_of(post("/v1/embeddings", R"({"input":"abc","dimensions":3})").body);
  EXPECT_EQ(few["data"][0]["embedding"].size(), 3U);
}

TEST_F(Api, ALongEmbeddingIsTheSameInHoweverManyPassesItIsRead) {
  const std::string text(900, 'a');  // more rows than one pass may read
  const std::string body = fmt::format(R"({{"input":"{}"}})", text);
  const Json alone = json_of(post("/v1/embeddings", body).body);
  ASSERT_TRUE(alone.contains("data")) << alone;
  std::thread other(
      [&] { post("/v1/completions", R"({"prompt":"abc","max_tokens":200,"temperature":0})"); });
  EXPECT_EQ(json_of(post("/v1/embeddings", body).body)["data"], alone["data"]);
  other.join();
}

TEST_F(Api, EmbeddingsComeAsBase64OfTheSameNumbers) {
  const auto values =
      json_of(post("/v1/embeddings", R"({"input":"abc"})").body)["data"][0]["embedding"]
          .get<std::vector<float>>();
  const std::string text =
      json_of(post("/v1/embeddings", R"({"input":"abc","encoding_format":"base64"})")
                  .body)["data"][0]["embedding"]
          .get<std::string>();
  static const std::string digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned all = 0, bits = 0;
  for (const char c : text) {
    const std::size_t d = digits.find(c);
    if (d == std::string::npos) break;
    all = (all << 6U) | static_cast<unsigned>(d);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>((all >> bits) & 255U);
  }
  ASSERT_EQ(bytes.size(), values.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(bytes.data(), values.data(), bytes.size()), 0);
}

TEST_F(Api, WrongEmbeddingsNameTheField) {
  for (const auto& [body, field] :
       {std::pair("{}", "input"), std::pair(R"({"input":[]})", "input"),
        std::pair(R"({"input":""})", "input"), std::pair(R"({"input":["a",""]})", "input"),
        std::pair(R"({"input":[-1]})", "input"),
        std::pair(R"({"input":"a","dimensions":0})", "dimensions"),
        std::pair(R"({"input":"a","dimensions":100000})", "dimensions"),
        std::pair(R"({"input":"a","encoding_format":"x"})", "encoding_format")}) {
    const Response r = post("/v1/embeddings", body);
    EXPECT_EQ(r.status, 400) << body;
    EXPECT_EQ(json_of(r.body)["error"]["param"], field) << r.body;
  }
}

}  // namespace
}  // namespace bezel::test
