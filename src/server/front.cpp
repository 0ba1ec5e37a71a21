#include "server/front.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "server/api/anthropic.h"
#include "server/api/ollama.h"
#include "server/api/openai/openai.h"
#include "server/api/openai/store.h"
#include "server/chats/routes.h"
#include "server/metrics.h"
#include "server/openapi/openapi.h"
#include "server/page.h"
#include "server/reserve.h"

namespace bezel {

namespace {

using api::ExchangePtr;

// In time that does not depend on where they differ.
bool same_key(std::string_view a, std::string_view b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    different |= static_cast<unsigned char>(a[i]) ^
                 static_cast<unsigned char>(b[b.empty() ? 0 : i % b.size()]);
  return different == 0;
}

// "Host: name:port" without the port.
std::string host_name(std::string_view host) {
  const std::size_t bracket = host.find(']');
  const std::size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  std::string name(host.substr(0, colon));
  if (name.size() > 1 && name.front() == '[') name = name.substr(1, name.size() - 2);
  return name;
}

// Whether a path is one of `pattern`, which may end in "{id}": then the rest of the path is the id.
bool fits(std::string_view pattern, std::string_view path, std::string& id) {
  constexpr std::string_view kId = "{id}";
  if (pattern.size() < kId.size() || pattern.substr(pattern.size() - kId.size()) != kId)
    return pattern == path;
  pattern.remove_suffix(kId.size());
  if (path.substr(0, pattern.size()) != pattern || path.size() == pattern.size()) return false;
  id = path.substr(pattern.size());
  return id.find('/') == std::string::npos;
}

class Desk final : public Front {
 public:
  Desk(Service& service, FrontOptions options) : options_(std::move(options)) {
    house_.service = &service;
    house_.model = options_.model;
    house_.since = api::unix_time();
    house_.responses = std::make_shared<api::ResponseStore>();
  }
  Status listen() {
    BEZEL_TRY(server_,
              http::Server::start(options_.http, [this](const http::Request& r,
                                                        const ExchangePtr& e) { handle(r, e); }));
    return Ok{};
  }
  std::uint16_t port() const override { return server_->port(); }
  void stop(std::chrono::milliseconds grace) override {
    stopping_ = true;
    server_->stop(grace);
  }

 private:
  using Shape = api::ErrorShape;
  struct Route {
    const char *method, *path;
    Shape shape;
    bool open;  // needs no key
    void (Desk::*run)(const Json& body, const ExchangePtr& exchange);
  };
  static const std::vector<Route>& routes();
  friend std::vector<std::pair<std::string, std::string>> bezel::served_paths();
  static void send(http::Exchange& e, int status, std::string what, Shape shape,
                   std::string_view more = "") {
    e.respond(status, "application/json", shape({Errc::BadInput, std::move(what), ""}, status),
              more);
  }
  void handle(const http::Request& request, const ExchangePtr& e);
  std::string stranger(const http::Request& request) const;
  bool has_key(const http::Request& request) const;

  void chat(const Json& body, const ExchangePtr& e) { api::openai_chat(house_, body, e); }
  void complete(const Json& body, const ExchangePtr& e) {
    api::openai_completions(house_, body, e);
  }
  void respond(const Json& body, const ExchangePtr& e) { api::openai_responses(house_, body, e); }
  void kept(const Json& body, const ExchangePtr& e) { api::openai_kept_response(house_, body, e); }
  void forget(const Json& body, const ExchangePtr& e) {
    api::openai_forget_response(house_, body, e);
  }
  void embed(const Json& body, const ExchangePtr& e) { api::openai_embeddings(house_, body, e); }
  void messages(const Json& body, const ExchangePtr& e) {
    api::anthropic_messages(house_, body, e);
  }
  void count(const Json& body, const ExchangePtr& e) { api::anthropic_count(house_, body, e); }
  static void say(http::Exchange& e, const Json& j) {
    e.respond(200, "application/json", dump_json(j));
  }
  void ollama_chat(const Json& body, const ExchangePtr& e) { api::ollama_chat(house_, body, e); }
  void ollama_generate(const Json& body, const ExchangePtr& e) {
    api::ollama_generate(house_, body, e);
  }
  void ollama_show(const Json&, const ExchangePtr& e) { say(*e, api::ollama_show(house_)); }
  void ollama_tags(const Json&, const ExchangePtr& e) { say(*e, api::ollama_tags(house_)); }
  void ollama_ps(const Json&, const ExchangePtr& e) { say(*e, api::ollama_ps(house_)); }
  void version(const Json&, const ExchangePtr& e) {
    Json j;
    j["version"] = BEZEL_VERSION;
    say(*e, j);
  }
  void models(const Json&, const ExchangePtr& e) {
    Json j;
    j["object"] = "list";
    j["data"] = Json::array({api::openai_model(house_)});
    say(*e, j);
  }
  void one_model(const Json& asked, const ExchangePtr& e) {
    if (asked["id"] == house_.model) return say(*e, api::openai_model(house_));
    send(*e, 404, fmt::format("the model served here is \"{}\"", house_.model), api::openai_error);
  }
  void health(const Json&, const ExchangePtr& e) {
    e->respond(200, "application/json", R"({"status":"ok"})");
  }
  void ready(const Json&, const ExchangePtr& e) {
    if (!stopping_) return health({}, e);
    send(*e, 503, "the server is stopping", api::openai_error);
  }
  void metrics(const Json&, const ExchangePtr& e) {
    e->respond(200, "text/plain; version=0.0.4; charset=utf-8",
               metrics_text(house_.service->load(), server_->connections()));
  }
  void document(const Json&, const ExchangePtr& e) {
    say(*e, openapi(house_.service->engine().info()));
  }
  void tokenizer(const Json&, const ExchangePtr& e);
  void page(const Json&, const ExchangePtr& e) {
    say(*e, page_facts(house_, options_.chats != nullptr));
  }
  void tokenize(const Json& body, const ExchangePtr& e);
  void detokenize(const Json& body, const ExchangePtr& e);

  FrontOptions options_;
  api::House house_;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<http::Server> server_;
};

const std::vector<Desk::Route>& Desk::routes() {
  static const std::vector<Route> all = {
      {"GET", "/health", api::openai_error, true, &Desk::health},
      {"GET", "/ready", api::openai_error, true, &Desk::ready},
      {"GET", "/metrics", api::openai_error, false, &Desk::metrics},
      {"GET", "/page.json", api::openai_error, false, &Desk::page},
      {"GET", "/v1/models", api::openai_error, false, &Desk::models},
      {"GET", "/v1/models/{id}", api::openai_error, false, &Desk::one_model},
      {"POST", "/v1/chat/completions", api::openai_error, false, &Desk::chat},
      {"POST", "/v1/completions", api::openai_error, false, &Desk::complete},
      {"POST", "/v1/responses", api::openai_error, false, &Desk::respond},
      {"GET", "/v1/responses/{id}", api::openai_error, false, &Desk::kept},
      {"DELETE", "/v1/responses/{id}", api::openai_error, false, &Desk::forget},
      {"POST", "/v1/embeddings", api::openai_error, false, &Desk::embed},
      {"POST", "/v1/messages", api::anthropic_error, false, &Desk::messages},
      {"POST", "/v1/messages/count_tokens", api::anthropic_error, false, &Desk::count},
      {"POST", "/api/chat", api::ollama_error, false, &Desk::ollama_chat},
      {"POST", "/api/generate", api::ollama_error, false, &Desk::ollama_generate},
      {"POST", "/api/show", api::ollama_error, false, &Desk::ollama_show},
      {"GET", "/api/tags", api::ollama_error, false, &Desk::ollama_tags},
      {"GET", "/api/ps", api::ollama_error, false, &Desk::ollama_ps},
      {"GET", "/api/version", api::ollama_error, false, &Desk::version},
      {"GET", "/openapi.json", api::openai_error, false, &Desk::document},
      {"GET", "/tokenizer_info", api::openai_error, false, &Desk::tokenizer},
      {"POST", "/tokenize", api::openai_error, false, &Desk::tokenize},
      {"POST", "/detokenize", api::openai_error, false, &Desk::detokenize},
  };
  return all;
}

// What is wrong with where a request comes from, or nothing. A page in a browser must not reach
// this server by a name of its own (DNS rebinding) or from another origin.
std::string Desk::stranger(const http::Request& r) const {
  const std::string host = host_name(r.header("host"));
  const bool local = is_loopback(options_.http.host);
  if (local && !is_loopback(host))
    return fmt::format("this server answers to localhost only, not to \"{}\"", host);
  const std::string_view origin = r.header("origin");
  if (!origin.empty() && origin != fmt::format("http://{}", r.header("host")) &&
      origin != fmt::format("https://{}", r.header("host")))
    return "requests of other origins are not answered";
  return "";
}

bool Desk::has_key(const http::Request& r) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (options_.api_key.empty()) return true;
  const std::string_view bearer = r.header("authorization");
  if (bearer.substr(0, kBearer.size()) == kBearer &&
      same_key(bearer.substr(kBearer.size()), options_.api_key))
    return true;
  return same_key(r.header("x-api-key"), options_.api_key);
}

void Desk::handle(const http::Request& request, const ExchangePtr& e) {
  keep_reserve();
  const Route* route = nullptr;
  std::string allowed, id;
  Shape shape = api::openai_error;
  for (const Route& r : routes()) {
    if (!fits(r.path, request.path, id)) continue;
    shape = r.shape;
    if (request.method == r.method) route = &r;
    allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", r.method);
  }
  if (const std::string wrong = stranger(request); !wrong.empty())
    return send(*e, 403, wrong, shape);
  if (const PageFile* file = page_file(request.path); file != nullptr) {
    if (request.method == "GET") return send_page(*file, *e);
    return send(*e, 405, "this takes GET only", shape, "Allow: GET\r\n");
  }
  const bool chats = is_chats_path(request.path);
  if ((route == nullptr || !route->open) && !has_key(request))
    return send(*e, 401, "an API key is needed: Authorization: Bearer KEY", shape,
                "WWW-Authenticate: Bearer\r\n");
  if (route == nullptr && allowed.empty() && !chats)
    return send(*e, 404, fmt::format("there is no \"{}\" here", request.path), shape);
  if (route == nullptr && !chats)
    return send(*e, 405, fmt::format("this takes {} only", allowed), shape,
                fmt::format("Allow: {}\r\n", allowed));
  if (stopping_ && (chats || !route->open)) return send(*e, 503, "the server is stopping", shape);
  Json body;
  const JsonGuard guard(body);
  try {
    if (chats) return answer_chats(options_.chats, request, *e);
    if (!id.empty()) body["id"] = id;
    if (std::string_view(route->method) == "POST") {
      auto parsed = [&] {
        const MayFail may;
        return parse_json(request.body, "the body");
      }();
      if (!parsed) return api::refuse(*e, parsed.error(), shape);
      body = *std::move(parsed);
    }
    (this->*route->run)(body, e);
  } catch (const std::bad_alloc&) {
    send(*e, 503, "not enough memory for the request", shape);
  } catch (const std::exception&) {
    send(*e, 500, "the request could not be handled", shape);
  }
}

// As harnesses ask for it.
void Desk::tokenizer(const Json&, const ExchangePtr& e) {
  const Engine& engine = house_.service->engine();
  const auto named = [&](const char* marker) {
    const auto ids = engine.raw_prompt(marker, true);
    return !ids.empty() && engine.text_of({ids.back()}) == marker ? Json(marker) : Json(nullptr);
  };
  Json j;
  for (const char* name : {"bos", "eos", "pad"})
    j[fmt::format("{}_token", name)] = named(fmt::format("<{}>", name).c_str());
  say(*e, j);
}

void Desk::tokenize(const Json& body, const ExchangePtr& e) {
  std::optional<Error> error;
  api::Fields in(body, error);
  auto text = in.text("content");
  if (!text) text = in.text("prompt");
  if (!text) in.must_be("content", "is missing");
  bool bos = in.flag("add_special").value_or(false);
  bos = in.flag("add_special_tokens").value_or(bos);
  const bool markers = in.flag("parse_special").value_or(true);
  if (error) return api::refuse(*e, *error, api::openai_error);
  const Engine& engine = house_.service->engine();
  std::vector<TokenId> ids = engine.raw_prompt(*text, markers);
  const std::vector<TokenId> start = engine.raw_prompt("", false);
  if (!bos && !start.empty() && text->rfind("<bos>", 0) != 0 && !ids.empty())
    ids.erase(ids.begin());
  Json j;
  j["tokens"] = ids;
  j["count"] = ids.size();
  j["max_model_len"] = engine.info().context;
  say(*e, j);
}

void Desk::detokenize(const Json& body, const ExchangePtr& e) {
  std::optional<Error> error;
  api::Fields in(body, error);
  const Json* tokens = in.array("tokens");
  if (tokens == nullptr) in.must_be("tokens", "is missing");
  std::vector<TokenId> ids;
  const int vocab = house_.service->engine().info().vocab;
  for (std::size_t i = 0; tokens != nullptr && i < tokens->size(); ++i) {
    const Json& id = (*tokens)[i];
    if (id.is_number_integer() && id >= 0 && id < vocab)
      ids.push_back(id.get<TokenId>());
    else
      in.must_be("tokens", fmt::format("must be ids from 0 to {}", vocab - 1));
  }
  if (error) return api::refuse(*e, *error, api::openai_error);
  Json j;
  j["content"] = house_.service->engine().text_of(ids);
  j["prompt"] = j["content"];
  say(*e, j);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> served_paths() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& r : Desk::routes()) out.emplace_back(r.method, r.path);
  return out;
}

bool is_loopback(const std::string& host) {
  const bool number = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "::1" || (number && host.rfind("127.", 0) == 0);
}

Result<std::unique_ptr<Front>> Front::start(Service& service, const FrontOptions& options) {
  keep_reserve();
  auto desk = std::make_unique<Desk>(service, options);
  BEZEL_DO(desk->listen());
  return std::unique_ptr<Front>(std::move(desk));
}

}  // namespace bezel
