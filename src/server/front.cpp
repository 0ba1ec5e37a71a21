#include "server/front.h"

#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <utility>

#include "server/api/anthropic.h"
#include "server/api/ollama.h"
#include "server/api/openai/openai.h"
#include "server/api/openai/store.h"
#include "server/chats/routes.h"
#include "server/http/escape.h"
#include "server/metrics.h"
#include "server/models/pulls.h"
#include "server/models/routes.h"
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

// Whether a path is one of `pattern`, which ends in "{id}": then its last part is the id.
bool fits(std::string_view pattern, std::string_view path, std::string& id) {
  constexpr std::string_view kId = "{id}";
  if (pattern.size() < kId.size() || pattern.substr(pattern.size() - kId.size()) != kId)
    return false;
  pattern.remove_suffix(kId.size());
  if (path.substr(0, pattern.size()) != pattern || path.size() == pattern.size()) return false;
  path.remove_prefix(pattern.size());
  if (path.find('/') != std::string_view::npos) return false;
  id = http::unescaped(path);
  return true;
}

// Whether a request says that it has more bytes behind its header.
bool has_more_than(const http::Request& r, std::size_t bytes) {
  const std::string_view text = r.header("content-length");
  std::size_t length = 0;
  std::from_chars(text.data(), text.data() + text.size(), length);
  return length > bytes || (bytes == 0 && !r.header("transfer-encoding").empty());
}

// A request that was taken.
struct Asked {
  Asked(http::Request r, std::string i, ExchangePtr e)
      : request(std::move(r)), id(std::move(i)), exchange(std::move(e)) {}
  http::Request request;
  std::string id;  // from its path
  Json body;
  const JsonGuard guard{body};
  ExchangePtr exchange;
  api::Context context;  // of routes that need a model
};

enum class Needs { Nothing, Key, Model };  // Model: a key as well

class Router final : public Front {
 public:
  Router(Loader& loader, FrontOptions options) : options_(std::move(options)), loader_(loader) {
    if (options_.store != nullptr) pulls_ = Pulls::make(*options_.store);
    models_ = {&loader_,       options_.store,      pulls_.get(),
               options_.model, options_.model_path, api::unix_time()};
  }
  ~Router() override {
    if (pulls_ != nullptr) pulls_->stop();  // it holds connections of the server
  }
  Status listen(std::unique_ptr<http::Server> opened) {
    server_ = std::move(opened);
    return server_->serve(
        [this](http::Request r, const ExchangePtr& e) { handle(std::move(r), e); },
        [this](const http::Request& r) { return admit(r); });
  }
  std::uint16_t port() const override { return server_->port(); }
  void stop(std::chrono::milliseconds grace) override {
    stopping_ = true;
    if (pulls_ != nullptr) pulls_->stop();
    server_->stop(grace);
  }

 private:
  using Shape = api::ErrorShape;
  struct Route {
    const char *method, *path;
    Shape shape;
    Needs needs;
    void (Router::*run)(const Asked& a);
    std::size_t most_bytes = SIZE_MAX;  // of a body
  };
  // Where a request leads: to a route or a file of the page, or nowhere.
  struct Place {
    const Route* route = nullptr;
    const PageFile* file = nullptr;
    std::string allowed, id;  // methods of this path
    Shape shape = api::openai_error;
  };
  static const std::vector<Route>& routes();
  friend std::vector<std::pair<std::string, std::string>> bezel::served_paths();
  static Place place_of(const http::Request& request);
  static void send(http::Exchange& e, int status, std::string what, Shape shape) {
    e.respond(status, "application/json", shape({Errc::BadInput, std::move(what), ""}, status));
  }
  static void say(http::Exchange& e, const Json& j) {
    e.respond(200, "application/json", dump_json(j));
  }
  std::optional<http::Refusal> admit(const http::Request& request) const;
  void handle(http::Request request, const ExchangePtr& e);
  void find_model(const Route& route, const std::shared_ptr<Asked>& asked);
  void run(const Route& route, const Asked& asked);
  std::string stranger(const http::Request& request) const;
  bool has_key(const http::Request& request) const;

  // A handler of an API, which needs the body alone.
  template <void (*kHandler)(const api::Context&, const Json&, const ExchangePtr&)>
  void from_body(const Asked& a) {
    kHandler(a.context, a.body, a.exchange);
  }
  template <Json (*kList)(const ModelsContext&)>
  void listed(const Asked& a) {
    say(*a.exchange, kList(models_));
  }
  template <void (*kHandler)(const ModelsContext&, const Json&, const ExchangePtr&)>
  void of_models(const Asked& a) {
    kHandler(models_, a.body, a.exchange);
  }
  template <void (*kHandler)(const ChatAsk&)>
  void chats(const Asked& a) {
    if (options_.chats == nullptr)
      return send(*a.exchange, 404, "chats are not saved here (bezel serve --chats FILE)",
                  api::openai_error);
    kHandler({*options_.chats, a.request, a.id, a.body, *a.exchange});
  }
  void kept(const Asked& a) { api::openai_kept_response(*responses_, a.id, a.exchange); }
  void forget(const Asked& a) { api::openai_forget_response(*responses_, a.id, a.exchange); }
  void version(const Asked& a) {
    Json j;
    j["version"] = BEZEL_VERSION;
    say(*a.exchange, j);
  }
  void one_model(const Asked& a) {
    Json j;
    if (openai_model(models_, a.id, j)) return say(*a.exchange, j);
    send(*a.exchange, 404, fmt::format("there is no model \"{}\" here", a.id), api::openai_error);
  }
  void health(const Asked& a) {
    a.exchange->respond(200, "application/json", R"({"status":"ok"})");
  }
  void ready(const Asked& a) {
    if (!stopping_) return health(a);
    send(*a.exchange, 503, "the server is stopping", api::openai_error);
  }
  void metrics(const Asked& a) {
    a.exchange->respond(200, "text/plain; version=0.0.4; charset=utf-8",
                        metrics_text(loader_.load(), server_->connections()));
  }
  void document(const Asked& a) {
    const auto now = loader_.loaded();
    say(*a.exchange, openapi(now ? &now->service->engine().info() : nullptr));
  }
  void page(const Asked& a) { say(*a.exchange, page_facts(models_, options_.chats != nullptr)); }
  void tokenizer(const Asked& a);
  void tokenize(const Asked& a);
  void detokenize(const Asked& a);

  FrontOptions options_;
  Loader& loader_;
  std::unique_ptr<Pulls> pulls_;
  ModelsContext models_;
  std::shared_ptr<api::ResponseStore> responses_ = std::make_shared<api::ResponseStore>();
  std::atomic<bool> stopping_{false};
  std::unique_ptr<http::Server> server_;
};

const std::vector<Router::Route>& Router::routes() {
  constexpr Shape kOpenAi = api::openai_error, kAnthropic = api::anthropic_error,
                  kOllama = api::ollama_error;
  constexpr Needs kOpen = Needs::Nothing, kKey = Needs::Key, kModel = Needs::Model;
  using R = Router;
  static const std::vector<Route> all = {
      {"GET", "/health", kOpenAi, kOpen, &R::health},
      {"GET", "/ready", kOpenAi, kOpen, &R::ready},
      {"GET", "/metrics", kOpenAi, kKey, &R::metrics},
      {"GET", "/page.json", kOpenAi, kKey, &R::page},
      {"GET", "/chats", kOpenAi, kKey, &R::chats<list_chats>},
      {"GET", "/chats/export", kOpenAi, kKey, &R::chats<export_chats>},
      {"GET", "/chats/{id}", kOpenAi, kKey, &R::chats<get_chat>},
      {"PUT", "/chats/{id}", kOpenAi, kKey, &R::chats<put_chat>, kMostChatBytes},
      {"DELETE", "/chats/{id}", kOpenAi, kKey, &R::chats<delete_chat>},
      {"GET", "/v1/models", kOpenAi, kKey, &R::listed<openai_models>},
      {"GET", "/v1/models/{id}", kOpenAi, kKey, &R::one_model},
      {"POST", "/v1/chat/completions", kOpenAi, kModel, &R::from_body<api::openai_chat>},
      {"POST", "/v1/completions", kOpenAi, kModel, &R::from_body<api::openai_completions>},
      {"POST", "/v1/responses", kOpenAi, kModel, &R::from_body<api::openai_responses>},
      {"GET", "/v1/responses/{id}", kOpenAi, kKey, &R::kept},
      {"DELETE", "/v1/responses/{id}", kOpenAi, kKey, &R::forget},
      {"POST", "/v1/embeddings", kOpenAi, kModel, &R::from_body<api::openai_embeddings>},
      {"POST", "/v1/messages", kAnthropic, kModel, &R::from_body<api::anthropic_messages>},
      {"POST", "/v1/messages/count_tokens", kAnthropic, kModel,
       &R::from_body<api::anthropic_count>},
      {"POST", "/api/chat", kOllama, kModel, &R::from_body<api::ollama_chat>},
      {"POST", "/api/generate", kOllama, kModel, &R::from_body<api::ollama_generate>},
      {"POST", "/api/show", kOllama, kKey, &R::of_models<ollama_show>},
      {"GET", "/api/tags", kOllama, kKey, &R::listed<ollama_tags>},
      {"GET", "/api/ps", kOllama, kKey, &R::listed<ollama_ps>},
      {"POST", "/api/pull", kOllama, kKey, &R::of_models<ollama_pull>},
      {"DELETE", "/api/delete", kOllama, kKey, &R::of_models<ollama_delete>},
      {"POST", "/api/copy", kOllama, kKey, &R::of_models<ollama_copy>},
      {"GET", "/api/version", kOllama, kKey, &R::version},
      {"GET", "/openapi.json", kOpenAi, kKey, &R::document},
      {"GET", "/tokenizer_info", kOpenAi, kModel, &R::tokenizer},
      {"POST", "/tokenize", kOpenAi, kModel, &R::tokenize},
      {"POST", "/detokenize", kOpenAi, kModel, &R::detokenize},
  };
  return all;
}

// A path's own route wins over one with an id.
Router::Place Router::place_of(const http::Request& request) {
  Place p;
  p.file = page_file(request.path);
  if (p.file != nullptr) p.allowed = "GET";
  for (const bool with_id : {false, true}) {
    if (!p.allowed.empty()) break;
    for (const Route& r : routes()) {
      if (with_id ? !fits(r.path, request.path, p.id) : request.path != r.path) continue;
      p.shape = r.shape;
      if (request.method == r.method) p.route = &r;
      p.allowed += fmt::format("{}{}", p.allowed.empty() ? "" : ", ", r.method);
    }
  }
  return p;
}

// What is wrong with where a request comes from, or nothing. A page in a browser must not reach
// this server by a name of its own (DNS rebinding) or from another origin.
std::string Router::stranger(const http::Request& r) const {
  const std::string host = host_name(r.header("host"));
  const bool local = is_loopback(options_.http.host);
  if (local && !is_loopback(host))
    return fmt::format("this server answers to localhost only, not to \"{}\"", host);
  // Pictures and links of other pages send no Origin; browsers say so otherwise.
  const std::string_view site = r.header("sec-fetch-site");
  if (page_file(r.path) == nullptr && (site == "cross-site" || site == "same-site"))
    return "requests of other origins are not answered";
  const std::string_view origin = r.header("origin");
  if (!origin.empty() && origin != fmt::format("http://{}", r.header("host")) &&
      origin != fmt::format("https://{}", r.header("host")))
    return "requests of other origins are not answered";
  return "";
}

bool Router::has_key(const http::Request& r) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (options_.api_key.empty()) return true;
  const std::string_view bearer = r.header("authorization");
  if (bearer.substr(0, kBearer.size()) == kBearer &&
      same_key(bearer.substr(kBearer.size()), options_.api_key))
    return true;
  return same_key(r.header("x-api-key"), options_.api_key);
}

// Who may not ask, and what leads nowhere, is answered before a body is read.
std::optional<http::Refusal> Router::admit(const http::Request& request) const {
  const Place at = place_of(request);
  const auto no = [&](int status, std::string what, std::string more = "") {
    return http::Refusal{status, at.shape({Errc::BadInput, std::move(what), ""}, status),
                         std::move(more)};
  };
  if (std::string wrong = stranger(request); !wrong.empty()) return no(403, std::move(wrong));
  const bool open =
      at.file != nullptr || (at.route != nullptr && at.route->needs == Needs::Nothing);
  if (!open && !has_key(request))
    return no(401, "an API key is needed: Authorization: Bearer KEY",
              "WWW-Authenticate: Bearer\r\n");
  if (at.allowed.empty()) return no(404, fmt::format("there is no \"{}\" here", request.path));
  if (at.file == nullptr ? at.route == nullptr : request.method != "GET")
    return no(405, fmt::format("this takes {} only", at.allowed),
              fmt::format("Allow: {}\r\n", at.allowed));
  if (stopping_ && !open) return no(503, "the server is stopping");
  const std::size_t most = open ? 0 : at.route->most_bytes;
  if (has_more_than(request, most))
    return no(413,
              open ? "this takes no body" : fmt::format("the body has more than {} bytes", most));
  return std::nullopt;
}

// Bodies of other requests mean nothing.
bool has_body(const http::Request& request) {
  return request.method == "POST" || request.method == "PUT" ||
         (request.method == "DELETE" && !request.body.empty());
}

void Router::handle(http::Request request, const ExchangePtr& e) {
  keep_reserve();
  Place at = place_of(request);
  if (at.file != nullptr) return send_page(*at.file, *e);
  const Route& route = *at.route;  // it was admitted
  if (request.body.size() > route.most_bytes)
    return send(*e, 413, fmt::format("the body has more than {} bytes", route.most_bytes),
                route.shape);
  try {
    const auto asked = std::make_shared<Asked>(std::move(request), std::move(at.id), e);
    if (has_body(asked->request)) {
      auto parsed = [&] {
        const MayFail may;
        return parse_json(asked->request.body, "the body");
      }();
      if (!parsed) return api::refuse(*e, parsed.error(), route.shape);
      asked->body = *std::move(parsed);
      asked->request.body = std::string();
    }
    if (route.needs == Needs::Model) return find_model(route, asked);
    run(route, *asked);
  } catch (const std::bad_alloc&) {
    send(*e, 503, "not enough memory for the request", route.shape);
  } catch (const std::exception&) {
    send(*e, 500, "the request could not be handled", route.shape);
  }
}

// Runs the handler when the model that the body names is loaded: now, or later on another thread.
void Router::find_model(const Route& route, const std::shared_ptr<Asked>& asked) {
  std::optional<Error> error;
  std::string name;
  Loader::KeepAlive keep_alive;
  if (!asked->body.is_null()) {
    api::Fields in(asked->body, error);
    name = in.text("model").value_or("");
    if (route.shape == api::ollama_error && name.empty()) name = in.text("name").value_or("");
    if (route.shape == api::ollama_error) keep_alive = api::read_keep_alive(asked->body, error);
  }
  if (error) return api::refuse(*asked->exchange, *error, route.shape);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  asked->exchange->on_gone([gone] { *gone = true; });
  loader_.with(name, keep_alive, gone,
               [this, &route, asked, keep_alive](Result<LoadedModel> model) {
                 if (!model) return api::refuse(*asked->exchange, model.error(), route.shape);
                 asked->context = {model->service, model->name, responses_, model->use,
                                   keep_alive == std::chrono::seconds(0)};
                 run(route, *asked);
                 asked->context = {};
               });
}

void Router::run(const Route& route, const Asked& asked) {
  try {
    (this->*route.run)(asked);
    return;
  } catch (const std::bad_alloc&) {
    send(*asked.exchange, 503, "not enough memory for the request", route.shape);
  } catch (const std::exception&) {
    send(*asked.exchange, 500, "the request could not be handled", route.shape);
  }
}

// As harnesses ask for it.
void Router::tokenizer(const Asked& a) {
  const Engine& engine = a.context.service->engine();
  const auto named = [&](const char* marker) {
    const auto ids = engine.raw_prompt(marker, true);
    return !ids.empty() && engine.text_of({ids.back()}) == marker ? Json(marker) : Json(nullptr);
  };
  Json j;
  for (const char* name : {"bos", "eos", "pad"})
    j[fmt::format("{}_token", name)] = named(fmt::format("<{}>", name).c_str());
  say(*a.exchange, j);
}

void Router::tokenize(const Asked& a) {
  std::optional<Error> error;
  api::Fields in(a.body, error);
  auto text = in.text("content");
  if (!text) text = in.text("prompt");
  if (!text) in.must_be("content", "is missing");
  bool bos = in.flag("add_special").value_or(false);
  bos = in.flag("add_special_tokens").value_or(bos);
  const bool markers = in.flag("parse_special").value_or(true);
  if (error) return api::refuse(*a.exchange, *error, api::openai_error);
  const Engine& engine = a.context.service->engine();
  std::vector<TokenId> ids = engine.raw_prompt(*text, markers);
  const std::vector<TokenId> start = engine.raw_prompt("", false);
  if (!bos && !start.empty() && text->rfind("<bos>", 0) != 0 && !ids.empty())
    ids.erase(ids.begin());
  Json j;
  j["tokens"] = ids;
  j["count"] = ids.size();
  j["max_model_len"] = engine.info().context;
  say(*a.exchange, j);
}

void Router::detokenize(const Asked& a) {
  std::optional<Error> error;
  api::Fields in(a.body, error);
  const Json* tokens = in.array("tokens");
  if (tokens == nullptr) in.must_be("tokens", "is missing");
  std::vector<TokenId> ids;
  const int vocab = a.context.service->engine().info().vocab;
  for (std::size_t i = 0; tokens != nullptr && i < tokens->size(); ++i) {
    const Json& id = (*tokens)[i];
    if (id.is_number_integer() && id >= 0 && id < vocab)
      ids.push_back(id.get<TokenId>());
    else
      in.must_be("tokens", fmt::format("must be ids from 0 to {}", vocab - 1));
  }
  if (error) return api::refuse(*a.exchange, *error, api::openai_error);
  Json j;
  j["content"] = a.context.service->engine().text_of(ids);
  j["prompt"] = j["content"];
  say(*a.exchange, j);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> served_paths() {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& r : Router::routes()) out.emplace_back(r.method, r.path);
  return out;
}

bool is_loopback(const std::string& host) {
  const bool number = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "::1" || (number && host.rfind("127.", 0) == 0);
}

Result<std::unique_ptr<Front>> Front::start(Loader& loader, const FrontOptions& options,
                                            std::unique_ptr<http::Server> opened) {
  keep_reserve();
  if (opened == nullptr) {
    BEZEL_TRY(opened, http::Server::open(options.http));
  }
  auto router = std::make_unique<Router>(loader, options);
  BEZEL_DO(router->listen(std::move(opened)));
  return std::unique_ptr<Front>(std::move(router));
}

}  // namespace bezel
