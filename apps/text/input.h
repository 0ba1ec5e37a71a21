// What the commands that turn text into ids and back share: lines of input, tokenizers.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common.h"
#include "formats/tensor_file.h"
#include "text/tokenizer.h"

namespace bezel::app {

constexpr std::uint64_t kMaxInputBytes = std::uint64_t{4} << 30U;
constexpr std::size_t kMaxLineBytes = std::size_t{1} << 30U;

// Calls `each` with every line of standard input, without its '\n', and the line's name ("line 3"),
// until it gives a status other than kDone.
int for_each_line(const std::function<int(std::string_view, const std::string&)>& each);

struct OpenTokenizer {
  TensorFile file;  // empty for a tokenizer.json
  std::unique_ptr<Tokenizer> tokenizer;
};
// Of a model file, a folder, or a tokenizer.json. `with_file`: a folder's other files are read too.
Result<OpenTokenizer> open_tokenizer(const std::string& path, bool with_file);

}  // namespace bezel::app
