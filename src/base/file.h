// Files: read-only mapping, whole reads with a limit, atomic writes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "bezel/result.h"

namespace bezel {

// A read-only mapping of a whole regular file. Shared by everything that points into it.
class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Gives the memory of whole pages of `part` back; reading them again fetches them anew.
  void let_go(std::span<const std::byte> part) const;
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const std::byte* data, std::size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}
  std::string path_;
  const std::byte* data_;
  std::size_t size_;
};

// The whole of a file, or of standard input when `path` is "-". More than max_bytes is an error.
Result<std::string> read_file(const std::string& path, std::uint64_t max_bytes);

bool is_directory(const std::string& path);
bool is_file(const std::string& path);

// Writes through a temporary file in the same folder and renames it into place on commit();
// without commit() nothing stays behind. Errors (full disk, no permission) come from commit().
class AtomicFile {
 public:
  static Result<std::unique_ptr<AtomicFile>> create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t n);                           // appends
  void write_at(std::uint64_t offset, const void* data, std::size_t n);  // into what is written
  Status commit();

 private:
  AtomicFile(std::string path, std::string temp, int fd);
  std::string path_, temp_;
  int fd_;
  int error_ = 0;  // first errno of a failed write
};

}  // namespace bezel
