// Any bytes as a grammar and as a pattern, a zero byte, and a text: a verdict or a sentence.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "text/constrain/constraint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bezel;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = all.find('\0');
  const std::string_view rules = all.substr(0, cut);
  const std::string_view text = cut == std::string_view::npos ? "" : all.substr(cut + 1);
  for (const auto& language : {constrain::grammar(rules), constrain::regex(rules)}) {
    if (!language) {
      if (language.error().what.empty()) std::abort();
      continue;
    }
    constrain::Walk walk(*language);
    walk.push(text);
    bool more = walk.can_end() || walk.automaton().overflowed();
    for (int byte = 0; byte < 256; ++byte)
      more = more || walk.automaton().next(walk.state(), static_cast<std::uint8_t>(byte)) != 0;
    if (!more && text.size() < 1000) std::abort();  // no prefix leads nowhere
  }
  return 0;
}
