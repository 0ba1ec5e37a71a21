#include "server/openapi/openapi.h"

#include <utility>

#include "server/chats/routes.h"
#include "server/openapi/requests.h"
#include "server/openapi/schema.h"

namespace bezel {

namespace {

using schema::object;
using schema::text;

enum class Api { OpenAi, Anthropic, Ollama };

Json error_of(Api api) {
  if (api == Api::Ollama) return object({{"error", text()}}, {"error"});
  const Json inner = object({{"message", text()}, {"type", text()}}, {"message"});
  return object({{"error", inner}}, {"error"});
}

Json content(const char* type, Json form) {
  Json j;
  j["content"][type]["schema"] = std::move(form);
  return j;
}

Json ref(const char* name) {
  Json j;
  j["$ref"] = std::string("#/components/responses/") + name;
  return j;
}

// Every refusal that a path may answer with; its body is of the API's own form.
void add_errors(Json& responses, Api api) {
  const char* name = api == Api::OpenAi      ? "OpenAiError"
                     : api == Api::Anthropic ? "AnthropicError"
                                             : "OllamaError";
  for (const char* status : {"400", "401", "403", "404", "405", "413", "431", "500", "503"})
    responses[status] = ref(name);
}

Json get(const char* what, Api api, Json ok) {
  Json j;
  j["summary"] = what;
  ok["description"] = "what was asked for";
  j["responses"]["200"] = std::move(ok);
  add_errors(j["responses"], api);
  return j;
}

Json json_object() {
  return content("application/json", Json{{"type", "object"}});
}

// `stream`: the type of a streamed answer, or null.
Json post(const char* what, Api api, Json body, const char* stream) {
  Json ok = json_object();
  if (stream != nullptr) ok["content"][stream] = Json::object();
  Json j = get(what, api, std::move(ok));
  j["requestBody"] = content("application/json", std::move(body));
  j["requestBody"]["required"] = true;
  return j;
}

// A parameter of a path, query or header.
Json parameter(const char* name, const char* in, Json form, const char* what = "") {
  Json j;
  j["name"] = name;
  j["in"] = in;
  j["required"] = std::string_view(in) == "path";
  j["schema"] = std::move(form);
  if (*what != 0) j["description"] = what;
  return j;
}

void add_openai(Json& paths, const EngineInfo& info) {
  constexpr const char* kStream = "text/event-stream";
  paths["/v1/models"]["get"] = get("The models that can answer", Api::OpenAi, json_object());
  paths["/v1/chat/completions"]["post"] =
      post("An answer in a conversation", Api::OpenAi, schema::chat(), kStream);
  paths["/v1/completions"]["post"] =
      post("A text goes on", Api::OpenAi, schema::completions(info), kStream);
  paths["/v1/responses"]["post"] =
      post("An answer in a conversation, as items", Api::OpenAi, schema::responses(), kStream);
  const Json id = Json::array({parameter("id", "path", {{"type", "string"}, {"minLength", 1}})});
  paths["/v1/models/{id}"]["parameters"] = id;
  paths["/v1/models/{id}"]["get"] = get("A model, by its name", Api::OpenAi, json_object());
  Json& one = paths["/v1/responses/{id}"];
  one["parameters"] = id;
  one["get"] = get("A response that is kept", Api::OpenAi, json_object());
  one["delete"] = get("Forgets a response", Api::OpenAi, json_object());
  paths["/v1/embeddings"]["post"] =
      post("Mean of a text's final states, at unit length; the model was not trained for it",
           Api::OpenAi, schema::embeddings(info), nullptr);
}

// 404 also where chats are not saved, 507 where the disk or the store is full.
Json chats(Json operation) {
  operation["responses"]["507"] = ref("OpenAiError");
  return operation;
}

void add_chats(Json& paths) {
  const Json least = {{"type", "integer"}, {"minimum", 0}};
  Json limit = least, offset = least;
  limit["maximum"] = kMostListed;
  offset["maximum"] = kLatest;
  Json& list = paths["/chats"]["get"];
  list = chats(get("Saved chats, those changed last first", Api::OpenAi, json_object()));
  list["parameters"] =
      Json::array({parameter("search", "query", {{"type", "string"}},
                             "words that must all be in the title or a message"),
                   parameter("limit", "query", limit, "most chats in the list; else 100"),
                   parameter("offset", "query", offset, "chats that are left out before it")});
  paths["/chats/export"]["get"] =
      chats(get("Every saved chat, 256 MB at most", Api::OpenAi, json_object()));
  Json& one = paths["/chats/{id}"];
  one["parameters"] = Json::array(
      {parameter("id", "path", {{"type", "string"}, {"pattern", "^[A-Za-z0-9_-]{8,64}$"}})});
  Json ok = json_object();
  ok["headers"]["ETag"]["schema"]["type"] = "string";
  one["get"] = chats(get("A saved chat; ETag is its revision", Api::OpenAi, ok));
  Json& put = one["put"];
  put =
      chats(post("Saves a chat, 16 MB at most, whole", Api::OpenAi, schema::saved_chat(), nullptr));
  put["responses"]["200"]["headers"] = ok["headers"];
  put["responses"]["412"] = ref("OpenAiError");
  put["parameters"] = Json::array(
      {parameter("If-Match", "header", {{"type", "string"}, {"pattern", "^\"[0-9]{1,18}\"$"}},
                 "the revision that is replaced; 0: there must be none")});
  one["delete"] = chats(get("Deletes a chat", Api::OpenAi, json_object()));
}

void add_models(Json& paths) {
  constexpr const char* kLines = "application/x-ndjson";
  paths["/api/tags"]["get"] = get("The models that can answer", Api::Ollama, json_object());
  paths["/api/ps"]["get"] = get("The loaded model", Api::Ollama, json_object());
  paths["/api/show"]["post"] = post("A model", Api::Ollama, schema::one_model(), nullptr);
  Json& pull = paths["/api/pull"]["post"];
  pull = post("Fetches a model from the hub", Api::Ollama, schema::pull(), kLines);
  for (const char* status : {"502", "507"}) pull["responses"][status] = ref("OllamaError");
  paths["/api/delete"]["delete"] = post("Removes a model that Bezel has fetched, or an alias",
                                        Api::Ollama, schema::one_model(), nullptr);
  paths["/api/copy"]["post"] =
      post("Gives a model another name", Api::Ollama, schema::copy(), nullptr);
}

void add_others(Json& paths, const EngineInfo& info) {
  constexpr const char* kStream = "text/event-stream";
  constexpr const char* kLines = "application/x-ndjson";
  paths["/v1/messages"]["post"] =
      post("An answer in a conversation", Api::Anthropic, schema::messages(false), kStream);
  paths["/v1/messages/count_tokens"]["post"] =
      post("Tokens of a conversation", Api::Anthropic, schema::messages(true), nullptr);
  paths["/api/chat"]["post"] =
      post("An answer in a conversation", Api::Ollama, schema::ollama_chat(), kLines);
  paths["/api/generate"]["post"] =
      post("An answer to a prompt", Api::Ollama, schema::ollama_generate(), kLines);
  add_models(paths);
  paths["/api/version"]["get"] = get("The version", Api::Ollama, json_object());
  paths["/tokenize"]["post"] = post("Tokens of a text", Api::OpenAi, schema::tokenize(), nullptr);
  paths["/detokenize"]["post"] =
      post("Text of tokens", Api::OpenAi, schema::detokenize(info), nullptr);
  paths["/tokenizer_info"]["get"] =
      get("Markers that begin, end and fill texts", Api::OpenAi, json_object());
  paths["/health"]["get"] = get("The process lives", Api::OpenAi, json_object());
  paths["/ready"]["get"] = get("Requests are taken", Api::OpenAi, json_object());
  paths["/metrics"]["get"] =
      get("Counters for Prometheus", Api::OpenAi, content("text/plain", Json{{"type", "string"}}));
  paths["/page.json"]["get"] = get("What the chat page needs to know", Api::OpenAi, json_object());
  paths["/openapi.json"]["get"] = get("This document", Api::OpenAi, json_object());
}

}  // namespace

// `loaded`: of the loaded model, whose vocabulary and width are ranges; or null.
Json openapi(const EngineInfo* loaded) {
  EngineInfo info;
  info.vocab = info.width = 1 << 30;
  if (loaded != nullptr) info = *loaded;
  Json j;
  j["openapi"] = "3.1.0";
  j["info"]["title"] = "bezel serve";
  j["info"]["version"] = BEZEL_VERSION;
  j["info"]["description"] =
      "Gemma models behind the APIs of OpenAI, Anthropic and Ollama. Unknown fields are "
      "ignored; wrong values are answered with 400 in the API's own form, naming the field.";
  for (const auto& [name, api] :
       {std::pair("OpenAiError", Api::OpenAi), std::pair("AnthropicError", Api::Anthropic),
        std::pair("OllamaError", Api::Ollama)}) {
    Json& response = j["components"]["responses"][name];
    response = content("application/json", error_of(api));
    response["description"] = "a sentence that says what was wrong";
  }
  j["components"]["securitySchemes"]["key"] = {{"type", "http"}, {"scheme", "bearer"}};
  j["security"] = Json::array({Json::object(), {{"key", Json::array()}}});
  j["paths"] = Json::object();
  add_openai(j["paths"], info);
  add_chats(j["paths"]);
  add_others(j["paths"], info);
  return j;
}

}  // namespace bezel
