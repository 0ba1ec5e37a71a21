#include "common.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <type_traits>

#include "base/file.h"
#include "base/utf8.h"
#include "engine/plan.h"

namespace bezel::app {

namespace {
constexpr int kMostTokens = 1 << 30;
constexpr std::uint64_t kMostMemory = std::uint64_t{1} << 50U;  // 1024 TB
constexpr std::size_t kOutputBuffer = std::size_t{64} << 10U;
}  // namespace

// ---- output

bool Output::write(std::string_view text) {
  if (error_ != 0) return false;
  buffer_ += text;
  return buffer_.size() < kOutputBuffer || flush();
}

bool Output::flush() {
  std::size_t at = 0;
  while (error_ == 0 && at < buffer_.size()) {
    const ssize_t n = ::write(STDOUT_FILENO, buffer_.data() + at, buffer_.size() - at);
    if (n >= 0)
      at += static_cast<std::size_t>(n);
    else if (errno != EINTR)  // a signal is no failure
      error_ = errno;
  }
  buffer_.clear();
  return error_ == 0;
}

int Output::finish(int status) {
  flush();
  if (error_ == 0) return status;
  if (error_ != EPIPE)
    fail(
        {Errc::Io, fmt::format("the output could not be written ({})", std::strerror(error_)), ""});
  return status == kDone ? kFailed : status;
}

Output& output() {
  static Output out;
  return out;
}

std::string one_line(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t n = utf8_length_at(text, i);
    const std::string_view here = text.substr(i, std::max<std::size_t>(n, 1));
    const auto first = static_cast<unsigned char>(here[0]);
    const bool control = n == 0 || first < 0x20 || first == 0x7F ||
                         (here >= "\xC2\x80" && here <= "\xC2\x9F") ||      // C1 controls
                         here == "\xE2\x80\xA8" || here == "\xE2\x80\xA9";  // separators
    out += control ? std::string_view(" ") : here;
    i += here.size();
  }
  return out;
}

int fail(const Error& error) {
  output().flush();  // on a terminal the two outputs are one
  std::fprintf(stderr, "bezel: %s\n", one_line(error.text()).c_str());
  return error.code == Errc::Cancelled ? kInterrupted : kFailed;
}

void note(std::string_view text) {
  output().flush();
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

// ---- Ctrl-C

namespace {

// A signal handler reaches nothing but globals.
std::atomic<bool> interrupted{false};  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_interrupt(int /*signal*/) {
  if (interrupted.exchange(true)) ::_exit(kInterrupted);
}

void set_handler(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  ::sigemptyset(&action.sa_mask);  // without SA_RESTART: a read at the prompt returns
  ::sigaction(SIGINT, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupted = false;
  set_handler(on_interrupt);
}

InterruptGuard::~InterruptGuard() {
  set_handler(SIG_DFL);
}

const std::atomic<bool>& InterruptGuard::flag() {
  return interrupted;
}

void InterruptGuard::clear() {
  interrupted = false;
}

// ---- flags

CLI::Range range(int lo, int hi) {
  CLI::Range r(lo, hi);
  r.description("");  // not repeated in every line of --help
  return r;
}

namespace {

// CLI11's own sizes take -5 for the largest number less 4. Puts bytes in place of a size like 8GB;
// else says what is wrong.
std::string size_problem(std::string& text) {
  constexpr std::string_view kUnits = "bkmgt";  // powers of 1024
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const char* first = std::find_if(stop, end, [](char c) { return c != ' '; });
  const std::string unit = CLI::detail::to_lower(std::string(first, end));
  const std::size_t power = unit.empty() ? 0 : kUnits.find(unit[0]);
  const std::string rest = unit.substr(unit.empty() ? 0 : 1);
  const bool known = power != kUnits.npos &&
                     (rest.empty() || (power > 0 && (rest == "b" || rest == "i" || rest == "ib")));
  if (error != std::errc{} || !known || value == 0 || value > kMostMemory >> (10 * power))
    return fmt::format(
        "expected a size from 1 byte to 1024TB, a whole number as 8GB or 500MB, not \"{}\"", text);
  text = std::to_string(value << (10 * power));
  return "";
}

}  // namespace

void ModelFlags::add(CLI::App& command) {
  std::vector<std::string> tables;
  for (const KernelTable* t : all_kernel_tables()) tables.emplace_back(t->name);
  const auto named = [](CLI::Option* option, const char* type) {
    option->type_name(type)->group("Model");
  };
  const auto choice = [&](const char* name, const char* type, const char* text,
                          const std::vector<std::string>& names,
                          const std::function<void(const std::string&)>& set) {
    named(command.add_option_function<std::string>(name, set, text)->check(CLI::IsMember(names)),
          type);
  };
  choice("--isa", "TABLE", "kernels for this instruction set (default: the best that runs here)",
         tables, [this](const std::string& name) { options.isa = name; });
  choice("--act", "TYPE", "activations at quantised weights (default int8)", {"int8", "f32"},
         [this](const std::string& name) {
           options.act = name == "f32" ? ActKind::F32 : ActKind::Int8;
         });
  choice("--kv", "TYPE", "keys and values (default f16)", {"f16", "bf16", "f32"},
         [this](const std::string& name) {
           options.kv = name == "f32" ? KvKind::F32 : name == "f16" ? KvKind::F16 : KvKind::BF16;
         });
  choice("--weights", "HOW",
         "auto: packed in memory for writing where that fits (default); file: as they lie; q8_0: "
         "float ones rounded to 8 bits",
         {"auto", "file", "q8_0"}, [this](const std::string& name) {
           options.weights = name == "file"   ? WeightKind::File
                             : name == "q8_0" ? WeightKind::Q8_0
                                              : WeightKind::Auto;
         });
  named(command.add_option("--threads", options.threads, "threads (default: physical cores)")
            ->check(range(1, 1024)),
        "N");
  named(command
            .add_option("--ctx", options.context, "context in tokens (default: what memory allows)")
            ->check(range(1, kMostTokens)),
        "N");
  named(command.add_option("--chunk", options.chunk, "most tokens of a prompt in one pass")
            ->check(range(1, 65536)),
        "N");
  named(command
            .add_option(
                "--memory", options.memory,
                "most memory to take beside the model's files, as 8GB or 500MB (default: what is "
                "free)")
            ->transform(CLI::Validator(size_problem, "")),
        "SIZE");
}

void ModelFlags::add_cache(CLI::App& command) {
  command
      .add_option("--cache-memory", options.cache_memory,
                  "keys and values of answers and kept prefixes, as 2GB or 500MB (default: whole "
                  "contexts and some prefixes)")
      ->transform(CLI::Validator(size_problem, ""))
      ->type_name("SIZE")
      ->group("Model");
  command
      .add_option("--cache-dir", options.cache_folder,
                  "keep prefixes of prompts in this folder for the next start")
      ->type_name("DIR")
      ->group("Model");
}

namespace {

// CLI11 takes no text for no value, and -1 and too large numbers for the largest one. This is
// asked first.
template <class T>
std::string number_problem(const std::string& text) {
  T value{};
  const char* first = text.data() + (text.size() > 1 && text[0] == '+' ? 1 : 0);
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(first, end, value);
  if (error == std::errc{} && stop == end) return "";
  return fmt::format("\"{}\" is not {}", text,
                     std::is_integral_v<T> ? "a whole number in range" : "a number in range");
}

}  // namespace

void SamplingFlags::add(CLI::App& command) {
  const auto named = [](CLI::Option* option, const char* type) {
    option->type_name(type)->group("Choosing tokens (defaults: the model's own)");
  };
  named(
      command
          .add_option("-n,--max-tokens", max_tokens, "longest answer (default: the context's end)")
          ->check(range(1, kMostTokens)),
      "N");
  named(command.add_option("--temp,--temperature", temperature, "0: always the best token")
            ->check(number_problem<float>),
        "X");
  named(command.add_option("--top-k", top_k, "keep the K best; 0: all")->check(number_problem<int>),
        "K");
  named(command.add_option("--top-p", top_p, "keep the best with together this probability")
            ->check(number_problem<float>),
        "X");
  named(command.add_option("--min-p", min_p, "keep what has this share of the best's probability")
            ->check(number_problem<float>),
        "X");
  named(command.add_option("--repetition-penalty", repetition_penalty, "1: none")
            ->check(number_problem<float>),
        "X");
  named(command.add_option("--presence-penalty", presence_penalty, "0: none")
            ->check(number_problem<float>),
        "X");
  named(command.add_option("--frequency-penalty", frequency_penalty, "0: none")
            ->check(number_problem<float>),
        "X");
  named(
      command.add_option("--bias", bias, "added to a token's logit; -inf bans it; may be repeated")
          ->allow_extra_args(false),
      "ID=X");
  named(command.add_option("--stop", stop, "a text that ends the answer; may be repeated")
            ->allow_extra_args(false),
        "TEXT");
  named(command.add_option("--seed", seed, "same seed, same answer (default: random)")
            ->check(number_problem<std::uint64_t>),
        "N");
  command.add_flag("--greedy", greedy, "the same as --temp 0")
      ->group("Choosing tokens (defaults: the model's own)");
}

namespace {

Result<std::pair<TokenId, float>> parse_bias(const std::string& text) {
  const std::size_t equals = text.find('=');
  const char* end = text.data() + text.size();
  TokenId id = 0;
  float value = 0;
  if (equals != std::string::npos) {
    const char* middle = text.data() + equals;
    const auto a = std::from_chars(text.data(), middle, id);
    const char* number = middle + 1 < end && middle[1] == '+' ? middle + 2 : middle + 1;
    const auto b = std::from_chars(number, end, value);
    if (a.ec == std::errc{} && a.ptr == middle && b.ec == std::errc{} && b.ptr == end &&
        !std::isnan(value))
      return std::pair{id, value};
  }
  return Error{Errc::BadInput, fmt::format("--bias expects ID=NUMBER, not \"{}\"", text), ""};
}

}  // namespace

Result<Request> SamplingFlags::request(const Engine& engine) const {
  Request r;
  r.sampling = engine.default_sampling();
  Sampling& s = r.sampling;
  s.temperature = greedy ? 0 : temperature.value_or(s.temperature);
  s.top_k = top_k.value_or(s.top_k);
  s.top_p = top_p.value_or(s.top_p);
  s.min_p = min_p.value_or(s.min_p);
  s.repetition_penalty = repetition_penalty;
  s.presence_penalty = presence_penalty;
  s.frequency_penalty = frequency_penalty;
  for (const std::string& text : bias) {
    BEZEL_TRY(auto entry, parse_bias(text));
    s.bias.push_back(entry);
  }
  if (seed) {
    s.seed = *seed;
  } else {
    std::random_device device;
    s.seed = (std::uint64_t{device()} << 32U) | device();
  }
  r.stop = stop;
  r.max_tokens = max_tokens;
  return r;
}

void IdsFlags::add(CLI::App& command, bool in_place) {
  auto* from_file =
      command.add_option("--ids-file", file, "file of ids, separated by commas or white space")
          ->type_name("FILE");
  if (!in_place) return;
  command.add_option("--ids", ids, "ids, separated by commas")
      ->type_name("LIST")
      ->excludes(from_file);
}

Result<std::vector<TokenId>> IdsFlags::read() const {
  constexpr std::uint64_t kMaxBytes = 256U << 20U;
  if (file.empty()) return parse_ids(ids, "--ids");
  BEZEL_TRY(const std::string text, read_file(file, kMaxBytes));
  return parse_ids(text, file);
}

Result<std::vector<TokenId>> parse_ids(std::string_view text, const std::string& where) {
  constexpr std::string_view kSeparators = ", \t\r\n\v\f";
  std::vector<TokenId> out;
  for (std::size_t at = text.find_first_not_of(kSeparators); at != std::string_view::npos;
       at = text.find_first_not_of(kSeparators, at)) {
    const std::size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    TokenId id = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc{} || stop != text.data() + end || id < 0)
      return Error{
          Errc::BadInput,
          fmt::format("expected a token id, found \"{}\" (number {} of the list)",
                      text.substr(at, std::min<std::size_t>(end - at, 40)), out.size() + 1),
          where};
    out.push_back(id);
    at = end;
  }
  if (out.empty()) return Error{Errc::BadInput, "there are no ids", where};
  return out;
}

namespace {

// What full answers leave.
std::uint64_t least_for_prefixes(const EngineInfo& info) {
  const MemoryPlan& m = info.memory;
  return m.kv - std::min(m.kv, m.sequence * static_cast<std::uint64_t>(info.sequences));
}

}  // namespace

void note_context(const EngineInfo& info) {
  note(fmt::format(
      "context {} of {} tokens; memory {} beside the model's {} ({} of it for keys and values; {} "
      "and what answers leave for kept prefixes, a window takes {})",
      info.context, info.model_context, size_text(info.memory.anonymous()),
      size_text(info.memory.mapped), size_text(info.memory.kv), size_text(least_for_prefixes(info)),
      size_text(info.memory.window)));
  if (!info.cache_note.empty()) note("cache: " + info.cache_note);
}

void note_stored(const Status& stored) {
  if (!stored) note("prefixes were not stored: " + one_line(stored.error().text()));
}

}  // namespace bezel::app
