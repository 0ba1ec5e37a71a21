// Engines, requests and answers for the tests of the engine room.
#pragma once
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/temp_folder.h"
#include "bezel/engine.h"
#include "model/harness.h"

namespace bezel::test {

// Ids of the tests' vocabulary: 4 + b is the byte b, 260 + n the piece "w<n>", n < 30.
constexpr TokenId kEnd = 1, kBos = 2;
constexpr TokenId byte_id(int b) {
  return 4 + b;
}
constexpr TokenId word_id(int n) {
  return 260 + n;
}

// Weights of a fixture with a tokenizer beside them, which the fixtures lack: a Hugging Face
// folder. With `chat` the vocabulary has turn markers, and those of thoughts and tools.
class ModelFolder {
 public:
  static constexpr TokenId kThought = 280, kCall = 285, kTurn = 290, kTurnEnd = 291;
  static constexpr TokenId letter(char c) { return 292 + c - 'a'; }

  explicit ModelFolder(const std::string& fixture, bool chat = false,
                       const std::string& generation = R"({"eos_token_id": [1]})") {
    for (const auto& e : std::filesystem::directory_iterator(text_fixture(fixture))) {
      const std::string name = e.path().filename().string();
      if (name == "config.json" || name.rfind("model", 0) == 0)
        std::filesystem::copy_file(e.path(), folder_.file(name));
    }
    std::filesystem::remove(folder_.file("model.gguf"));
    folder_.put("generation_config.json", generation);
    folder_.put("tokenizer.json", tokenizer(chat));
  }
  const std::string& path() const { return folder_.path(); }
  std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  static std::string tokenizer(bool chat) {
    Json vocab = Json::object(), added = Json::array();
    int next = 0;
    const auto marker = [&](const char* text) {
      added.push_back({{"id", next}, {"content", text}, {"special", true}});
      vocab[text] = next++;
    };
    const auto piece = [&](const std::string& text) { vocab[text] = next++; };
    for (const char* text : {"<pad>", "<eos>", "<bos>", "<unk>"}) marker(text);
    for (int b = 0; b < 256; ++b) piece(fmt::format("<0x{:02X}>", b));
    const int n_words = chat ? 20 : 30;
    for (int n = 0; n < n_words; ++n) piece(fmt::format("w{}", n));
    if (chat)
      for (const char* text :
           {"<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|tool_call>",
            "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>"})
        marker(text);
    for (const char* text : {"<|turn>", "<turn|>"})
      if (chat) {
        marker(text);
      } else {
        piece(fmt::format("w{}", next - 260));
      }
    for (char c = 'a'; c <= 'z'; ++c) piece(std::string(1, c));
    piece("qz");
    piece("w59");
    const Json spaces = {
        {"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\xE2\x96\x81"}};
    Json merges = Json::array();
    merges.push_back("q z");
    const Json model = {{"type", "BPE"},
                        {"unk_token", "<unk>"},
                        {"byte_fallback", true},
                        {"vocab", vocab},
                        {"merges", merges}};
    return dump_json({{"added_tokens", added}, {"normalizer", spaces}, {"model", model}});
  }

  TempFolder folder_;
};

inline EngineOptions tiny(const std::string& path = text_fixture("e2b/model.gguf")) {
  EngineOptions o;
  o.model_path = path;
  o.threads = 1;
  o.act = ActKind::F32;
  o.kv = KvKind::F32;
  o.context = 256;
  o.chunk = 16;
  return o;
}

inline const ModelFolder& e2b_folder() {
  static const ModelFolder folder("e2b");
  return folder;
}
inline EngineOptions tiny_engine() {
  return tiny(e2b_folder().path());
}

// Never null.
inline std::unique_ptr<Engine> load_engine(const EngineOptions& options = tiny_engine()) {
  auto engine = Engine::load(options);
  if (!engine) throw std::runtime_error(engine.error().text());
  return *std::move(engine);
}

// Everything that came out of one request.
struct Answer {
  std::optional<Error> error;
  Done done;
  std::string text;
  std::vector<TextPiece> pieces;
  std::vector<PromptProgress> progress;

  std::vector<float> logprobs() const {
    std::vector<float> out;
    for (const TextPiece& p : pieces) {
      out.push_back(p.logprob);
      for (const TokenLogprob& b : p.best) out.push_back(b.logprob);
    }
    return out;
  }
};

using Watch = std::function<bool(const Answer&)>;  // sees what came so far; false cancels

inline Answer answer_of(Engine& engine, const Request& request, const Watch& watch = nullptr) {
  Answer a;
  const auto on_event = [&](const Event& event) {
    if (const auto* piece = std::get_if<TextPiece>(&event)) {
      a.text += piece->text;
      a.pieces.push_back(*piece);
    } else {
      a.progress.push_back(std::get<PromptProgress>(event));
    }
    return watch ? watch(a) : true;
  };
  auto done = engine.generate(request, on_event);
  if (done) {
    a.done = *std::move(done);
  } else {
    a.error = done.error();
  }
  return a;
}

// Rules under which the answer is exactly these ids: each has a bias that no logit (at most 30
// either way) makes up for, and loses it once it was chosen. Ids must differ, must not be in the
// prompt, and may be 13 at most.
inline Sampling script(const std::vector<TokenId>& ids) {
  EXPECT_LE(ids.size(), 13U);
  Sampling s;
  s.temperature = 0;
  s.repetition_penalty = 100;
  float bias = 1000;
  for (const TokenId id : ids) {
    s.bias.emplace_back(id, bias);
    bias -= 70;
  }
  return s;
}

inline Request scripted(std::vector<TokenId> prompt, const std::vector<TokenId>& ids) {
  Request r;
  r.prompt = std::move(prompt);
  r.sampling = script(ids);
  r.max_tokens = static_cast<int>(ids.size());
  return r;
}

inline Request greedy(std::vector<TokenId> prompt, int max_tokens) {
  Request r;
  r.prompt = std::move(prompt);
  r.sampling.temperature = 0;
  r.max_tokens = max_tokens;
  return r;
}

// Numbers for seeded tests: the same on every machine.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
  int below(int n) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<int>((state_ >> 33U) % static_cast<std::uint64_t>(n));
  }
  float between(float lo, float hi) {
    return lo + (hi - lo) * static_cast<float>(below(1 << 20)) / static_cast<float>(1 << 20);
  }

 private:
  std::uint64_t state_;
};

// bos and ids from 3 on, n in all.
inline std::vector<TokenId> random_prompt(int n, std::uint64_t seed) {
  Dice dice(seed);
  std::vector<TokenId> ids{kBos};
  while (static_cast<int>(ids.size()) < n) ids.push_back(3 + dice.below(317));
  return ids;
}

template <class T>
std::vector<T> head(const std::vector<T>& v, std::size_t n) {
  return {v.begin(), v.begin() + static_cast<std::ptrdiff_t>(n)};
}

}  // namespace bezel::test
