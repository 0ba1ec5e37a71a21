// From MODEL on the command line to a path, for every command.
#include "store/model.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <vector>

#include "base/file.h"
#include "base/progress.h"
#include "hub/find/places.h"
#include "hub/name.h"

namespace bezel::app {

namespace {

struct ModelArgument {
  std::string* path;
  std::string* asked;  // or null
  std::shared_ptr<bool> offline;
};

// Of the command that was chosen; filled while the command line is read.
std::vector<ModelArgument>& arguments() {
  static std::vector<ModelArgument> all;
  return all;
}

// A line that is written over on a terminal, and one every ten seconds elsewhere.
class PullLine {
 public:
  void show(const PullProgress& p) {
    const std::string text = line(p);
    const auto now = Clock::now();
    const bool due = now - last_ > std::chrono::milliseconds(terminal_ ? 100 : 10'000);
    if (text == text_ || (!due && p.stage == stage_)) return;
    if (!terminal_ && p.stage != PullProgress::Stage::Waiting && !due) return;
    last_ = now;
    text_ = text;
    stage_ = p.stage;
    if (terminal_) {
      draw_line(text);
    } else {
      note(text);
    }
  }
  void clear() const {
    if (terminal_) draw_line("");
  }

 private:
  using Clock = std::chrono::steady_clock;

  static std::string line(const PullProgress& p) {
    const std::string file = one_line(p.file);
    switch (p.stage) {
      case PullProgress::Stage::Asking:
        return "asking the hub " + file;
      case PullProgress::Stage::Waiting:
        return "waiting for another program that fetches " + file;
      case PullProgress::Stage::Checking:
        return "checking " + file;
      case PullProgress::Stage::Downloading:
        break;
    }
    std::string out = fmt::format(
        "{:.0f} %, {} of {}",
        p.total > 0 ? 100.0 * static_cast<double>(p.done) / static_cast<double>(p.total) : 0,
        gigabytes(p.done), gigabytes(p.total));
    if (p.rate > 0) out += fmt::format(", {:.1f} MB/s", p.rate / 1e6);
    if (p.seconds_left >= 0) out += fmt::format(", {} left", time_text(p.seconds_left));
    return out + ": " + file;  // last, where a narrow terminal cuts it
  }

  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  PullProgress::Stage stage_ = PullProgress::Stage::Asking;
  std::string text_;
  Clock::time_point last_ = Clock::now();
};

// Whether `text` is a path, or can be nothing else.
bool is_path(const std::string& text) {
  return is_file(text) || is_directory(text) || hub::means_a_path(text) ||
         ::access(text.c_str(), F_OK) == 0;
}

Result<std::string> path_of(const std::string& name, bool forbidden) {
  const bool offline = forbidden || hub::offline_by_environment();
  BEZEL_TRY(const auto store, ModelStore::open({.offline = offline}));
  auto found = store->find(name);
  if (found) {
    if (!found->why.empty()) note(found->why);
    return found->model.path;
  }
  if (!hub::parse_name(name)) return name;  // no name: there is no such file
  if (found.error().code != Errc::NotFound) return found.error();
  const auto plan = store->plan(name);
  if (!plan) return found.error();
  const std::string size = plan->bytes > 0 ? ", about " + gigabytes(plan->bytes) : "";
  if (!can_ask() || offline)
    return Error{
        Errc::NotFound,
        fmt::format("{} is not on this machine{}; `bezel pull {}` fetches it ({}{})", name,
                    offline ? ", and no connection is allowed" : "", name, plan->what, size),
        ""};
  if (!ask(fmt::format("{} is not on this machine. Fetch {}{}?", name, plan->what, size), true))
    return Error{Errc::Cancelled, "nothing was fetched", ""};
  BEZEL_TRY(const FoundModel pulled, pull_with_progress(*store, name));
  note("fetched " + pulled.why);
  return pulled.model.path;
}

}  // namespace

CLI::Option* add_model(CLI::App& command, const std::string& option, std::string& path,
                       const std::string& text, std::string* asked) {
  const auto offline = std::make_shared<bool>(false);
  command.add_flag("--offline", *offline, "try no connection, whatever MODEL names")
      ->group("Model");
  command.parse_complete_callback([offline, &path, asked] {
    arguments().push_back({&path, asked, offline});
  });
  return command.add_option(option, path, text);
}

Status find_models() {
  for (const ModelArgument& a : arguments()) {
    if (a.path->empty() || is_path(*a.path)) continue;
    if (a.asked != nullptr) *a.asked = *a.path;
    BEZEL_TRY(*a.path, path_of(*a.path, *a.offline));
  }
  return Ok{};
}

Result<FoundModel> pull_with_progress(ModelStore& store, const std::string& name) {
  const InterruptGuard guard;
  PullLine line;
  PullOptions options;
  options.cancel = &InterruptGuard::flag();
  options.on_progress = [&](const PullProgress& p) { line.show(p); };
  auto pulled = store.pull(name, options);
  line.clear();
  return pulled;
}

bool can_ask() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
}

bool ask(const std::string& question, bool otherwise) {
  if (!can_ask()) return false;
  output().flush();
  std::fprintf(stderr, "%s [%s] ", question.c_str(), otherwise ? "Y/n" : "y/N");
  std::string answer;
  for (int c; (c = std::fgetc(stdin)) != '\n';) {
    if (c == EOF) return false;
    answer += static_cast<char>(c);
  }
  if (answer.empty()) return otherwise;
  return answer == "y" || answer == "Y" || answer == "yes" || answer == "Yes";
}

std::string gigabytes(std::uint64_t bytes) {
  if (bytes < 10'000'000) return fmt::format("{:.2f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace bezel::app
