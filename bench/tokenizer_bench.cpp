// Megabytes of text per second, and loading. Uses the published Gemma 4 tokenizer when
// BEZEL_TOKENIZER_JSON names it, else the small one of the tests.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/file.h"
#include "text/tokenizer.h"

namespace {

using bezel::Tokenizer;

std::string json_path() {
  const char* path = std::getenv("BEZEL_TOKENIZER_JSON");
  return path != nullptr && *path != '\0' ? path : BEZEL_FIXTURES "/tokenizer/small/tokenizer.json";
}

const Tokenizer& tokenizer() {
  static const auto loaded = [] {
    auto result = Tokenizer::load_json(json_path());
    if (!result) std::abort();
    return *std::move(result);
  }();
  return *loaded;
}

std::string repeated(const std::string& unit, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

// Letters in a fixed random order: one segment that no border cuts.
std::string random_letters(std::size_t bytes) {
  std::string text;
  for (std::uint32_t x = 1; text.size() < bytes;) {
    x = x * 1103515245U + 12345U;
    text.push_back(static_cast<char>('a' + (x >> 16U) % 26U));
  }
  return text;
}

std::string ordinary_text() {
  auto text = bezel::read_file(BEZEL_FIXTURES "/gemma3-270m/text.txt", 1U << 20U);
  if (!text) std::abort();
  return *std::move(text);
}

void encode(benchmark::State& state, const std::string& text) {
  std::size_t n_ids = 0;
  for (auto _ : state) n_ids = tokenizer().encode_plain(text).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
  state.counters["ids"] = static_cast<double>(n_ids);
}

void load(benchmark::State& state) {
  for (auto _ : state) {
    auto loaded = Tokenizer::load_json(json_path());
    if (!loaded) state.SkipWithError("the tokenizer does not load");
  }
}

void register_all() {
  benchmark::RegisterBenchmark("load_json", load)->Unit(benchmark::kMillisecond);
  const auto add = [](const char* name, std::string text) {
    benchmark::RegisterBenchmark(name, [text = std::move(text)](benchmark::State& state) {
      encode(state, text);
    })->Unit(benchmark::kMillisecond);
  };
  add("encode/ordinary_once", ordinary_text());
  add("encode/ordinary_10MB", repeated(ordinary_text(), 10'000'000));
  for (const std::size_t mb : {1U, 10U}) {
    const auto name = [mb](const char* kind) {
      return std::string("encode/") + kind + "_" + std::to_string(mb) + "MB";
    };
    const std::size_t bytes = mb * 1'000'000;
    add(name("one_letter").c_str(), repeated("a", bytes));
    add(name("spaces").c_str(), repeated(" ", bytes));
    add(name("period").c_str(), repeated("abcab", bytes));
    add(name("random_letters").c_str(), random_letters(bytes));
    add(name("not_utf8").c_str(), repeated("\xFF", bytes));
  }
}

}  // namespace

int main(int argc, char** argv) {
  register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
