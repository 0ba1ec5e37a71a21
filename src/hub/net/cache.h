// A repository in the Hugging Face cache, written as the huggingface_hub package writes it:
//   models--OWNER--NAME/blobs/CHECKSUM                 contents
//   models--OWNER--NAME/snapshots/COMMIT/PATH          links to them
//   models--OWNER--NAME/refs/REVISION                  a commit
//   .locks/models--OWNER--NAME/CHECKSUM.lock           held (flock) while a blob is written
// Ours alone: blobs/CHECKSUM.bezel.incomplete and .parts (a pull under way), .bezel/CHECKSUM (an
// empty file: Bezel pulled that blob) and .bezel/tmp-* (what is renamed into its place).
#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "bezel/result.h"

namespace bezel::hub {

// Held until it goes out of scope.
class FileLock {
 public:
  // Without waiting; null: another holds it.
  static Result<std::unique_ptr<FileLock>> try_lock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

class CachedRepo {
 public:
  CachedRepo(const std::string& cache, const std::string& repo);

  std::string blob(const std::string& checksum) const { return folder_ + "/blobs/" + checksum; }
  std::string snapshot(const std::string& commit) const { return folder_ + "/snapshots/" + commit; }
  std::string lock(const std::string& checksum) const;
  const std::string& folder() const { return folder_; }

  // Also removes what a pull that was killed a day ago left in .bezel.
  Status make_folders() const;
  // After a pull that failed: folders without anything in them go.
  void remove_empty_folders() const;
  // snapshots/COMMIT/PATH becomes a link to the blob, at once.
  Status link(const std::string& commit, const std::string& path,
              const std::string& checksum) const;
  Status set_ref(const std::string& revision, const std::string& commit) const;
  // A blob that Bezel pulled has a mark, an empty file.
  std::string mark(const std::string& checksum) const { return folder_ + "/.bezel/" + checksum; }
  Status mark_ours(const std::string& checksum) const;
  bool is_ours(const std::string& checksum) const;
  // Whether any snapshot links to a blob.
  bool has_link_to(const std::string& checksum) const;

 private:
  std::string temp() const;  // a new name
  std::string cache_, folder_, name_;
};

// Folders up to `path`, made where they are missing.
Status make_folder(const std::string& path);
// Bytes that this user can still write at `folder`, or at the next one above that exists.
std::uint64_t free_disk(const std::string& folder);

}  // namespace bezel::hub
