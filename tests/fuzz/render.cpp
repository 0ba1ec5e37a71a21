// Any bytes as a request: a prompt or a sentence, and texts of people hold no control tokens.
#include "text/chat/render.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bezel;
  const auto request = parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!request) return 0;
  const auto conversation = chat::conversation_from(*request);
  if (!conversation) return 0;
  for (const auto style :
       {PromptStyle::Gemma4Large, PromptStyle::Gemma4Small, PromptStyle::Gemma3}) {
    const auto plain = chat::render(*conversation, style);
    if (plain && plain->list().empty()) std::abort();
    const auto cured = chat::cured(*conversation, style);
    if (!cured) continue;
    const auto prompt = chat::render(*cured, style);
    if (!prompt) continue;
    for (const auto& piece : prompt->list())
      if (piece.marker && (piece.text.size() < 3 || piece.text.front() != '<')) std::abort();
  }
  return 0;
}
