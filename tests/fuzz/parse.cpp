// Any bytes as an answer, bytes below 16 being control tokens: the same events however it is cut,
// and arguments that are JSON.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "text/output/joined.h"
#include "text/output/parser.h"

namespace {

using namespace bezel;

constexpr std::string_view kMarkers[] = {
    "<|channel>", "<channel|>",    "<|tool_call>", "<tool_call|>", "<|\"|>", "<|tool_response>",
    "<|turn>",    "<turn|>",       "<eos>",        "\n",           "\t",     "<tool_response|>",
    "<|image|>",  "<end_of_turn>", "<|think|>",    "<bos>"};

std::vector<output::Item> parsed(std::string_view bytes, bool whole,
                                 const output::Options& options) {
  output::Parser parser(options);
  std::vector<output::Item> items;
  for (std::size_t i = 0; i < bytes.size();) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte < 16 && byte != 9 && byte != 10) {
      parser.push_marker(kMarkers[byte]);
      ++i;
      continue;
    }
    std::size_t end = i + 1;
    while (whole && end < bytes.size() && static_cast<unsigned char>(bytes[end]) >= 16) ++end;
    parser.push_text(bytes.substr(i, end - i));
    i = end;
    output::join(items, parser.take());
  }
  parser.finish();
  output::join(items, parser.take());
  return items;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  output::Options options;
  options.start = static_cast<output::Start>(data[0] % 3);
  options.thinking = (data[0] & 4U) != 0;
  if ((data[0] & 8U) != 0)
    options.tools = *parse_json(
        R"([{"function":{"name":"f","parameters":{"properties":{"s":{"type":"string"},
        "n":{"type":"integer"},"o":{"$ref":"#/properties/s"}}}}}])",
        "");
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = parsed(bytes, true, options);
  if (whole != parsed(bytes, false, options)) std::abort();
  for (const auto& item : whole)
    if (item.kind == output::Item::Kind::Call && !Json::accept(item.arguments)) std::abort();
  return 0;
}
