#include "hub/find/find.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "hub/find/peek.h"

namespace bezel::hub {

namespace fs = std::filesystem;

namespace {

constexpr int kDeepest = 4;                 // folders below the one that is looked through
constexpr std::size_t kMostFiles = 20'000;  // of one place

// Names in a folder, sorted; nothing when it cannot be read.
std::vector<std::string> names_in(const std::string& folder, std::size_t most = kMostFiles) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end && out.size() < most;
       it.increment(error))
    out.push_back(it->path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

// Calls fn(relative path) for every file below `folder`.
void each_file(const std::string& folder, int deepest,
               const std::function<void(const std::string&)>& fn, const std::string& below = "") {
  for (const std::string& name : names_in(folder + below)) {
    const std::string path = below + "/" + name;
    if (is_directory(folder + path)) {
      if (deepest > 0 && name[0] != '.') each_file(folder, deepest - 1, fn, path);
    } else {
      fn(path.substr(1));
    }
  }
}

std::uint64_t size_of(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : static_cast<std::uint64_t>(size);
}

// Of a split model, the bytes of all parts that lie beside the first.
std::uint64_t size_with_parts(const std::string& path) {
  std::uint64_t sum = size_of(path);
  const auto split = split_of(path);
  if (!split) return sum;
  const fs::path folder = fs::path(path).parent_path();
  for (const std::string& name : names_in(folder.string())) {
    const std::string other = (folder / name).string();
    const auto part = split_of(other);
    if (part && part->same_model(*split) && part->part != split->part) sum += size_of(other);
  }
  return sum;
}

bool says_instructed(const std::string& text) {
  const std::string t = lower(text);
  return names_tag(t, "it") || names_tag(t, "instruct") || names_tag(t, "chat");
}

void fill(LocalModel& m, const Peek& peek, const std::string& file_name) {
  m.architecture = peek.architecture;
  m.layers = peek.layers;
  m.type = peek.type.empty() ? type_in_name(file_name) : peek.type;
  // Dynamic mixes state the type of most tensors; the name is more exact.
  if (const std::string named = type_in_name(file_name); !named.empty()) m.type = named;
  m.instructed =
      says_instructed(file_name) || says_instructed(m.repo) || says_instructed(peek.title);
}

// ---- the Hugging Face cache

// One repository of it, while its snapshots are looked through, main's first.
struct CachedModels {
  std::string folder, repo;
  std::map<std::string, std::vector<std::string>> refs;  // by commit
  std::map<std::string, std::size_t> seen;               // contents and name: where in the list
  std::set<std::string> names;                           // given until now
};

// Whether Bezel pulled what a link leads to.
bool is_ours(const CachedModels& models, const std::string& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return !error && is_file(models.folder + "/.bezel/" + target.filename().string());
}

// "owner/repo:file", with "@commit" where that is taken.
std::string cached_name(CachedModels& models, const std::string& commit, const std::string& file) {
  const std::string end = file.empty() ? "" : ":" + file;
  std::string name = models.repo + end;
  if (models.names.insert(name).second) return name;
  return fmt::format("{}@{}{}", models.repo, commit, end);
}

void add_snapshot(CachedModels& models, const std::string& commit, bool current,
                  std::vector<LocalModel>& out) {
  const std::string root = models.folder + "/snapshots/" + commit;
  LocalModel m;
  m.place = "hugging face";
  m.repo = models.repo;
  m.revisions = models.refs[commit];
  m.revisions.push_back(commit);
  m.current = current;
  each_file(root, kDeepest, [&](const std::string& file) {
    if (!is_gguf_name(file) || is_side_file(file) || !is_file(root + "/" + file)) return;
    std::error_code error;
    const fs::path real = fs::canonical(root + "/" + file, error);
    if (error) return;
    const auto [at, is_new] = models.seen.emplace(real.string() + "\n" + file, out.size());
    if (!is_new) {
      auto& all = out[at->second].revisions;
      all.insert(all.end(), m.revisions.begin(), m.revisions.end());
      return;
    }
    LocalModel one = m;
    one.file = file;
    one.name = cached_name(models, commit, file);
    one.path = root + "/" + file;
    one.bytes = size_with_parts(one.path);
    one.ours = is_ours(models, one.path);
    fill(one, peek_file(one.path), file);
    out.push_back(std::move(one));
  });
  const Peek peek = peek_folder(root);
  if (!peek.is_model) return;
  m.name = cached_name(models, commit, "");
  m.path = root;
  m.ours = is_ours(models, root + "/config.json");
  for (const std::string& name : names_in(root)) m.bytes += size_of(root + "/" + name);
  fill(m, peek, models.repo);
  out.push_back(std::move(m));
}

void scan_hub_cache(const std::string& cache, std::vector<LocalModel>& out) {
  for (const std::string& name : names_in(cache)) {
    if (name.rfind("models--", 0) != 0) continue;
    const std::size_t dash = name.find("--", 8);
    if (dash == std::string::npos) continue;
    CachedModels models;
    models.repo = name.substr(8, dash - 8) + "/" + name.substr(dash + 2);
    if (!is_repo(models.repo)) continue;
    models.folder = cache + "/" + name;
    const std::string refs = models.folder + "/refs";
    std::string main;
    each_file(refs, kDeepest, [&](const std::string& ref) {
      const auto commit = read_file(refs + "/" + ref, 100);
      if (!commit) return;
      models.refs[*commit].push_back(ref);
      if (ref == "main") main = *commit;
    });
    std::vector<std::string> commits = names_in(models.folder + "/snapshots", 1000);
    const auto others = std::stable_partition(commits.begin(), commits.end(),
                                              [&](const auto& c) { return c == main; });
    const bool main_here = others != commits.begin();
    for (const std::string& commit : commits)
      add_snapshot(models, commit, !main_here || commit == main, out);
  }
}

// ---- Ollama's store

// The weights of a manifest; empty when it has none, or a digest is not what it must be.
std::string ollama_blob(const std::string& store, const std::string& manifest) {
  const auto text = read_file(manifest, 1U << 20U);
  if (!text) return "";
  auto json = parse_json(*text, manifest);
  if (!json || !json->is_object()) return "";
  const JsonGuard guard(*json);
  const auto layers = json->find("layers");
  if (layers == json->end() || !layers->is_array()) return "";
  for (const Json& layer : *layers) {
    if (!layer.is_object()) continue;
    const auto type = json_get<std::string>(layer, "mediaType", "");
    const auto digest = json_get<std::string>(layer, "digest", "");
    if (!type || !digest || *type != "application/vnd.ollama.image.model") continue;
    if (digest->rfind("sha256:", 0) != 0 || !is_hex(digest->substr(7), 64)) return "";
    return store + "/blobs/sha256-" + digest->substr(7);
  }
  return "";
}

void scan_ollama(const std::string& store, std::vector<LocalModel>& out) {
  const std::string manifests = store + "/manifests";
  each_file(manifests, kDeepest, [&](const std::string& file) {
    // HOST/NAMESPACE/MODEL/TAG
    std::vector<std::string> parts;
    std::size_t at = 0;
    for (std::size_t slash; (slash = file.find('/', at)) != std::string::npos; at = slash + 1)
      parts.push_back(file.substr(at, slash - at));
    parts.push_back(file.substr(at));
    if (parts.size() != 4) return;
    LocalModel m;
    m.place = "ollama";
    m.path = ollama_blob(store, manifests + "/" + file);
    const Peek peek = m.path.empty() ? Peek() : peek_file(m.path);
    if (!peek.is_model) return;
    const bool library = parts[0] == "registry.ollama.ai" && parts[1] == "library";
    m.name = library ? fmt::format("{}:{}", parts[2], parts[3])
                     : fmt::format("{}/{}:{}", parts[1], parts[2], parts[3]);
    if (parts[0] == "hf.co" || parts[0] == "huggingface.co") m.repo = parts[1] + "/" + parts[2];
    m.bytes = size_of(m.path);
    fill(m, peek, parts[2] + ":" + parts[3]);
    m.instructed = m.instructed || library;  // the library's models answer unless they say "text"
    if (lower(parts[3]).find("text") != std::string::npos ||
        lower(parts[3]).find("base") != std::string::npos)
      m.instructed = false;
    out.push_back(std::move(m));
  });
}

// ---- folders of files

void scan_files(const std::string& folder, const char* place, int deepest,
                std::vector<LocalModel>& out) {
  each_file(folder, deepest, [&](const std::string& file) {
    if (!is_gguf_name(file) || is_side_file(file)) return;
    LocalModel m;
    m.place = place;
    m.path = folder + "/" + file;
    const Peek peek = peek_file(m.path);
    if (!peek.is_model) return;
    m.file = fs::path(file).filename().string();
    m.name = m.file;
    const std::size_t owner = file.find('/');
    const std::size_t repo = owner == std::string::npos ? owner : file.find('/', owner + 1);
    if (repo != std::string::npos && is_repo(file.substr(0, repo))) {
      m.repo = file.substr(0, repo);
      m.name = m.repo + ":" + file.substr(repo + 1);
    }
    m.bytes = size_with_parts(m.path);
    fill(m, peek, file);
    out.push_back(std::move(m));
  });
}

// Bezel's own folder: what a user put there, and url/HASH/ with a file and the URL that it came
// from.
void scan_own(const std::string& own, std::vector<LocalModel>& out) {
  const std::size_t first = out.size();
  scan_files(own, "bezel", 0, out);
  const std::size_t by_url = out.size();
  scan_files(own + "/url", "bezel", 2, out);
  for (std::size_t i = first; i < out.size(); ++i) {
    LocalModel& m = out[i];
    m.repo.clear();
    m.name = m.file;
    if (i < by_url) continue;
    const fs::path folder = fs::path(m.path).parent_path();
    m.ours = is_hex(folder.filename().string(), 16) && folder.parent_path() == own + "/url";
    const auto url = read_file((folder / "url").string(), 4096);
    if (m.ours && url) m.url = *url;
    const bool taken = std::any_of(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(i),
                                   [&](const LocalModel& o) { return o.name == m.file; });
    if (taken && !m.url.empty()) m.name = m.url;
  }
}

// ---- choosing

bool fits(const LocalModel& m, const CatalogueModel& wanted) {
  return m.architecture == wanted.architecture && m.layers == wanted.layers;
}

bool is_of(const LocalModel& m, const std::string& revision) {
  return revision == "main" ||
         std::find(m.revisions.begin(), m.revisions.end(), revision) != m.revisions.end();
}

bool fits_tag(const LocalModel& m, const std::string& tag, const CatalogueModel* known) {
  if (tag.empty()) return true;
  if (lower(m.type) == tag || names_tag(m.file, tag)) return true;
  const Source* s = known != nullptr ? known->source(tag) : nullptr;
  if (s == nullptr) return names_tag(m.repo, tag);
  // "qat" is a repository's property, "q4_0" that of any file.
  if (s->tag != tag) return names_tag(m.repo, tag) || names_tag(m.file, tag) || m.repo == s->repo;
  return false;
}

// The best of the candidates: a repository's main before its older commits, instructed before not,
// then the largest that fits into half of the free memory, else the smallest.
const LocalModel* best_of(const std::vector<const LocalModel*>& candidates,
                          std::uint64_t free_memory) {
  const auto fits_memory = [&](const LocalModel* m) { return m->bytes <= free_memory / 2; };
  return *std::min_element(candidates.begin(), candidates.end(),
                           [&](const LocalModel* a, const LocalModel* b) {
                             if (a->current != b->current) return a->current;
                             if (a->instructed != b->instructed) return a->instructed;
                             if (fits_memory(a) != fits_memory(b)) return fits_memory(a);
                             return fits_memory(a) ? a->bytes > b->bytes : a->bytes < b->bytes;
                           });
}

std::string reason(const LocalModel& m, std::size_t candidates) {
  std::string out =
      fmt::format("using {} ({}{:.1f} GB, {})", m.name, m.type.empty() ? "" : m.type + ", ",
                  static_cast<double>(m.bytes) / 1e9,
                  m.place == "bezel" ? "Bezel's folder" : "from " + m.place);
  if (!m.instructed) out += "; its names do not say that it was trained to answer";
  if (candidates > 1) out += fmt::format(", one of {} here that fit the name", candidates);
  return out;
}

}  // namespace

std::string repo_folder(const std::string& repo) {
  std::string out = "models--" + repo;
  out.replace(out.find('/'), 1, "--");
  return out;
}

std::vector<LocalModel> scan(const Places& places) {
  std::vector<LocalModel> out;
  scan_hub_cache(places.hub_cache, out);
  for (const std::string& store : places.ollama) scan_ollama(store, out);
  for (const std::string& folder : places.llama_cpp) scan_files(folder, "llama.cpp", 0, out);
  for (const std::string& folder : places.lm_studio) scan_files(folder, "lm studio", 3, out);
  scan_own(places.own, out);
  return out;
}

Choice choose(const std::vector<LocalModel>& all, const ModelName& name, const Catalogue& catalogue,
              std::uint64_t free_memory) {
  std::vector<const LocalModel*> candidates;
  std::string tag = name.tag;
  const CatalogueModel* known = nullptr;
  if (name.kind == ModelName::Kind::Short) {
    for (const LocalModel& m : all)  // a name as `bezel list` prints it
      if (lower(m.name) == name.name) return {&m, ""};
    known = catalogue.find(name.name, tag);
    if (known == nullptr) return {};
  }
  for (const LocalModel& m : all) {
    const bool it = name.kind == ModelName::Kind::Short ? fits(m, *known)
                    : name.kind == ModelName::Kind::Repo
                        ? lower(m.repo) == lower(name.repo) &&
                              (name.file.empty() || m.file == name.file) && is_of(m, name.revision)
                        : m.url == name.url;
    if (it && fits_tag(m, tag, known)) candidates.push_back(&m);
  }
  if (candidates.empty()) return {};
  const LocalModel* best = best_of(candidates, free_memory);
  const bool exact = name.kind == ModelName::Kind::Repo && !name.file.empty();
  return {best, exact ? "" : reason(*best, candidates.size())};
}

}  // namespace bezel::hub
