// A look at the beginning of a model file: what it is, without reading its tensors.
#pragma once
#include <cstdint>
#include <string>

namespace bezel::hub {

struct Peek {
  bool is_model = false;  // it begins as a GGUF file, or the folder has a config.json and weights
  std::string architecture;  // "gemma4"; empty: not said at the beginning
  std::string title;         // general.name and general.finetune
  std::string type;          // "Q4_0" by general.file_type, or the folder's dtype
  int layers = 0;            // 0: not said at the beginning
};

// Of a GGUF file. Reads at most 64 KB, and believes no length in it.
Peek peek_file(const std::string& path);
// Of a folder with config.json.
Peek peek_folder(const std::string& folder);

}  // namespace bezel::hub
