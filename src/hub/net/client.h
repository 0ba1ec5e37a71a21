// The hub's API: what a repository holds, and where a file is to be had.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bezel/result.h"
#include "hub/http/http.h"

namespace bezel::hub {

struct RepoFile {
  std::string path;        // safe below a folder
  std::uint64_t size = 0;  // bytes
  std::string sha256;      // of large files; else
  std::string git_sha1;    // of the git blob
};

struct RepoInfo {
  std::string commit;  // 40 hex digits
  std::vector<RepoFile> files;
};

class Client {
 public:
  explicit Client(Http& http) : http_(http) {}
  // Errors say what to do: sign in, accept terms, mend the name, try later.
  Result<RepoInfo> info(const std::string& repo, const std::string& revision);
  // Where the bytes of a file are, without the hub's redirects; checks size and checksum against
  // what the hub states now, and fills in those that the list lacked.
  Result<std::string> locate(const std::string& repo, const std::string& commit, RepoFile& file);

 private:
  Error refused(const Reply& reply, const std::string& repo, const std::string& what) const;
  Http& http_;
};

}  // namespace bezel::hub
