#include "hub/net/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <random>

#include "base/file.h"
#include "hub/find/find.h"

namespace bezel::hub {

namespace fs = std::filesystem;

namespace {

Error cannot_write(const std::string& path, const std::string& why) {
  return {Errc::Io, fmt::format("cannot write here: {}", why), path};
}

std::string errno_text() {
  return std::generic_category().message(errno);
}

}  // namespace

Result<std::unique_ptr<FileLock>> FileLock::try_lock(const std::string& path) {
  for (int n = 0; n < 100; ++n) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
    if (fd < 0) return cannot_write(path, errno_text());
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const bool held = errno == EWOULDBLOCK || errno == EINTR;
      if (held || errno == ENOSYS || errno == ENOTSUP || errno == ENOLCK) {
        if (held) {
          ::close(fd);
          return std::unique_ptr<FileLock>();
        }
        return std::unique_ptr<FileLock>(new FileLock(fd));  // no locks on this file system
      }
      const Error error = cannot_write(path, errno_text());
      ::close(fd);
      return error;
    }
    struct stat info {};
    if (::fstat(fd, &info) == 0 && info.st_nlink > 0)
      return std::unique_ptr<FileLock>(new FileLock(fd));
    ::close(fd);  // its name went while we took it
  }
  return cannot_write(path, "the lock's file goes away again and again");
}

FileLock::~FileLock() {
  ::close(fd_);
}

CachedRepo::CachedRepo(const std::string& cache, const std::string& repo)
    : cache_(cache), folder_(cache + "/" + repo_folder(repo)), name_(repo_folder(repo)) {}

std::string CachedRepo::lock(const std::string& checksum) const {
  return fmt::format("{}/.locks/{}/{}.lock", cache_, name_, checksum);
}

Status CachedRepo::make_folders() const {
  for (const std::string& path : {cache_ + "/.locks/" + name_, folder_ + "/blobs",
                                  folder_ + "/snapshots", folder_ + "/refs", folder_ + "/.bezel"})
    BEZEL_DO(make_folder(path));
  std::error_code error;
  for (fs::directory_iterator it(folder_ + "/.bezel", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code gone;
    if (it->path().filename().string().rfind("tmp-", 0) == 0 &&
        fs::last_write_time(it->path(), gone) + std::chrono::hours(24) <
            fs::file_time_type::clock::now() &&
        !gone)
      fs::remove(it->path(), gone);
  }
  return Ok{};
}

void CachedRepo::remove_empty_folders() const {
  for (const char* name : {"/blobs", "/snapshots", "/refs", "/.bezel", ""})
    (void)::rmdir((folder_ + name).c_str());  // fails where something is inside
}

std::string CachedRepo::temp() const {
  static const unsigned kProcess = std::random_device()();
  static std::atomic<unsigned> counter{0};
  return fmt::format("{}/.bezel/tmp-{:08x}-{}", folder_, kProcess, counter++);
}

Status CachedRepo::link(const std::string& commit, const std::string& path,
                        const std::string& checksum) const {
  const fs::path pointer = fs::path(snapshot(commit)) / path;
  BEZEL_DO(make_folder(pointer.parent_path().string()));
  std::string up = "../..";
  for (const char c : path)
    if (c == '/') up += "/..";
  const std::string target = up + "/blobs/" + checksum;
  std::error_code error;
  if (fs::read_symlink(pointer, error) == target) return Ok{};
  const std::string made = temp();
  fs::create_symlink(target, made, error);
  if (error) fs::create_hard_link(blob(checksum), made, error);  // no symbolic links here
  if (!error) fs::rename(made, pointer, error);
  if (!error) return Ok{};
  const Error problem = cannot_write(pointer.string(), error.message());
  fs::remove(made, error);
  return problem;
}

Status CachedRepo::set_ref(const std::string& revision, const std::string& commit) const {
  if (revision == commit) return Ok{};
  const std::string path = folder_ + "/refs/" + revision;
  const auto now = read_file(path, 100);
  if (now && *now == commit) return Ok{};
  const std::string made = temp();
  BEZEL_TRY(const auto file, AtomicFile::create(made));
  file->write(commit.data(), commit.size());
  BEZEL_DO(file->commit());
  if (::rename(made.c_str(), path.c_str()) != 0) return cannot_write(path, errno_text());
  return Ok{};
}

Status CachedRepo::mark_ours(const std::string& checksum) const {
  const int fd = ::open(mark(checksum).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return cannot_write(mark(checksum), errno_text());
  ::close(fd);
  return Ok{};
}

bool CachedRepo::is_ours(const std::string& checksum) const {
  return !checksum.empty() && is_file(mark(checksum));
}

bool CachedRepo::has_link_to(const std::string& checksum) const {
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder_ + "/snapshots", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code no_link;
    if (fs::read_symlink(it->path(), no_link).filename() == checksum && !no_link) return true;
  }
  return false;
}

Status make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error)
    return Error{Errc::Io, fmt::format("cannot make this folder: {}", error.message()), path};
  return Ok{};
}

std::uint64_t free_disk(const std::string& folder) {
  fs::path path(folder);
  struct statvfs info {};
  while (::statvfs(path.c_str(), &info) != 0) {
    if (!path.has_parent_path() || path == path.parent_path()) return 0;
    path = path.parent_path();
  }
  return std::uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace bezel::hub
