// Any bytes as a schema, a line break, and a text: a verdict or a sentence; and what is accepted is
// JSON.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/json.h"
#include "text/constrain/constraint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bezel;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = all.find('\n');
  const auto language = constrain::json_schema(all.substr(0, cut));
  if (!language) {
    if (language.error().what.empty()) std::abort();
    return 0;
  }
  constrain::Walk walk(*language);
  const std::string_view text = cut == std::string_view::npos ? "" : all.substr(cut + 1);
  if (walk.push(text) != text.size()) {
    // no prefix leads nowhere
    for (int byte = 0; byte < 256; ++byte)
      if (walk.automaton().next(walk.state(), static_cast<std::uint8_t>(byte)) != 0) return 0;
    if (!walk.can_end() && !walk.automaton().overflowed()) std::abort();
    return 0;
  }
  const auto json = parse_json(text, "text", {.max_depth = 600});
  if (walk.can_end() && !json && json.error().what.find("too large") == std::string::npos)
    std::abort();
  return 0;
}
