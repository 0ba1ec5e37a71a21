#include "hub/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "hub/find/places.h"
#include "hub/name.h"

namespace bezel::hub {

extern const char* const kBuiltInCatalogue;  // made from catalogue.json by CMake

namespace {

constexpr std::uint64_t kMostBytes = 1U << 20U;

Error wrong(const std::string& what) {
  return {Errc::BadFile, what, ""};
}

Result<std::vector<std::string>> texts(const Json& object, const char* key, bool needed) {
  std::vector<std::string> out;
  const auto at = object.find(key);
  if (at == object.end() && !needed) return out;
  if (at == object.end() || !at->is_array())
    return wrong(fmt::format("\"{}\" must be a list of texts", key));
  for (const Json& one : *at) {
    if (!one.is_string()) return wrong(fmt::format("\"{}\" must be a list of texts", key));
    out.push_back(lower(one.get<std::string>()));
  }
  if (needed && out.empty()) return wrong(fmt::format("\"{}\" is empty", key));
  return out;
}

Result<Source> source_from(const Json& json) {
  if (!json.is_object()) return wrong("a source must be an object");
  Source out;
  BEZEL_TRY(const std::string tag, json_get<std::string>(json, "tag", ""));
  BEZEL_TRY(out.repo, json_get<std::string>(json, "repo", ""));
  BEZEL_TRY(const double gb, json_get<double>(json, "gb", 0.0));
  BEZEL_TRY(const std::string seen, json_get<std::string>(json, "seen", ""));
  BEZEL_TRY(out.also, texts(json, "also", false));
  out.tag = lower(tag);
  out.confirmed = seen != "guess";
  if (out.tag.empty()) return wrong("a source has no \"tag\"");
  if (!is_repo(out.repo))
    return wrong(fmt::format("\"{}\" is no repository (owner/name)", out.repo));
  if (!(gb >= 0) || gb > 1e6) return wrong("\"gb\" must be between 0 and 1000000");
  out.bytes = static_cast<std::uint64_t>(gb * 1e9);
  return out;
}

Result<CatalogueModel> model_from(const Json& json) {
  if (!json.is_object()) return wrong("a model must be an object");
  CatalogueModel out;
  BEZEL_TRY(out.names, texts(json, "names", true));
  BEZEL_TRY(out.title, json_get<std::string>(json, "title", out.names[0]));
  BEZEL_TRY(out.architecture, json_get<std::string>(json, "architecture", ""));
  BEZEL_TRY(const std::int64_t layers, json_get<std::int64_t>(json, "layers", 0));
  if (layers < 0 || layers > 10000) return wrong("\"layers\" must be between 0 and 10000");
  out.layers = static_cast<int>(layers);
  BEZEL_TRY(out.automatic, texts(json, "auto", true));
  const auto sources = json.find("sources");
  if (sources == json.end() || !sources->is_array() || sources->empty())
    return wrong("\"sources\" must be a list");
  for (const Json& one : *sources) {
    BEZEL_TRY(Source source, source_from(one));
    out.sources.push_back(std::move(source));
  }
  for (const std::string& tag : out.automatic)
    if (out.source(tag) == nullptr)
      return wrong(fmt::format("\"auto\" names {}, which is no source's tag", tag));
  return out;
}

}  // namespace

const Source* CatalogueModel::source(const std::string& tag) const {
  for (const Source& s : sources)
    if (s.tag == tag || std::find(s.also.begin(), s.also.end(), tag) != s.also.end()) return &s;
  return nullptr;
}

Result<Catalogue> Catalogue::load() {
  if (const char* path = std::getenv("BEZEL_CATALOGUE"); path != nullptr && *path != '\0') {
    BEZEL_TRY(const std::string text, read_file(path, kMostBytes));
    return parse(text, path);
  }
  const std::string own = config_folder() + "/catalogue.json";
  if (is_file(own)) {
    BEZEL_TRY(const std::string text, read_file(own, kMostBytes));
    return parse(text, own);
  }
  return parse(kBuiltInCatalogue, "the built-in catalogue");
}

Result<Catalogue> Catalogue::parse(const std::string& json, const std::string& where) {
  auto out = parsed(json, where);
  if (out) return out;
  const Error& e = out.error();
  return Error{
      Errc::BadFile,
      fmt::format("this catalogue of models is wrong: {}", e.where == where ? e.what : e.text()),
      where};
}

Result<Catalogue> Catalogue::parsed(const std::string& text, const std::string& where) {
  BEZEL_TRY(Json json, parse_json(text, where));
  const JsonGuard guard(json);
  const auto models = json.is_object() ? json.find("models") : json.end();
  if (models == json.end() || !models->is_array())
    return wrong("it must be an object with a list \"models\"");
  Catalogue out;
  for (const Json& one : *models) {
    BEZEL_TRY(CatalogueModel model, model_from(one));
    out.models_.push_back(std::move(model));
  }
  return out;
}

const CatalogueModel* Catalogue::find(const std::string& name, std::string& tag) const {
  const CatalogueModel* found = nullptr;
  std::size_t longest = 0;
  for (const CatalogueModel& m : models_)
    for (const std::string& one : m.names) {
      const bool begins = name.compare(0, one.size(), one) == 0 &&
                          (name.size() == one.size() || name[one.size()] == ':');
      if (!begins || one.size() <= longest) continue;
      found = &m;
      longest = one.size();
    }
  if (found != nullptr) tag = name.size() > longest ? name.substr(longest + 1) : "";
  return found;
}

std::string Catalogue::names_text() const {
  std::string out;
  for (const CatalogueModel& m : models_) out += (out.empty() ? "" : ", ") + m.names[0];
  return out;
}

const Source* source_for(const CatalogueModel& model, std::uint64_t free_memory, std::string& why) {
  const auto gb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  const Source* smallest = &model.sources[0];
  for (const std::string& tag : model.automatic) {
    const Source* s = model.source(tag);
    if (s->bytes <= free_memory / 2) {
      why = fmt::format("{} as {}: its {:.1f} GB fit into half of the {:.1f} GB of free memory",
                        model.title, s->tag, gb(s->bytes), gb(free_memory));
      return s;
    }
  }
  for (const Source& s : model.sources)
    if (s.bytes < smallest->bytes) smallest = &s;
  why = fmt::format("{} as {}, the smallest there is: {:.1f} GB, with {:.1f} GB of free memory",
                    model.title, smallest->tag, gb(smallest->bytes), gb(free_memory));
  return smallest;
}

}  // namespace bezel::hub
