// A whole pull: which files, enough room, one after another into the cache.
#pragma once
#include <string>
#include <vector>

#include "bezel/store.h"
#include "hub/find/places.h"
#include "hub/name.h"
#include "hub/net/client.h"

namespace bezel::hub {

struct PullWish {
  ModelName name;  // a repository, with file or tag or neither; or a URL
  std::uint64_t free_memory = 0;
};
struct Pulled {
  std::string path;  // what Engine::load takes
  std::string why;   // one line
};
// What only tests change.
struct PullTuning {
  std::uint64_t part_bytes = std::uint64_t{8} << 20U;
  int connections = 4;
  int first_pause_ms = 500;
  int tries = 5;
  int stalled_seconds = 30;
};

Result<Pulled> pull(const Places& places, const PullWish& wish, const PullOptions& options,
                    const PullTuning& tuning = {});

// The files of a repository that make the model of this name, in the order in which they must
// arrive: what the model is opened by comes last. An Error says what there is instead.
Result<std::vector<RepoFile>> choose_files(const RepoInfo& info, const ModelName& name,
                                           std::uint64_t free_memory);

}  // namespace bezel::hub
