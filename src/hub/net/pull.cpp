#include "hub/net/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "hub/net/blob.h"
#include "hub/net/cache.h"
#include "hub/net/sha.h"

namespace bezel::hub {

namespace {

constexpr std::uint64_t kDiskMargin = 64U << 20U;  // left free for everyone else

// What is here, how fast it comes, and how long the rest will take.
class Meter {
 public:
  explicit Meter(const PullOptions& options) : options_(options) {}
  PullProgress now;

  void stage(PullProgress::Stage s) {
    now.stage = s;
    tell();
  }
  void bytes(std::uint64_t done) {
    now.done = done;
    const auto t = Clock::now();
    if (seen_.empty() || t - seen_.back().first > std::chrono::milliseconds(200))
      seen_.emplace_back(t, done);
    while (seen_.size() > 2 && t - seen_.front().first > std::chrono::seconds(10))
      seen_.pop_front();
    const double seconds = std::chrono::duration<double>(t - seen_.front().first).count();
    const std::uint64_t before = seen_.front().second;
    if (seconds > 0.5 && done >= before) {
      now.rate = static_cast<double>(done - before) / seconds;
      now.seconds_left =
          now.rate > 0 ? static_cast<double>(now.total - std::min(now.total, done)) / now.rate : -1;
    }
    tell();
  }

 private:
  using Clock = std::chrono::steady_clock;
  void tell() const {
    if (options_.on_progress) options_.on_progress(now);
  }
  const PullOptions& options_;
  std::deque<std::pair<Clock::time_point, std::uint64_t>> seen_;
};

// Where a URL leads, and what tells one version of the file from another; empty: nothing does.
struct Located {
  std::string url, version;
  std::uint64_t size = 0;
};

struct Pull {
  const Places& places;
  const PullOptions& options;
  const PullTuning& tuning;
  Http http;
  Meter meter;
  bool checked = false;  // a checksum was computed

  Pull(const Places& p, const PullOptions& o, const PullTuning& t)
      : places(p), options(o), tuning(t), http(http_options(o, t)), meter(o) {}

  static HttpOptions http_options(const PullOptions& o, const PullTuning& t) {
    HttpOptions h;
    h.endpoint = hub_endpoint();
    h.token = hub_token();
    h.cancel = o.cancel;
    h.first_pause_ms = t.first_pause_ms;
    h.tries = t.tries;
    h.stalled_seconds = t.stalled_seconds;
    return h;
  }

  BlobWish wish(const std::string& path, const std::string& checksum, std::uint64_t size) const {
    BlobWish w;
    w.path = path;
    w.checksum = checksum;
    w.from.size = size;
    w.part_bytes = tuning.part_bytes;
    w.connections = tuning.connections;
    return w;
  }

  // Waits for whoever writes the same file.
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) {
    for (;;) {
      BEZEL_TRY(auto held, FileLock::try_lock(path));
      if (held) return held;
      meter.stage(PullProgress::Stage::Waiting);
      BEZEL_DO(http.pause(1, ""));
    }
  }

  Status check_room(const std::string& folder, std::uint64_t needed) const {
    const std::uint64_t there = free_disk(folder);
    if (needed == 0 || (there >= kDiskMargin && needed <= there - kDiskMargin)) return Ok{};
    return Error{
        Errc::TooLarge,
        fmt::format("the download needs {:.2f} GB more on the disk, and {:.2f} GB are free; "
                    "make room, or set HF_HOME to a folder on a larger disk",
                    static_cast<double>(needed) / 1e9, static_cast<double>(there) / 1e9),
        folder};
  }

  BlobProgress progress(std::uint64_t before) {
    return [this, before](std::uint64_t done, bool checking) {
      meter.now.stage = checking ? PullProgress::Stage::Checking : PullProgress::Stage::Downloading;
      if (checking) {
        meter.stage(PullProgress::Stage::Checking);
      } else {
        meter.bytes(before + done);
      }
    };
  }

  Status one_file(Client& client, const CachedRepo& repo, const std::string& name,
                  const std::string& commit, RepoFile& file, std::uint64_t before);
  Result<Pulled> from_repo(const PullWish& wish);
  Result<Located> locate(const std::string& url);
  Result<Pulled> from_url(const ModelName& name);
};

std::string checksum_of(const RepoFile& f) {
  return f.sha256.empty() ? f.git_sha1 : f.sha256;
}

Status check_token(const std::string& token) {
  for (const char c : token)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F)
      return Error{Errc::BadInput,
                   "the hub's token (HF_TOKEN) holds a character that none can have", ""};
  return Ok{};
}

Status Pull::one_file(Client& client, const CachedRepo& repo, const std::string& name,
                      const std::string& commit, RepoFile& file, std::uint64_t before) {
  meter.now.file = file.path;
  if (checksum_of(file).empty() || !is_file(repo.blob(checksum_of(file)))) {
    meter.stage(PullProgress::Stage::Asking);
    BEZEL_TRY(std::string url, client.locate(name, commit, file));
    const std::string checksum = checksum_of(file);
    BEZEL_TRY(const auto held, lock(repo.lock(checksum)));
    if (!is_file(repo.blob(checksum))) {
      BlobWish w = wish(repo.blob(checksum), checksum, file.size);
      w.from.url = std::move(url);
      w.from.renew = [&] { return client.locate(name, commit, file); };
      auto status = fetch_blob(http, w, progress(before), [&] { return repo.mark_ours(checksum); });
      if (!status) {
        Error error = status.error();
        if (error.where.empty() && error.code != Errc::Cancelled) error.where = file.path;
        return error;
      }
      checked = true;
    }
  }
  BEZEL_DO(repo.link(commit, file.path, checksum_of(file)));
  meter.bytes(before + file.size);
  return Ok{};
}

Result<Pulled> Pull::from_repo(const PullWish& w) {
  Client client(http);
  meter.stage(PullProgress::Stage::Asking);
  BEZEL_TRY(const RepoInfo info, client.info(w.name.repo, w.name.revision));
  BEZEL_TRY(std::vector<RepoFile> files, choose_files(info, w.name, w.free_memory));
  const CachedRepo repo(places.hub_cache, w.name.repo);
  std::uint64_t needed = 0;
  for (const RepoFile& f : files) {
    meter.now.total += f.size;
    const std::string checksum = checksum_of(f);
    if (checksum.empty() || !is_file(repo.blob(checksum)))
      needed += f.size - std::min(f.size, bytes_here(wish(repo.blob(checksum), checksum, f.size)));
  }
  BEZEL_DO(check_room(places.hub_cache, needed));
  BEZEL_DO(repo.make_folders());
  std::uint64_t before = 0;
  for (RepoFile& f : files) {
    if (const Status status = one_file(client, repo, w.name.repo, info.commit, f, before);
        !status) {
      repo.remove_empty_folders();
      return status.error();
    }
    before += f.size;
  }
  BEZEL_DO(repo.set_ref(w.name.revision, info.commit));
  Pulled out;
  const std::string& last = files.back().path;
  out.path = repo.snapshot(info.commit) + (last == "config.json" ? "" : "/" + last);
  out.why =
      fmt::format("{} of {} ({:.2f} GB, {})",
                  last == "config.json" ? fmt::format("{} files", files.size()) : last, w.name.repo,
                  static_cast<double>(before) / 1e9, checked ? "checksums right" : "here already");
  return out;
}

Result<Located> Pull::locate(const std::string& url) {
  std::string at = url;
  for (int n = 0; n < 8; ++n) {
    BEZEL_TRY(const Reply reply, http.head(at));
    if (!reply.location.empty()) {
      at = reply.location;
      continue;
    }
    if (reply.status != 200)
      return Error{reply.status == 404 ? Errc::NotFound : Errc::Io,
                   fmt::format("the server answers with status {}", reply.status), url};
    const std::string length = reply.header("content-length");
    if (length.empty() || length.find_first_not_of("0123456789") != std::string::npos ||
        length.size() > 15)
      return Error{Errc::Unsupported, "the server does not say how long the file is", url};
    const std::string etag = reply.header("etag");
    return Located{reply.url, etag.empty() ? reply.header("last-modified") : etag,
                   std::stoull(length)};
  }
  return Error{Errc::Io, "the server sends us in a circle", url};
}

Status keep_url(const std::string& folder, const std::string& url) {
  BEZEL_TRY(const auto file, AtomicFile::create(folder + "/url"));
  file->write(url.data(), url.size());
  return file->commit();
}

Result<Pulled> Pull::from_url(const ModelName& name) {
  Digest digest(Digest::Kind::Sha256);
  digest.add(name.url.data(), name.url.size());
  const std::string folder = places.own + "/url/" + digest.hex().substr(0, 16);
  const std::string path = folder + "/" + name.file;
  Pulled out;
  out.path = path;
  out.why = fmt::format("{} (no checksum is published for a URL)", name.file);
  if (is_file(path)) {
    if (!is_file(folder + "/url")) BEZEL_DO(keep_url(folder, name.url));
    return out;
  }
  meter.now.file = name.file;
  meter.stage(PullProgress::Stage::Asking);
  BEZEL_TRY(const Located found, locate(name.url));
  BlobWish w = wish(path, "", found.size);
  w.identity = found.version.empty() ? found.url : fmt::format("{} {}", name.url, found.version);
  w.from.url = found.url;
  w.from.renew = [&]() -> Result<std::string> {
    BEZEL_TRY(const Located now, locate(name.url));
    if (now.size == found.size && now.version == found.version) return now.url;
    return Error{Errc::BadFile, "the file has changed on the server while it came; pull again",
                 name.url};
  };
  meter.now.total = w.from.size;
  BEZEL_DO(check_room(folder, w.from.size - std::min(w.from.size, bytes_here(w))));
  BEZEL_DO(make_folder(folder));
  BEZEL_TRY(const auto held, lock(folder + "/lock"));
  if (!is_file(path))
    BEZEL_DO(fetch_blob(http, w, progress(0), [&] { return keep_url(folder, name.url); }));
  return out;
}

}  // namespace

Result<Pulled> pull(const Places& places, const PullWish& wish, const PullOptions& options,
                    const PullTuning& tuning) {
  Pull p(places, options, tuning);
  BEZEL_DO(check_token(p.http.options().token));
  return wish.name.kind == ModelName::Kind::Url ? p.from_url(wish.name) : p.from_repo(wish);
}

}  // namespace bezel::hub
