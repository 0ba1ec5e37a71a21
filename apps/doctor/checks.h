// The checks of a model, each a line: what was found, and whether that is right.
#pragma once
#include <string>
#include <vector>

#include "bezel/engine.h"
#include "formats/tensor_file.h"

namespace bezel::app::doctor {

enum class Verdict { Ok, Wrong, Unknown };  // Unknown: nothing to compare with
struct Finding {
  std::string what;  // "tokenizer"
  Verdict verdict = Verdict::Unknown;
  std::string text;
};

// The facts and findings about a model. A file that cannot be opened is a finding, too. An Error:
// memory, or Ctrl-C.
struct Report {
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Finding> findings;
};
Result<Report> examine(const EngineOptions& options);

// Weights, of large ones some rows: NaN, infinity, matrices of zeros, sizes out of all proportion.
Finding weights_finding(const TensorFile& file);

}  // namespace bezel::app::doctor
