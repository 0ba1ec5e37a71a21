// Short names of models and where they are to be had: catalogue.json beside this file, built in, or
// another in its place.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "bezel/result.h"

namespace bezel::hub {

struct Source {
  std::string tag;                // "q4_0"
  std::vector<std::string> also;  // further tags: "qat"
  std::string repo;
  std::uint64_t bytes = 0;  // approximate
  bool confirmed = false;   // the repository is known to exist
};

struct CatalogueModel {
  std::vector<std::string> names;
  std::string title, architecture;
  int layers = 0;
  std::vector<std::string> automatic;  // tags to try without one, best first
  std::vector<Source> sources;

  const Source* source(const std::string& tag) const;  // null: none
};

class Catalogue {
 public:
  // The file that BEZEL_CATALOGUE names, or catalogue.json in Bezel's folder of the user's
  // configuration, or the one built in.
  static Result<Catalogue> load();
  static Result<Catalogue> parse(const std::string& json, const std::string& where);

  // The model of a short name; `tag` is what its colon leaves over ("gemma4:e2b:q8_0", "e2b:q8_0").
  const CatalogueModel* find(const std::string& name, std::string& tag) const;
  std::string names_text() const;  // "e2b, e4b, ..."

 private:
  static Result<Catalogue> parsed(const std::string& text, const std::string& where);

  std::vector<CatalogueModel> models_;
};

// Without a tag: the first of the model's automatic ones that takes at most half of `free_memory`;
// else its smallest. `why` is one line.
const Source* source_for(const CatalogueModel& model, std::uint64_t free_memory, std::string& why);

}  // namespace bezel::hub
