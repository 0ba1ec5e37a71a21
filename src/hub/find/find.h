// Models that lie on this machine already, whoever put them there.
#pragma once
#include <string>
#include <vector>

#include "bezel/store.h"
#include "hub/catalogue.h"
#include "hub/find/places.h"
#include "hub/name.h"

namespace bezel::hub {

struct LocalModel : StoredModel {
  std::string repo, file, url;         // where it comes from, as far as its place says
  std::vector<std::string> revisions;  // of the repository: commits, and refs that lead to them
  bool current = true;                 // false: its repository's main is another one that is here
};

// Every model below the places. What cannot be read is left out.
std::vector<LocalModel> scan(const Places& places);

// The one that a name means, and why; null: none.
struct Choice {
  const LocalModel* model = nullptr;
  std::string why;
};
Choice choose(const std::vector<LocalModel>& all, const ModelName& name, const Catalogue& catalogue,
              std::uint64_t free_memory);

// The folder of a repository in the cache: "models--owner--name".
std::string repo_folder(const std::string& repo);

}  // namespace bezel::hub
