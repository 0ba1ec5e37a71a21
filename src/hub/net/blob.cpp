#include "hub/net/blob.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "hub/net/cache.h"
#include "hub/net/sha.h"

namespace bezel::hub {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMostParts = 1U << 20U;

std::string partial(const BlobWish& w) {
  return w.path + ".bezel.incomplete";
}
std::string parts_file(const BlobWish& w) {
  return w.path + ".bezel.parts";
}

std::uint64_t part_bytes(const BlobWish& w) {
  return std::max(w.part_bytes, w.from.size / kMostParts + 1);
}

// First line of the parts file; a character for each part follows: '1' is here, '0' is not.
std::string head_line(const BlobWish& w) {
  return fmt::format("bezel parts 1: {} bytes in parts of {}, {}\n", w.from.size, part_bytes(w),
                     w.checksum.empty() ? w.identity : w.checksum);
}

std::size_t n_parts(const BlobWish& w) {
  return static_cast<std::size_t>((w.from.size + part_bytes(w) - 1) / part_bytes(w));
}

// The parts that are on disk; all '0' when nothing usable is.
std::string parts_here(const BlobWish& w) {
  std::string none(n_parts(w), '0');
  const std::string head = head_line(w);
  std::error_code error;
  if (fs::file_size(partial(w), error) != w.from.size || error) return none;
  const auto text = read_file(parts_file(w), kMostParts + head.size());
  if (!text || text->size() != head.size() + none.size() ||
      text->compare(0, head.size(), head) != 0)
    return none;
  return text->substr(head.size());
}

class Blob {
 public:
  explicit Blob(const BlobWish& wish, const BlobProgress& progress)
      : w_(wish), progress_(progress), here_(parts_here(wish)) {}
  ~Blob() {
    for (const int fd : {data_, parts_})
      if (fd >= 0) ::close(fd);
  }
  Blob(const Blob&) = delete;
  Blob& operator=(const Blob&) = delete;

  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < here_.size(); ++i)
      if (here_[i] == '1') sum += end_of(i) - i * part_bytes(w_);
    return sum;
  }

  Status open() {
    const bool anew = here_.find('1') == std::string::npos;
    data_ = ::open(partial(w_).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666);
    if (data_ < 0 || ::ftruncate(data_, static_cast<off_t>(w_.from.size)) != 0) return failure();
    parts_ =
        ::open(parts_file(w_).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0), 0666);
    if (parts_ < 0) return failure();
    if (anew) return write_parts();
    return Ok{};
  }

  Status fetch(const Http& http) {
    came_ = bytes();
    PartSink sink;
    sink.next = [this](std::uint64_t& first, std::uint64_t& last) { return next(first, last); };
    sink.store = [this](std::uint64_t at, const char* data, std::size_t n) {
      return store(at, data, n);
    };
    sink.done = [this](std::uint64_t first, std::uint64_t last) { done(first, last); };
    sink.start_over = [this] { start_over(); };
    sink.tick = [this] { progress_(std::min(came_, w_.from.size), false); };
    sink.failure = [this] { return failure(); };
    BEZEL_DO(fetch_parts(http, w_.from, sink, w_.connections));
    if (here_.find('0') != std::string::npos)
      return Error{Errc::Io, "not all parts of the file came; pull again", w_.path};
    return Ok{};
  }

  Status check(const Http& http) const {
    if (::fsync(data_) != 0) return failure();
    if (w_.checksum.empty()) return Ok{};
    const auto digest = file_digest(partial(w_), w_.checksum.size() == 40, [&](std::uint64_t n) {
      progress_(n, true);
      return !http.cancelled();
    });
    if (!digest) return digest.error();
    if (*digest == w_.checksum) return Ok{};
    drop();
    return Error{Errc::BadFile,
                 fmt::format("what came has the checksum {}, expected {}; it was thrown away, pull "
                             "again",
                             digest->substr(0, 16), w_.checksum.substr(0, 16)),
                 ""};
  }

  Status place() const {
    if (::rename(partial(w_).c_str(), w_.path.c_str()) != 0) return failure();
    ::unlink(parts_file(w_).c_str());
    return Ok{};
  }

  void drop() const {
    ::unlink(partial(w_).c_str());
    ::unlink(parts_file(w_).c_str());
  }

  Error failure() const {
    const int error = errno_ != 0 ? errno_ : errno;
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
      return {Errc::Io, "the disk is full; what came is kept, free some space and pull again",
              w_.path};
    return {Errc::Io,
            fmt::format("cannot write the file: {}", std::generic_category().message(error)),
            w_.path};
  }

 private:
  std::uint64_t end_of(std::size_t i) const {
    return std::min(w_.from.size, (i + 1) * part_bytes(w_));
  }

  bool next(std::uint64_t& first, std::uint64_t& last) {
    if (whole_) {
      if (given_ > 0) return false;
      given_ = 1;
      first = 0;
      last = w_.from.size;
      return last > 0;
    }
    while (given_ < here_.size() && here_[given_] == '1') ++given_;
    if (given_ == here_.size()) return false;
    first = given_ * part_bytes(w_);
    last = end_of(given_++);
    return true;
  }

  bool store(std::uint64_t at, const char* data, std::size_t n) {
    came_ += n;
    while (n > 0) {
      const ssize_t wrote = ::pwrite(data_, data, n, static_cast<off_t>(at));
      if (wrote < 0) {
        if (errno == EINTR) continue;
        errno_ = errno;
        return false;
      }
      data += wrote;
      at += static_cast<std::uint64_t>(wrote);
      n -= static_cast<std::size_t>(wrote);
    }
    return true;
  }

  // After a crash of the machine a part may be marked and yet be missing: the checksum finds that,
  // and without one a part is marked only when the disk has it.
  void done(std::uint64_t first, std::uint64_t last) {
    const bool may_mark = !w_.checksum.empty() || ::fdatasync(data_) == 0;
    for (std::size_t i = static_cast<std::size_t>(first / part_bytes(w_));
         i < here_.size() && end_of(i) <= last; ++i) {
      here_[i] = '1';
      if (!may_mark) continue;
      const auto at = static_cast<off_t>(head_line(w_).size() + i);
      if (::pwrite(parts_, "1", 1, at) != 1) continue;  // it will come again
    }
  }

  void start_over() {
    whole_ = true;
    given_ = 0;
    came_ = 0;
    here_.assign(here_.size(), '0');
    (void)write_parts();
  }

  Status write_parts() const {
    const std::string text = head_line(w_) + here_;
    if (::pwrite(parts_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
      return failure();
    return Ok{};
  }

  const BlobWish& w_;
  const BlobProgress& progress_;
  std::string here_;
  int data_ = -1, parts_ = -1;
  std::size_t given_ = 0;
  bool whole_ = false;
  std::uint64_t came_ = 0;
  int errno_ = 0;
};

}  // namespace

std::uint64_t bytes_here(const BlobWish& wish) {
  static const BlobProgress kNone = [](std::uint64_t, bool) {};
  return Blob(wish, kNone).bytes();
}

Status fetch_blob(const Http& http, const BlobWish& wish, const BlobProgress& progress,
                  const std::function<Status()>& before_place) {
  Blob blob(wish, progress);
  BEZEL_DO(blob.open());
  BEZEL_DO(blob.fetch(http));
  BEZEL_DO(blob.check(http));
  BEZEL_DO(before_place());
  return blob.place();
}

}  // namespace bezel::hub
