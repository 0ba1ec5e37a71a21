// Any bytes as JSON: a Result that says the same as the library's own parser, and a value that
// survives writing and reading.
#include "base/json.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto ours = bezel::parse_json(text, "fuzz");
  if (!ours) {
    const bool limit = ours.error().code == bezel::Errc::TooLarge;
    if (!limit && bezel::Json::accept(text)) std::abort();
    return 0;
  }
  if (*ours != bezel::Json::parse(text)) std::abort();
  const auto again = bezel::parse_json(bezel::dump_json(*ours), "fuzz");
  if (!again || *again != *ours) std::abort();
  return 0;
}
