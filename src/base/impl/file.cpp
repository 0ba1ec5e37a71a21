#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace bezel {

namespace {

std::string errno_text(int error) {
  return std::generic_category().message(error);
}

Error io_error(int error, const char* action, const std::string& path) {
  if (error == ENOENT || error == ENOTDIR) {
    return {Errc::NotFound, "no such file; check the path", path};
  }
  return {Errc::Io, fmt::format("cannot {} the file: {}", action, errno_text(error)), path};
}

// Closes a descriptor when it goes out of scope.
struct Descriptor {
  int fd;
  explicit Descriptor(int f) : fd(f) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

// All n bytes, at `offset` or (offset < 0) at the current place. 0, or the errno.
int write_all(int fd, const std::byte* data, std::size_t n, off_t offset) {
  constexpr std::size_t kMost = 1U << 30U;  // one call may move no more than 2 GiB
  while (n > 0) {
    const std::size_t piece = std::min(n, kMost);
    const ssize_t w = offset < 0 ? ::write(fd, data, piece) : ::pwrite(fd, data, piece, offset);
    if (w < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    data += w;
    n -= static_cast<std::size_t>(w);
    if (offset >= 0) offset += w;
  }
  return 0;
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::string& path) {
  // Non-blocking, so that a pipe without a writer cannot hold us up before fstat rejects it.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return io_error(errno, "open", path);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return io_error(errno, "open", path);
  if (S_ISDIR(info.st_mode)) return Error{Errc::BadInput, "expected a file, found a folder", path};
  if (!S_ISREG(info.st_mode)) {
    return Error{Errc::BadInput, "expected an ordinary file, found a device or pipe", path};
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > SIZE_MAX) {
    return Error{Errc::TooLarge, "the file is larger than this machine's address space", path};
  }
  const std::byte* data = nullptr;
  if (size > 0) {
    void* p = ::mmap(nullptr, static_cast<std::size_t>(size), PROT_READ, MAP_SHARED, file.fd, 0);
    if (p == MAP_FAILED) return io_error(errno, "map", path);
    data = static_cast<const std::byte*>(p);
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, data, static_cast<std::size_t>(size)));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::let_go(std::span<const std::byte> part) const {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(part.data());
  const std::uintptr_t begin = (first + page - 1) / page * page,
                       end = (first + part.size()) / page * page;
  if (begin < end)
    (void)::madvise(const_cast<std::byte*>(part.data() + (begin - first)), end - begin,
                    MADV_DONTNEED);
}

Result<std::string> read_file(const std::string& path, std::uint64_t max_bytes) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const Descriptor file(standard_input ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!standard_input && file.fd < 0) return io_error(errno, "open", name);
  if (is_directory(path)) return Error{Errc::BadInput, "expected a file, found a folder", name};
  const int fd = standard_input ? STDIN_FILENO : file.fd;
  std::string text;
  std::string chunk(1U << 16U, '\0');
  for (;;) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n == 0) return text;
    if (n < 0) {
      if (errno == EINTR) continue;
      return io_error(errno, "read", name);
    }
    if (static_cast<std::uint64_t>(n) > max_bytes - text.size()) {
      return Error{
          Errc::TooLarge,
          fmt::format("expected at most {} bytes, found more; use a smaller file", max_bytes),
          name};
    }
    text.append(chunk, 0, static_cast<std::size_t>(n));
  }
}

bool is_directory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

AtomicFile::AtomicFile(std::string path, std::string temp, int fd)
    : path_(std::move(path)), temp_(std::move(temp)), fd_(fd) {}

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::string& path) {
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) {
    return Error{Errc::BadInput, "cannot write a file here, a folder has this name", path};
  }
  if (exists && !S_ISREG(info.st_mode)) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return io_error(errno, "write", path);
    return std::unique_ptr<AtomicFile>(new AtomicFile(path, "", fd));
  }
  std::string target = path;  // where a symbolic link leads, so that the link stays one
  if (exists) {
    if (char* real = ::realpath(path.c_str(), nullptr)) {
      target = real;
      std::free(real);
    }
  }
  static std::atomic<unsigned> counter{0};
  std::string temp = fmt::format("{}.tmp-{}-{}", target, ::getpid(), counter++);
  const int fd = ::open(temp.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error{Errc::NotFound, "the folder to write into does not exist; create it first",
                   path};
    }
    return io_error(errno, "write", path);
  }
  // Failing to keep the old file's permissions is no reason to lose the new contents.
  if (exists && ::fchmod(fd, info.st_mode & 0777U) != 0) errno = 0;
  return std::unique_ptr<AtomicFile>(new AtomicFile(std::move(target), std::move(temp), fd));
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temp_.empty()) ::unlink(temp_.c_str());
}

void AtomicFile::write(const void* data, std::size_t n) {
  if (error_ == 0) error_ = write_all(fd_, static_cast<const std::byte*>(data), n, -1);
}

void AtomicFile::write_at(std::uint64_t offset, const void* data, std::size_t n) {
  if (error_ != 0) return;
  if (offset > static_cast<std::uint64_t>(INT64_MAX) - n) {
    error_ = EFBIG;
    return;
  }
  error_ = write_all(fd_, static_cast<const std::byte*>(data), n, static_cast<off_t>(offset));
}

Status AtomicFile::commit() {
  if (error_ == 0 && !temp_.empty() && ::fsync(fd_) != 0) error_ = errno;
  if (::close(fd_) != 0 && error_ == 0) error_ = errno;
  fd_ = -1;
  if (error_ == 0 && !temp_.empty() && ::rename(temp_.c_str(), path_.c_str()) != 0) error_ = errno;
  if (error_ == 0) {
    temp_.clear();
    return Ok{};
  }
  if (error_ == ENOSPC || error_ == EDQUOT) {
    return Error{Errc::Io, "the disk is full, nothing was written; free some space and try again",
                 path_};
  }
  return Error{Errc::Io, fmt::format("cannot write the file: {}", errno_text(error_)), path_};
}

}  // namespace bezel
