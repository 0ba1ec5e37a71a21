#include "hub/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/system.h"
#include "hub/name.h"
#include "hub/net/pull.h"
#include "hub/remove.h"

namespace bezel {

Result<std::unique_ptr<ModelStore>> ModelStore::open(const StoreOptions& options) {
  const bool offline = options.offline || hub::offline_by_environment();
  return std::unique_ptr<ModelStore>(
      new hub::Store(hub::Places::from_environment(), hub::Catalogue::load(), offline));
}

}  // namespace bezel

namespace bezel::hub {

namespace fs = std::filesystem;

namespace {

Error not_here(const std::string& name) {
  return {Errc::NotFound,
          fmt::format("there is no model \"{}\" on this machine; `bezel list` shows what is here",
                      name.substr(0, 100)),
          ""};
}

bool is_alias(const std::string& text) {
  return !text.empty() && text.size() <= 64 && text[0] != '.' && text[0] != '-' &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:") ==
             std::string::npos;
}

}  // namespace

std::vector<StoredModel> Store::list() const {
  const std::vector<LocalModel> all = scan(places_);
  std::vector<StoredModel> out(all.begin(), all.end());
  std::stable_sort(out.begin(), out.end(), [](const StoredModel& a, const StoredModel& b) {
    return std::tie(a.place, a.name) < std::tie(b.place, b.name);
  });
  return out;
}

Result<FoundModel> Store::find(const std::string& name) const {
  const std::vector<LocalModel> here = scan(places_);
  const std::string text = meant(name);
  BEZEL_TRY(const Choice found, look(here, text));
  const StoredModel& model = *found.model;
  return FoundModel{model, found.why, text != name};
}

// Among the models that are here; never null.
Result<Choice> Store::look(const std::vector<LocalModel>& here, const std::string& text) const {
  for (const LocalModel& m : here)
    if (m.name == text) return Choice{&m, ""};
  BEZEL_TRY(const ModelName name, parse_name(text));
  const Choice choice =
      choose(here, name, catalogue_ ? *catalogue_ : Catalogue(), free_memory_bytes());
  if (choice.model != nullptr) return choice;
  if (name.kind == ModelName::Kind::Short) BEZEL_DO(catalogue_);
  std::string tag;
  if (name.kind == ModelName::Kind::Short && catalogue_->find(name.name, tag) == nullptr)
    return Error{Errc::NotFound,
                 fmt::format("\"{}\" is neither a file or folder nor a model's name; names are {}, "
                             "owner/repo, or one that `bezel list` shows",
                             text.substr(0, 100), catalogue_->names_text()),
                 ""};
  return not_here(text);
}

Result<Store::Source> Store::source_of(const std::string& asked) const {
  const std::string text = meant(asked);
  BEZEL_TRY(ModelName name, parse_name(text));
  Source out;
  if (name.kind == ModelName::Kind::Short) {
    BEZEL_DO(catalogue_);
    std::string tag, why;
    const CatalogueModel* model = catalogue_->find(name.name, tag);
    if (model == nullptr)
      return Error{Errc::NotFound,
                   fmt::format("there is no model \"{}\"; names are {}, or owner/repo",
                               asked.substr(0, 100), catalogue_->names_text()),
                   ""};
    const hub::Source* from = nullptr;
    if (tag.empty()) {
      from = source_for(*model, free_memory_bytes(), why);
    } else {
      from = model->source(tag);
      why = fmt::format("{} as {}", model->title, tag);
    }
    if (from == nullptr) {
      std::string tags;
      for (const hub::Source& s : model->sources) tags += (tags.empty() ? "" : ", ") + s.tag;
      return Error{Errc::NotFound,
                   fmt::format("{} is not to be had as \"{}\"; there are {}", model->title,
                               tag.substr(0, 40), tags),
                   ""};
    }
    name.kind = ModelName::Kind::Repo;
    name.repo = from->repo;
    name.tag = from->tag;
    out.plan.bytes = from->bytes;
    out.plan.what =
        fmt::format("{}, from {}{}", why, from->repo,
                    from->confirmed ? "" : " (a repository we have not seen ourselves)");
  } else {
    out.plan.what = name.kind == ModelName::Kind::Url ? name.url : name.repo;
  }
  out.name = std::move(name);
  return out;
}

Result<PullPlan> Store::plan(const std::string& name) const {
  BEZEL_TRY(Source source, source_of(name));
  return source.plan;
}

Result<FoundModel> Store::pull(const std::string& name, const PullOptions& options) {
  BEZEL_TRY(const Source source, source_of(name));
  if (offline_)
    return Error{Errc::Unsupported,
                 fmt::format("{} is not pulled: no connection is allowed (--offline, or "
                             "HF_HUB_OFFLINE is set)",
                             name.substr(0, 100)),
                 ""};
  BEZEL_TRY(const Pulled pulled, hub::pull(places_, {source.name, free_memory_bytes()}, options));
  for (const StoredModel& m : list())
    if (m.path == pulled.path) return FoundModel{m, pulled.why};
  FoundModel out;  // a file that is no model, or of a kind that is not listed
  out.model.name = out.model.path = pulled.path;
  out.why = pulled.why;
  return out;
}

// ---- removing

Status Store::remove(const std::string& name) {
  {
    const std::lock_guard lock(aliases_mutex_);
    BEZEL_TRY(Aliases all, aliases());
    if (all.erase(name) > 0) return keep(all);
  }
  const std::vector<LocalModel> here = scan(places_);
  BEZEL_TRY(const Choice found, look(here, name));
  const LocalModel& m = *found.model;
  if (m.ours) return remove_model(places_, m, here);
  return Error{Errc::BadInput,
               fmt::format("{} was not pulled by Bezel ({}); remove it with the tool that it "
                           "belongs to, or delete {}",
                           m.name, m.place, m.path),
               ""};
}

// ---- aliases

Result<Store::Aliases> Store::aliases() const {
  const std::string path = places_.own + "/aliases.json";
  Aliases out;
  if (!is_file(path)) return out;
  BEZEL_TRY(const std::string text, read_file(path, 1U << 20U));
  BEZEL_TRY(Json json, parse_json(text, path));
  const JsonGuard guard(json);
  if (!json.is_object()) return Error{Errc::BadFile, "expected an object of names", path};
  for (const auto& [name, target] : json.items())
    if (target.is_string()) out[name] = target.get<std::string>();
  return out;
}

Status Store::keep(const Aliases& aliases) const {
  Json json = Json::object();
  for (const auto& [name, target] : aliases) json[name] = target;
  const JsonGuard guard(json);
  std::error_code error;
  fs::create_directories(places_.own, error);
  BEZEL_TRY(const auto file, AtomicFile::create(places_.own + "/aliases.json"));
  const std::string text = dump_json(json) + "\n";
  file->write(text.data(), text.size());
  return file->commit();
}

std::string Store::meant(const std::string& name) const {
  const auto all = aliases();
  if (!all) return name;
  const auto at = all->find(name);
  return at == all->end() ? name : at->second;
}

Status Store::alias(const std::string& name, const std::string& alias) {
  if (!is_alias(alias))
    return Error{Errc::BadInput,
                 "an alias has 1 to 64 letters, digits or any of . _ - : and begins with no dot or "
                 "dash",
                 ""};
  BEZEL_TRY(const FoundModel found, find(name));
  const std::lock_guard lock(aliases_mutex_);
  BEZEL_TRY(Aliases all, aliases());
  all[alias] = found.model.name;
  return keep(all);
}

}  // namespace bezel::hub
