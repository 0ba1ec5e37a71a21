// Microseconds a mask takes: every token of the instances in bench/constrain_cases.json, each
// schema compiled afresh. BEZEL_TOKENIZER_JSON names the published Gemma 4 tokenizer.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "text/constrain/masker.h"

namespace {

using namespace bezel;
using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

void row(const std::string& name, double compile_us, std::vector<double> us) {
  std::sort(us.begin(), us.end());
  double sum = 0;
  for (const double x : us) sum += x;
  fmt::print("{:<10} {:>6} {:>10.2f} {:>9.2f} {:>9.2f} {:>9.1f} {:>9.1f}\n", name, us.size(),
             compile_us / 1000, us[us.size() / 2], sum / static_cast<double>(us.size()),
             us[us.size() * 99 / 100], us.back());
}

// False when an instance does not fit.
bool measure(const Json& one, const Tokenizer& tokenizer,
             const std::shared_ptr<const constrain::Vocabulary>& vocabulary,
             std::vector<double>& all, double& all_compile) {
  const std::string schema = dump_json(one["schema"]);
  std::shared_ptr<constrain::Masks> masks;
  std::vector<double> compiles;
  for (int i = 0; i < 5; ++i) {  // the first one finds nothing in the caches
    const auto start = Clock::now();
    auto language = constrain::json_schema(schema);
    if (!language) return fmt::print("{}\n", language.error().text()), false;
    masks = std::make_shared<constrain::Masks>(vocabulary, *language,
                                               std::vector<TokenId>{tokenizer.eos()});
    constrain::Masker(masks).mask();
    compiles.push_back(us_since(start));
  }
  std::sort(compiles.begin(), compiles.end());
  const double compile = compiles[2];
  std::vector<double> us;
  for (const Json& instance : one["instances"]) {
    constrain::Masker masker(masks);
    for (const TokenId id : tokenizer.encode_plain(dump_json(instance))) {
      const auto before = Clock::now();
      const auto mask = masker.mask();
      us.push_back(us_since(before));
      if (!mask->has(id) || !masker.accept(id)) return false;
    }
    if (!masker.can_end()) return false;
  }
  row(one["name"].get<std::string>(), compile, us);
  all.insert(all.end(), us.begin(), us.end());
  all_compile = std::max(all_compile, compile);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = std::getenv("BEZEL_TOKENIZER_JSON");
  const auto tokenizer = Tokenizer::load_json(path != nullptr ? path : "");
  const auto text = read_file(argc > 1 ? argv[1] : BEZEL_CASES, 1U << 20U);
  if (!tokenizer || !text) {
    fmt::print("set BEZEL_TOKENIZER_JSON to the published tokenizer.json\n");
    return 1;
  }
  const auto cases = parse_json(*text, "cases");
  if (!cases) return 1;
  const auto start = Clock::now();
  const auto vocabulary = std::make_shared<constrain::Vocabulary>(**tokenizer);
  fmt::print("vocabulary sorted in {:.0f} ms, once\n", us_since(start) / 1000);
  fmt::print("{:<10} {:>6} {:>10} {:>9} {:>9} {:>9} {:>9}\n", "schema", "tokens", "compile ms",
             "median", "mean", "99 %", "worst us");
  std::vector<double> all;
  double compile = 0;
  for (const Json& one : *cases)
    if (!measure(one, **tokenizer, vocabulary, all, compile)) return 1;
  row("all", compile, all);
  return 0;
}
