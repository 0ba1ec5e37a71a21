// One file from the network to its place: in parts, resumed, checked, and only then under its name.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "bezel/result.h"
#include "hub/http/http.h"

namespace bezel::hub {

struct BlobWish {
  PartSource from;
  std::string path;      // where it shall lie
  std::string checksum;  // 64 digits: SHA-256; 40: a git blob's; empty: none is published
  std::string identity;  // of the contents without a checksum: parts of another are thrown away
  std::uint64_t part_bytes = std::uint64_t{8} << 20U;
  int connections = 4;
};
// Bytes that are here; `checking` while the checksum is computed.
using BlobProgress = std::function<void(std::uint64_t done, bool checking)>;

// Bytes of an unfinished pull of this file that are on disk.
std::uint64_t bytes_here(const BlobWish& wish);
// The caller holds the file's lock. After an Error the parts that came are kept, unless the
// checksum was wrong: then nothing is. `before_place` runs once all is right.
Status fetch_blob(const Http& http, const BlobWish& wish, const BlobProgress& progress,
                  const std::function<Status()>& before_place);

}  // namespace bezel::hub
