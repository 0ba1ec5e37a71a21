// Models for the program's tests: fixtures, and one that can talk.
#pragma once
#include <fmt/format.h>

#include <filesystem>

#include "apps/program.h"
#include "base/json.h"
#include "base/temp_folder.h"
#include "kernels/kernels.h"
#include "model/harness.h"

namespace bezel::test {

inline Json json_of(const std::string& text) {
  auto json = parse_json(text, "output");
  EXPECT_TRUE(json) << text.substr(0, 500);
  return json ? *std::move(json) : Json();
}

// The objects of JSON lines.
inline std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> lines;
  std::size_t at = 0;
  for (std::size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    lines.push_back(json_of(text.substr(at, end - at)));
  EXPECT_EQ(at, text.size()) << "the last line has no end";
  return lines;
}

inline std::string ids_text(const std::vector<std::int32_t>& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

inline std::vector<std::string> isas_here() {
  std::vector<std::string> names;
  for (const KernelTable* t : all_kernel_tables())
    if (runs_here(*t)) names.emplace_back(t->name);
  return names;
}

// The vocabularies of these cannot be used for text: they have no merges.
inline const std::string kE2b = text_fixture("e2b/model.gguf");
inline const std::string kQuant = text_fixture("e2b-wide/Q4_K_M.gguf");

// The quantised E2B with three pieces renamed, so that it has a merge and can read text: byte
// pieces and "abcd". It has no turn markers.
inline const std::string& base_model() {
  static const TempFolder folder;
  static const std::string path = [] {
    auto bytes = read_file(kQuant, 1U << 26U);
    EXPECT_TRUE(bytes);
    for (const auto& [old, now] : {std::pair{"w0", "ab"}, {"w1", "cd"}, {"w100", "abcd"}}) {
      std::string with_length(8, '\0');
      with_length[0] = static_cast<char>(std::string_view(old).size());
      const std::size_t at = bytes->find(with_length + old);
      EXPECT_NE(at, std::string::npos);
      bytes->replace(at + 8, std::string_view(old).size(), now);
    }
    return folder.put("base.gguf", *bytes);
  }();
  return path;
}

// The E2B fixture with a tokenizer that has letters and Gemma 4's turn markers, and a context so
// long that no answer reaches its end. All other text is byte pieces.
class TalkingModel {
 public:
  static constexpr int kSpace = 260, kA = 261, kTurn = 287;

  explicit TalkingModel(bool with_template = true, int context = 131072) {
    namespace fs = std::filesystem;
    const std::string from = text_fixture("e2b");
    for (const char* name : {"model.safetensors", "generation_config.json"})
      fs::copy_file(from + "/" + name, folder_.file(name));
    auto text = read_file(from + "/config.json", 1U << 20U);
    EXPECT_TRUE(text);
    Json config = json_of(*text);
    config["text_config"]["max_position_embeddings"] = context;
    folder_.put("config.json", dump_json(config));
    folder_.put("tokenizer.json", dump_json(tokenizer()));
    if (with_template)
      folder_.put("chat_template.jinja", "{# Google Gemma 4 Canonical Chat Template #}");
  }

  const std::string& path() const { return folder_.path(); }
  // Flags that make every answer this letter, over and over.
  static Words always(char letter) { return {"--bias", fmt::format("{}=1000", kA + letter - 'a')}; }

 private:
  static Json tokenizer() {
    std::vector<std::string> pieces{"<pad>", "<eos>", "<bos>", "<unk>"};
    for (int i = 0; i < 256; ++i) pieces.push_back(fmt::format("<0x{:02X}>", i));
    pieces.emplace_back("\xE2\x96\x81");
    for (char c = 'a'; c <= 'z'; ++c) pieces.emplace_back(1, c);
    const std::size_t first_marker = pieces.size();
    for (const char* m :
         {"<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>",
          "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>"})
      pieces.emplace_back(m);
    const std::size_t end_markers = pieces.size();
    while (pieces.size() < 319) pieces.push_back(fmt::format("w{}", pieces.size()));
    pieces.emplace_back("jj");  // a tokenizer must have a merge
    Json vocab = Json::object(), added = Json::array();
    for (std::size_t i = 0; i < pieces.size(); ++i) vocab[pieces[i]] = i;
    for (std::size_t i = 0; i < end_markers; i = i == 3 ? first_marker : i + 1)
      added.push_back({{"id", i}, {"content", pieces[i]}, {"special", true}});
    const Json space = {{"String", " "}};
    return {{"added_tokens", added},
            {"normalizer", {{"type", "Replace"}, {"pattern", space}, {"content", pieces[kSpace]}}},
            {"model",
             {{"type", "BPE"},
              {"byte_fallback", true},
              {"vocab", vocab},
              {"merges", Json::array({"j j"})}}}};
  }

  TempFolder folder_;
};

}  // namespace bezel::test
