// Flags that say what an answer or a text must look like.
#pragma once
#include <string>
#include <vector>

#include "common.h"

namespace bezel::app {

struct ConstraintFlags {
  std::string schema, regex, grammar;
  std::vector<std::string> choices;
  bool json = false;

  void add(CLI::App& command);
  // None when no flag was given; an Error when a file cannot be read. `where` of later errors:
  // source().
  Result<Constraint> read() const;
  std::string source() const;  // the file or flag it came from
};

}  // namespace bezel::app
