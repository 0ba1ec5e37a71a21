#include "server/models/routes.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "server/api/fields.h"
#include "server/api/ollama.h"

namespace bezel {

namespace {

using api::Fields;

// What is told of a model; what is not known is 0 or empty.
struct Told {
  StoredModel stored;
  std::optional<LoadedModel> loaded;
  const EngineInfo* info() const { return loaded ? &loaded->service->engine().info() : nullptr; }
};

// The first model and those of the store that can run, each name once.
std::vector<Told> all_models(const ModelsContext& context) {
  std::vector<StoredModel> stored;
  if (context.store != nullptr) stored = context.store->list();
  std::vector<Told> out;
  if (!context.first.empty()) {
    Told first;
    for (const StoredModel& m : stored)
      if (m.path == context.first_path) first.stored = m;
    first.stored.name = context.first;
    first.stored.path = context.first_path;
    out.push_back(std::move(first));
  }
  std::set<std::string> names = {context.first};
  for (StoredModel& m : stored) {
    const bool runs =
        m.architecture.empty() || m.architecture == "gemma3" || m.architecture == "gemma4";
    if (!runs || m.path == context.first_path || !names.insert(m.name).second) continue;
    out.push_back({std::move(m), std::nullopt});
  }
  const auto now = context.loader->loaded();
  for (Told& t : out)
    if (now && now->name == t.stored.name) t.loaded = now;
  return out;
}

// By its name, or by any that the store knows it by.
std::optional<Told> model_of(const ModelsContext& context, const std::string& name) {
  std::string meant = name.empty() ? context.first : name;
  std::vector<Told> all = all_models(context);
  for (int again = 0; again < 2; ++again) {
    for (Told& t : all)
      if (t.stored.name == meant) return std::move(t);
    if (context.store == nullptr) break;
    auto found = context.store->find(name);
    if (!found) break;
    meant = found->model.path == context.first_path ? context.first : found->model.name;
  }
  return std::nullopt;
}

Json openai_entry(const ModelsContext& context, const Told& told) {
  Json j;
  j["id"] = told.stored.name;
  j["object"] = "model";
  j["created"] = context.since;
  j["owned_by"] = "bezel";
  if (const EngineInfo* info = told.info()) {
    j["max_model_len"] = info->context;
    j["meta"]["n_vocab"] = info->vocab;
    j["meta"]["n_ctx_train"] = info->model_context;
  }
  return j;
}

std::string family_of(const Told& told) {
  return told.info() != nullptr ? told.info()->family : told.stored.architecture;
}

Json details(const Told& told) {
  Json d;
  d["parent_model"] = "";
  d["format"] = "gguf";
  d["family"] = family_of(told);
  d["families"] = Json::array({family_of(told)});
  d["parameter_size"] = told.info() != nullptr ? told.info()->variant : "";
  d["quantization_level"] = told.stored.type;
  return d;
}

Json ollama_entry(const Told& told) {
  Json m;
  m["name"] = told.stored.name;
  m["model"] = told.stored.name;
  m["size"] = told.stored.bytes > 0 || told.info() == nullptr ? told.stored.bytes
                                                              : told.info()->memory.mapped;
  m["digest"] = "";
  m["details"] = details(told);
  return m;
}

std::optional<std::string> name_in(Fields& in) {
  auto name = in.text("model");
  if (!name) name = in.text("name");
  if (!name || name->empty()) in.must_be("model", "must be the name of a model");
  return name;
}

Error only_one() {
  return {Errc::Unsupported, "this server has one model and no other (bezel serve --only)", ""};
}

void refuse(const api::ExchangePtr& exchange, const Error& error) {
  api::refuse(*exchange, error, api::ollama_error);
}

}  // namespace

Json openai_models(const ModelsContext& context) {
  Json j;
  j["object"] = "list";
  j["data"] = Json::array();
  for (const Told& t : all_models(context)) j["data"].push_back(openai_entry(context, t));
  return j;
}

bool openai_model(const ModelsContext& context, const std::string& name, Json& out) {
  const auto told = model_of(context, name);
  if (told) out = openai_entry(context, *told);
  return told.has_value();
}

Json ollama_tags(const ModelsContext& context) {
  Json j;
  j["models"] = Json::array();
  for (const Told& t : all_models(context)) {
    Json m = ollama_entry(t);
    m["modified_at"] = api::iso_time(context.since);
    m["bezel"]["place"] = t.stored.place;
    m["bezel"]["ours"] = t.stored.ours;
    m["bezel"]["loaded"] = t.loaded.has_value();
    j["models"].push_back(std::move(m));
  }
  return j;
}

Json ollama_ps(const ModelsContext& context) {
  Json j;
  j["models"] = Json::array();
  const auto left = context.loader->seconds_left();  // first: looking is a use
  for (const Told& t : all_models(context)) {
    if (!t.loaded) continue;
    Json m = ollama_entry(t);
    m["size"] = t.info()->memory.mapped + t.info()->memory.anonymous();
    m["expires_at"] =
        left ? api::iso_time(api::unix_time() + left->count()) : "9999-12-31T23:59:59Z";
    m["size_vram"] = 0;
    m["context_length"] = t.info()->context;
    j["models"].push_back(std::move(m));
  }
  return j;
}

void ollama_show(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  std::string name = in.text("model").value_or("");
  if (name.empty()) name = in.text("name").value_or("");
  if (error) return refuse(exchange, *error);
  const auto told = model_of(context, name);
  if (!told)
    return refuse(exchange,
                  {Errc::NotFound, fmt::format("there is no model \"{}\" here", name), "model"});
  const std::string family = family_of(*told);
  Json j;
  j["modelfile"] = "";
  j["parameters"] = "";
  j["template"] = "";
  j["details"] = details(*told);
  j["model_info"]["general.architecture"] = family;
  if (told->info() != nullptr) j["model_info"][family + ".context_length"] = told->info()->context;
  if (told->stored.layers > 0) j["model_info"][family + ".block_count"] = told->stored.layers;
  j["capabilities"] = Json::array({"completion"});
  if (family == "gemma4")
    for (const char* more : {"tools", "thinking"}) j["capabilities"].push_back(more);
  j["modified_at"] = api::iso_time(context.since);
  exchange->respond(200, "application/json", dump_json(j));
}

void ollama_pull(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const auto name = name_in(in);
  const bool stream = in.flag("stream").value_or(true);
  if (!error && context.pulls == nullptr) error = only_one();
  if (error) return refuse(exchange, *error);
  context.pulls->start(*name, stream, exchange);
}

void ollama_delete(const ModelsContext& context, const Json& body,
                   const api::ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const auto name = name_in(in);
  if (!error && context.store == nullptr) error = only_one();
  if (error) return refuse(exchange, *error);
  const auto found = context.store->find(*name);
  // The very model that was found: another may fit the name in a moment.
  const bool that = found && !found->by_alias;
  const Status removed = context.store->remove(that ? found->model.name : *name);
  if (!removed) return refuse(exchange, removed.error());
  if (that) context.loader->forget(found->model.path);
  exchange->respond(200, "application/json", "{}");
}

void ollama_copy(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange) {
  std::optional<Error> error;
  Fields in(body, error);
  const auto source = in.text("source"), destination = in.text("destination");
  if (!source) in.must_be("source", "must be the name of a model");
  if (!destination) in.must_be("destination", "must be a name");
  if (!error && context.store == nullptr) error = only_one();
  if (error) return refuse(exchange, *error);
  const Status copied = context.store->alias(*source, *destination);
  if (!copied) return refuse(exchange, copied.error());
  exchange->respond(200, "application/json", "{}");
}

}  // namespace bezel
