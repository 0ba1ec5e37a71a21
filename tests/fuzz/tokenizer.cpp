// Any bytes as a tokenizer.json, and any bytes as text for a small one.
#include "text/tokenizer.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "text/prompt.h"

namespace {

using bezel::Tokenizer;

// All byte pieces, the markers of a chat, and a few merges that overlap.
std::string small_json() {
  std::string vocab, added;
  int id = 0;
  const auto piece = [&](const std::string& text) {
    if (!vocab.empty()) vocab.push_back(',');
    vocab.append("\"").append(text).append("\":").append(std::to_string(id++));
  };
  for (const char* marker : {"<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"}) {
    if (!added.empty()) added.push_back(',');
    added.append(R"({"special":true,"id":)").append(std::to_string(id));
    added.append(R"(,"content":")").append(marker).append("\"}");
    piece(marker);
  }
  const std::string digits = "0123456789ABCDEF";
  for (const char high : digits)
    for (const char low : digits) piece({'<', '0', 'x', high, low, '>'});
  for (const char* text : {"a", "b", "\xE2\x96\x81", "\\n", "<", ">", "ab", "ba", "aba", "abab",
                           "\xE2\x96\x81\xE2\x96\x81",
                           "\xE2\x96\x81"
                           "a",
                           "\\n\\n", "a>"})
    piece(text);
  const std::string merges =
      R"(["ab","ab"],["a","b"],["b","a"],["ab","a"],["a","ba"],["\n","\n"],["a",">"],)"
      "[\"\xE2\x96\x81\",\"\xE2\x96\x81\"],[\"\xE2\x96\x81\",\"a\"]";
  return R"({"normalizer":{"type":"Replace","pattern":{"String":" "},"content":")"
         "\xE2\x96\x81\"},\"added_tokens\":[" +
         added + R"(],"model":{"type":"BPE","byte_fallback":true,"vocab":{)" + vocab +
         "},\"merges\":[" + merges + "]}}";
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Ids of a text carry its bytes, and streaming them loses nothing.
void check_text(const Tokenizer& tokenizer, std::string_view text) {
  for (const auto& ids : {tokenizer.encode(text), tokenizer.encode_plain(text)}) {
    std::string bytes;
    for (const auto id : ids) {
      require(id >= 0 && id < tokenizer.vocab_size());
      bytes += tokenizer.bytes_of(id);
    }
    std::string expected;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool mark = text.substr(i, 3) == "\xE2\x96\x81";
      expected.push_back(mark ? ' ' : text[i]);
      i += mark ? 2 : 0;
    }
    require(bytes == expected);
    require(static_cast<bool>(tokenizer.decode(ids, true)));
    bezel::Detokenizer stream(tokenizer, true);
    for (const auto id : ids) stream.push(id);
    stream.finish();
  }
  for (const auto id : tokenizer.encode_plain(text)) require(!tokenizer.is_marker(id));
  require(static_cast<bool>(
      bezel::render_chat(tokenizer, bezel::PromptStyle::Gemma4Large,
                         {{"user", std::string(text)}, {"model", std::string(text)}}, {})));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto small = [] {
    auto loaded = Tokenizer::parse_json(small_json(), "small");
    require(static_cast<bool>(loaded));
    return *std::move(loaded);
  }();
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'T') {
    check_text(*small, rest);
  } else if (const auto loaded = Tokenizer::parse_json(rest, "input")) {
    const auto ids = (*loaded)->encode("ab <|turn>\n\n \xFF");
    require(static_cast<bool>((*loaded)->decode(ids, false)));
  }
  return 0;
}
