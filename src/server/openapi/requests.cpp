#include "server/openapi/requests.h"

#include <cstdint>

#include "server/chats/routes.h"
#include "server/openapi/schema.h"

namespace bezel::schema {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 30;

void add(Properties& to, const Properties& more) {
  to.insert(to.end(), more.begin(), more.end());
}

Properties sampling() {
  return {{"temperature", number(0, 100, "0: the best token always; the model's own by default")},
          {"top_k", whole(-1, kMost, "-1 and 0: all")},
          {"top_p", number(0, 1)},
          {"min_p", number(0, 1)},
          {"presence_penalty", number(-100, 100)},
          {"frequency_penalty", number(-100, 100)},
          {"repetition_penalty", number(0.01, 100)},
          {"repeat_penalty", number(0.01, 100, "the same as repetition_penalty")},
          {"seed", whole(INT64_MIN, INT64_MAX, "the same seed, the same answer; else random")}};
}

Json stop() {
  Json one = text("1 to 4096 bytes");
  one["maxLength"] = 4096;
  Json few = list(Json{{"type", "string"}, {"minLength", 1}, {"maxLength", 4096}}, 0, 16);
  return either({one, few}, "texts that end the answer");
}

Json bias() {
  Json j = type("object", "token ids to numbers from -100, which bans, to 100");
  j["additionalProperties"] = {{"type", "number"}, {"minimum", -100}, {"maximum", 100}};
  j["propertyNames"] = {{"pattern", "^[0-9]{1,8}$"}};
  return j;
}

Json parts(const char* kind) {
  return list(object({{"type", choice({kind, "text"})}, {"text", text()}}, {"text"}));
}
Json content(const char* kind = "text") {
  return either({text(), parts(kind)});
}

Json chat_call() {
  return object({{"id", text()},
                 {"type", text()},
                 {"function",
                  object({{"name", text()},
                          {"arguments", either({text("a JSON object"), Json{{"type", "object"}}})}},
                         {"name"})}},
                {"function"});
}

Json chat_message() {
  return object({{"role", choice({"system", "developer", "user", "assistant", "tool", "function"})},
                 {"content", content()},
                 {"reasoning_content", text("what an assistant thought")},
                 {"reasoning", text("the same")},
                 {"tool_calls", list(chat_call())},
                 {"tool_call_id", text("of a tool's result")}},
                {"role"});
}

Json chat_tools() {
  return list(object({{"type", choice({"function"})},
                      {"function", object({{"name", text()},
                                           {"description", text()},
                                           {"parameters", type("object", "a JSON Schema")}},
                                          {"name"})}},
                     {"function"}),
              0, 256);
}

Json streaming() {
  return object({{"include_usage", flag("a last chunk counts tokens")}});
}

Json named_function() {
  return object(
      {{"type", choice({"function"})}, {"function", object({{"name", text()}}, {"name"})}},
      {"function"});
}

Properties tokens_out(const char* key) {
  return {{key, whole(1, kMost, "most tokens of the answer; else up to the context's end")}};
}

}  // namespace

Json chat() {
  Properties p = {{"messages", list(chat_message(), 1)},
                  {"model", text("a name that GET /v1/models has; none: the first one")},
                  {"tools", chat_tools()},
                  {"tool_choice", either({choice({"auto", "none", "required"}), named_function()})},
                  {"parallel_tool_calls", flag()},
                  {"reasoning_effort", text("none: no thinking; anything else: thinking")},
                  {"chat_template_kwargs", object({{"enable_thinking", flag()}})},
                  {"thinking_token_budget", whole(0, kMost, "most tokens of a thought")},
                  {"thinking_budget_tokens", whole(0, kMost, "the same")},
                  {"logit_bias", bias()},
                  {"stop", stop()},
                  {"response_format",
                   object({{"type", choice({"text", "json_object", "json_schema"})},
                           {"json_schema", object({{"name", text()},
                                                   {"schema", type("object", "a JSON Schema")}})}},
                          {"type"})},
                  {"stream", flag()},
                  {"stream_options", streaming()},
                  {"n", whole(1, 16, "answers to the same messages")},
                  {"logprobs", flag()},
                  {"top_logprobs", whole(0, 20, "needs logprobs")}};
  add(p, tokens_out("max_tokens"));
  add(p, tokens_out("max_completion_tokens"));
  add(p, sampling());
  return object(p, {"messages"});
}

namespace {
// A text of at least so many characters, a list of ids, or a list of these.
Json prompts(const EngineInfo& info, int least) {
  const Json ids = list(Json{{"type", "integer"}, {"minimum", 0}, {"maximum", info.vocab - 1}}, 1);
  Json one = {{"type", "string"}};
  if (least > 0) one["minLength"] = least;
  return either({one, ids, list(either({one, ids}), 1, 64)});
}
}  // namespace

Json completions(const EngineInfo& info) {
  Properties p = {
      {"prompt", prompts(info, 0)},
      {"model", text()},
      {"max_tokens", whole(0, kMost, "16 by default; 0 only with echo")},
      {"logit_bias", bias()},
      {"stop", stop()},
      {"stream", flag()},
      {"stream_options", streaming()},
      {"n", whole(1, 16)},
      {"logprobs", whole(0, 20, "of the chosen tokens and as many of the best")},
      {"echo", flag("the prompt comes first, with its log-probabilities if asked for")}};
  add(p, sampling());
  return object(p, {"prompt"});
}

Json responses() {
  const Json item =
      object({{"type", choice({"message", "function_call", "function_call_output", "reasoning"})},
              {"role", choice({"system", "developer", "user", "assistant"})},
              {"content",
               either({text(), parts("input_text"), parts("output_text"),
                       list(object({{"type", choice({"reasoning_text"})}, {"text", text()}}))})},
              {"summary", list(object({{"text", text()}}))},
              {"call_id", text()},
              {"name", text()},
              {"arguments", text("a JSON object")},
              {"output", content("input_text")}});
  const Json tool = object({{"type", choice({"function"})},
                            {"name", text()},
                            {"description", text()},
                            {"parameters", type("object", "a JSON Schema")}},
                           {"type", "name"});
  const Json allowed = object({{"type", choice({"function", "allowed_tools"})},
                               {"name", text()},
                               {"mode", choice({"auto", "required"})},
                               {"tools", list(object({{"name", text()}}, {"name"}))}},
                              {"type"});
  Properties p = {
      {"input", either({Json{{"type", "string"}}, list(item, 1)})},
      {"model", text()},
      {"instructions", text("a system text that is not kept with the response")},
      {"previous_response_id", text("of a response that is kept")},
      {"store", flag("kept by default, in memory: the last 1024, in 64 MB at most")},
      {"tools", list(tool, 0, 256)},
      {"tool_choice", either({choice({"auto", "none", "required"}), allowed})},
      {"parallel_tool_calls", flag()},
      {"reasoning", object({{"effort", text("none: no thinking; anything else: thinking")}})},
      {"text", object({{"format", object({{"type", choice({"text", "json_object", "json_schema"})},
                                          {"name", text()},
                                          {"schema", type("object", "a JSON Schema")}},
                                         {"type"})}})},
      {"top_logprobs", whole(0, 20)},
      {"include", list(Json{{"type", "string"}}, 0, 0, "message.output_text.logprobs")},
      {"truncation", choice({"auto", "disabled"}, "nothing is ever left out")},
      {"metadata", type("object", "comes back")},
      {"stream", flag()}};
  add(p, tokens_out("max_output_tokens"));
  add(p, sampling());
  return object(p, {"input"});
}

Json embeddings(const EngineInfo& info) {
  return object({{"input", prompts(info, 1)},
                 {"model", text()},
                 {"encoding_format", choice({"float", "base64"})},
                 {"dimensions", whole(1, info.width, "the first so many, at unit length again")}},
                {"input"});
}

Json messages(bool counting) {
  const Json block = object(
      {{"type", choice({"text", "thinking", "redacted_thinking", "tool_use", "tool_result"})},
       {"text", text()},
       {"thinking", text()},
       {"id", text()},
       {"name", text()},
       {"input", type("object", "of a call")},
       {"tool_use_id", text()},
       {"content", content()},
       {"is_error", flag()}},
      {"type"});
  const Json message = object({{"role", choice({"user", "assistant", "system"})},
                               {"content", either({Json{{"type", "string"}}, list(block)})}},
                              {"role", "content"});
  const Json tool = object({{"name", text()},
                            {"description", text()},
                            {"input_schema", type("object", "a JSON Schema")}},
                           {"name"});
  Properties p = {
      {"messages", list(message, 1)},
      {"model", text()},
      {"system", content()},
      {"max_tokens", whole(1, kMost)},
      {"stop_sequences", stop()},
      {"tools", list(tool, 0, 256)},
      {"tool_choice", object({{"type", choice({"auto", "any", "tool", "none"})},
                              {"name", text()},
                              {"disable_parallel_tool_use", flag()}},
                             {"type"})},
      {"thinking", object({{"type", choice({"enabled", "adaptive", "disabled"})},
                           {"budget_tokens", whole(0, kMost)}},
                          {"type"})},
      {"output_config", object({{"format", object({{"type", choice({"json_schema"})},
                                                   {"schema", type("object", "a JSON Schema")}},
                                                  {"type", "schema"})}})},
      {"stream", flag()}};
  add(p, sampling());
  return counting ? object(p, {"messages"}) : object(p, {"messages", "max_tokens"});
}

namespace {

Properties ollama_rules() {
  Properties options = sampling();
  options.push_back({"num_predict", whole(-2, kMost, "below 1: no limit")});
  options.push_back({"stop", stop()});
  return {{"model", text()},
          {"name", text("the same")},
          {"options", object(options)},
          {"format", either({choice({"json", ""}), type("object", "a JSON Schema")})},
          {"keep_alive",
           either({type("number", ""), text()},
                  "seconds, or \"5m\": how long the model stays loaded; below 0: for ever")},
          {"think", either({flag(), choice({"low", "medium", "high"})})},
          {"stream", flag("true by default")}};
}

}  // namespace

Json ollama_chat() {
  Properties p = ollama_rules();
  p.push_back({"messages", list(chat_message(), 0, 0,
                                "none: the model is loaded, or with keep_alive 0 let go")});
  p.push_back({"tools", chat_tools()});
  return object(p);
}

Json ollama_generate() {
  Properties p = ollama_rules();
  p.push_back({"prompt", text()});
  p.push_back({"system", text()});
  p.push_back({"raw", flag("the prompt is read as it stands, markers too")});
  return object(p);
}

Json one_model() {
  return object({{"model", text()}, {"name", text("the same")}});
}

Json pull() {
  return object({{"model", text("a name like e2b, or owner/repo")},
                 {"name", text("the same")},
                 {"stream", flag("true by default: a line for every piece of news")}});
}

Json copy() {
  return object({{"source", text("a model that is here")},
                 {"destination", text("1 to 64 letters, digits or any of . _ - :")}},
                {"source", "destination"});
}

Json tokenize() {
  return object({{"model", text()},
                 {"content", text()},
                 {"prompt", text("the same")},
                 {"add_special", flag("with the token that begins a text")},
                 {"add_special_tokens", flag("the same")},
                 {"parse_special", flag("true by default: markers become control tokens")}});
}

Json detokenize(const EngineInfo& info) {
  return object(
      {{"model", text()},
       {"tokens", list(Json{{"type", "integer"}, {"minimum", 0}, {"maximum", info.vocab - 1}})}},
      {"tokens"});
}

Json saved_chat() {
  Json id = text("1 to 64 bytes"), title = text("1 to 400 bytes");
  for (Json* bounded : {&id, &title}) (*bounded)["minLength"] = 1;
  id["maxLength"] = 64;
  title["maxLength"] = kMostTitle;
  const Json message = object({{"id", id},
                               {"parent", text("the id of the message that this one answers")},
                               {"role", choice({"user", "assistant"})},
                               {"content", text()}},
                              {"id", "role", "content"});
  return object({{"id", text("as in the path")},
                 {"title", title},
                 {"created", whole(0, kLatest, "milliseconds since 1970")},
                 {"updated", whole(0, kLatest, "the same")},
                 {"messages", list(message)}},
                {"title", "messages"});
}

}  // namespace bezel::schema
