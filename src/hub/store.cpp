#include "hub/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/system.h"
#include "hub/name.h"
#include "hub/net/pull.h"

namespace bezel {

Result<std::unique_ptr<ModelStore>> ModelStore::open(const StoreOptions& options) {
  BEZEL_TRY(hub::Catalogue catalogue, hub::Catalogue::load());
  const bool offline = options.offline || hub::offline_by_environment();
  return std::unique_ptr<ModelStore>(
      new hub::Store(hub::Places::from_environment(), std::move(catalogue), offline));
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

Result<FoundModel> Store::find(const std::string& asked) const {
  const std::string text = meant(asked);
  const std::vector<LocalModel> all = scan(places_);
  for (const LocalModel& m : all)
    if (m.name == text) return FoundModel{m, ""};
  BEZEL_TRY(const ModelName name, parse_name(text));
  const Choice choice = choose(all, name, catalogue_, free_memory_bytes());
  if (choice.model != nullptr) return FoundModel{*choice.model, choice.why};
  std::string tag;
  if (name.kind == ModelName::Kind::Short && catalogue_.find(name.name, tag) == nullptr)
    return Error{Errc::NotFound,
                 fmt::format("\"{}\" is neither a file or folder nor a model's name; names are {}, "
                             "owner/repo, or one that `bezel list` shows",
                             asked.substr(0, 100), catalogue_.names_text()),
                 ""};
  return not_here(asked);
}

Result<Store::Source> Store::source_of(const std::string& asked) const {
  const std::string text = meant(asked);
  BEZEL_TRY(ModelName name, parse_name(text));
  Source out;
  out.plan.name = text;
  if (name.kind == ModelName::Kind::Short) {
    std::string tag, why;
    const CatalogueModel* model = catalogue_.find(name.name, tag);
    if (model == nullptr)
      return Error{Errc::NotFound,
                   fmt::format("there is no model \"{}\"; names are {}, or owner/repo",
                               asked.substr(0, 100), catalogue_.names_text()),
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
  for (const LocalModel& m : scan(places_))
    if (m.path == pulled.path) return FoundModel{m, pulled.why};
  FoundModel out;  // a file that is no model, or of a kind that is not listed
  out.model.name = out.model.path = pulled.path;
  out.why = pulled.why;
  return out;
}

// ---- removing

Status Store::remove(const std::string& name) {
  BEZEL_TRY(Aliases all, aliases());
  if (all.erase(name) > 0) return keep(all);
  BEZEL_TRY(const FoundModel found, find(name));
  const std::vector<LocalModel> here = scan(places_);
  for (const LocalModel& m : here) {
    if (m.path != found.model.path) continue;
    if (!m.ours)
      return Error{Errc::BadInput,
                   fmt::format("{} was not pulled by Bezel ({}); remove it with the tool that it "
                               "belongs to, or delete {}",
                               m.name, m.place, m.path),
                   ""};
    return remove_files(m, here);
  }
  return not_here(name);
}

// Blobs go only where no other snapshot of the repository links to them.
Status Store::remove_files(const LocalModel& model, const std::vector<LocalModel>& all) const {
  std::error_code error;
  if (model.place == "bezel") {
    fs::remove_all(fs::path(model.path).parent_path(), error);
    if (error) return Error{Errc::Io, "cannot remove it: " + error.message(), model.path};
    return Ok{};
  }
  const fs::path folder = fs::path(places_.hub_cache) / repo_folder(model.repo);
  std::vector<fs::path> links;
  const bool is_folder = model.file.empty();
  const std::size_t part = model.path.rfind("-00001-of-");
  const fs::path parent = is_folder ? fs::path(model.path) : fs::path(model.path).parent_path();
  for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    const bool is_part = part != std::string::npos && path.size() == model.path.size() &&
                         path.compare(0, part, model.path, 0, part) == 0;
    const bool gguf = path.size() > 5 && path.compare(path.size() - 5, 5, ".gguf") == 0;
    if (is_folder ? !gguf : path == model.path || is_part) links.push_back(it->path());
  }
  std::vector<fs::path> blobs;
  for (const fs::path& link : links) {
    const fs::path target = fs::read_symlink(link, error);
    if (!error) blobs.push_back((link.parent_path() / target).lexically_normal());
    fs::remove(link, error);
    if (error) return Error{Errc::Io, "cannot remove it: " + error.message(), link.string()};
  }
  for (const fs::path& blob : blobs) {
    bool used = false;
    for (fs::recursive_directory_iterator it(folder / "snapshots", error), end;
         !error && it != end && !used; it.increment(error))
      used = fs::is_symlink(it->path()) && fs::equivalent(it->path(), blob, error);
    error.clear();
    const fs::path mark = folder / ".bezel" / blob.filename();
    if (used || !fs::exists(mark)) continue;
    fs::remove(blob, error);
    if (error) return Error{Errc::Io, "cannot remove it: " + error.message(), blob.string()};
    fs::remove(mark, error);
  }
  const auto left = std::count_if(all.begin(), all.end(), [&](const LocalModel& m) {
    return m.repo == model.repo && m.place == model.place && m.path != model.path;
  });
  if (left == 0 && fs::is_empty(folder / "blobs", error)) fs::remove_all(folder, error);
  return Ok{};
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
  BEZEL_TRY(Aliases all, aliases());
  all[alias] = found.model.name;
  return keep(all);
}

}  // namespace bezel::hub
