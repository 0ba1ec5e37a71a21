// What a person types in place of a path, taken apart.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "bezel/result.h"

namespace bezel::hub {

struct ModelName {
  enum class Kind {
    Short,  // "e2b:q8_0": `name` and `tag`
    Repo,   // "owner/repo:q8_0": `repo`, `revision`, and `tag` or `file` or neither
    Url,    // any other URL: `url` and `file`
  };
  Kind kind = Kind::Short;
  std::string name, tag;  // lower case
  std::string repo, file, url;
  std::string revision = "main";
};

// An Error says what a name looks like.
Result<ModelName> parse_name(std::string_view text);

// "./x", "/x", "~/x", "folder/x.gguf": meant as a path whether it exists or not.
bool means_a_path(std::string_view text);

// A relative path of a repository that may become one below a folder of ours: no "..", no
// absolute path, no control character, at most 1,000 bytes and 255 a part.
bool is_safe_path(std::string_view path);
bool is_hex(std::string_view text, std::size_t digits);  // lower case
bool is_repo(std::string_view text);                     // "owner/name"

std::string lower(std::string_view text);  // of ASCII
// Whether a file name holds the tag "q4_k_m" as a word of its own: "x-Q4_K_M.gguf".
bool names_tag(std::string_view file, std::string_view tag);
// The quantisation that a file name states, upper case; empty when it states none.
std::string type_in_name(std::string_view file);
bool is_gguf_name(std::string_view file);  // "x.gguf", in any case

// "STEM-00002-of-00003.gguf": a part of a split model, which is opened by its first.
struct Split {
  std::string stem, tail;  // tail: ".gguf"
  int part = 0, count = 0;

  std::string name(int n) const;  // of part n
  bool same_model(const Split& other) const {
    return stem == other.stem && tail == other.tail && count == other.count;
  }
};
std::optional<Split> split_of(std::string_view file);
// Whether a file is a part of a split model other than the first, or no model ("mmproj").
bool is_side_file(std::string_view file);

}  // namespace bezel::hub
