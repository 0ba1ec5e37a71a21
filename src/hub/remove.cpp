#include "hub/remove.h"

#include <algorithm>
#include <filesystem>

#include "hub/net/cache.h"

namespace bezel::hub {

namespace fs = std::filesystem;

namespace {

Status remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) return Error{Errc::Io, "cannot remove it: " + error.message(), path.string()};
  return Ok{};
}

Result<std::unique_ptr<FileLock>> lock(const std::string& path) {
  BEZEL_DO(make_folder(fs::path(path).parent_path().string()));
  BEZEL_TRY(auto held, FileLock::try_lock(path));
  if (held) return held;
  return Error{Errc::Busy, "another program is fetching this file just now; try again later", ""};
}

Status remove_pulled_by_url(const LocalModel& model) {
  const fs::path folder = fs::path(model.path).parent_path();
  BEZEL_TRY(const auto held, lock((folder / "lock").string()));
  for (const fs::path& path : {fs::path(model.path), folder / "url", folder / "lock"})
    BEZEL_DO(remove_file(path));
  std::error_code error;
  fs::remove(folder, error);  // stays where something else is inside
  return Ok{};
}

// The links in the model's folder of the snapshot that are its own; what it is opened by is last,
// so that it is found again after an Error.
std::vector<fs::path> links_of(const LocalModel& model) {
  const bool is_folder = model.file.empty();
  const fs::path opened = is_folder ? fs::path(model.path) / "config.json" : fs::path(model.path);
  const auto split = split_of(model.path);
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator it(opened.parent_path(), error), end; !error && it != end;
       it.increment(error)) {
    const auto part = split_of(it->path().string());
    const bool mine =
        is_folder ? !is_gguf_name(it->path().string()) : part && split && part->same_model(*split);
    if (mine && it->path() != opened) out.push_back(it->path());
  }
  out.push_back(opened);
  return out;
}

// The same file with the same contents in the model's other revisions.
std::vector<fs::path> twins_of(const CachedRepo& repo, const LocalModel& model,
                               const fs::path& link) {
  std::vector<fs::path> out;
  const fs::path root = model.path.substr(0, model.path.size() - model.file.size());
  std::error_code error;
  const fs::path contents = fs::read_symlink(link, error);
  for (const std::string& revision : model.revisions) {
    const fs::path twin = fs::path(repo.snapshot(revision)) / link.lexically_relative(root);
    if (twin != link && fs::read_symlink(twin, error) == contents && !error) out.push_back(twin);
  }
  return out;
}

Status remove_from_cache(const CachedRepo& repo, const LocalModel& model) {
  for (const fs::path& link : links_of(model)) {
    std::error_code error;
    const std::string checksum = fs::read_symlink(link, error).filename().string();
    if (error || !repo.is_ours(checksum)) continue;
    BEZEL_TRY(const auto held, lock(repo.lock(checksum)));
    for (const fs::path& twin : twins_of(repo, model, link)) BEZEL_DO(remove_file(twin));
    BEZEL_DO(remove_file(link));
    if (repo.has_link_to(checksum)) continue;
    BEZEL_DO(remove_file(repo.blob(checksum)));
    BEZEL_DO(remove_file(repo.mark(checksum)));
  }
  return Ok{};
}

}  // namespace

Status remove_model(const Places& places, const LocalModel& model,
                    const std::vector<LocalModel>& all) {
  if (model.place == "bezel") return remove_pulled_by_url(model);
  const CachedRepo repo(places.hub_cache, model.repo);
  BEZEL_DO(remove_from_cache(repo, model));
  const bool last = std::none_of(all.begin(), all.end(), [&](const LocalModel& m) {
    return m.repo == model.repo && m.place == model.place && m.path != model.path;
  });
  std::error_code error;
  if (last && fs::is_empty(repo.folder() + "/blobs", error) && !error)
    fs::remove_all(repo.folder(), error);
  return Ok{};
}

}  // namespace bezel::hub
