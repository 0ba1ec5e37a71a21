// bezel doctor: whether a model, and this machine, are what they must be.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>

#include "base/system.h"
#include "bench/bandwidth.h"
#include "common.h"
#include "doctor/checks.h"
#include "engine/plan.h"

namespace bezel::app {

namespace {

using doctor::Finding;
using doctor::Report;
using doctor::Verdict;

void line(std::string_view what, std::string_view text) {
  output().write(fmt::format("{:<12} {}\n", what, one_line(text)));
}

// Nothing here names the user, the machine or a path.
void print_machine() {
  line("bezel",
       fmt::format("{} (commit {}), numerics {}", BEZEL_VERSION, BEZEL_COMMIT, kNumericsVersion));
  struct utsname system {};
  if (::uname(&system) == 0) line("system", fmt::format("{} {}", system.sysname, system.machine));
  std::string tables;
  for (const KernelTable* t : all_kernel_tables())
    if (runs_here(*t)) tables += fmt::format("{}{}", tables.empty() ? "" : ", ", t->name);
  line("machine", fmt::format("{} cores, {} of memory free, kernels {}", usable_cores(),
                              size_text(free_memory_bytes()), tables));
}

const char* word(Verdict v) {
  return v == Verdict::Ok ? "ok" : v == Verdict::Wrong ? "WRONG" : "-";
}

int print_report(const Report& report) {
  for (const auto& [what, text] : report.facts) line(what, text);
  long wrong = 0, unknown = 0;
  for (const Finding& f : report.findings) {
    line(f.what, fmt::format("{:<6} {}", word(f.verdict), f.text));
    wrong += f.verdict == Verdict::Wrong ? 1 : 0;
    unknown += f.verdict == Verdict::Unknown ? 1 : 0;
  }
  if (wrong > 0) {
    line("verdict", fmt::format("this model is damaged: {} of {} checks found something wrong",
                                wrong, report.findings.size()));
    return kFailed;
  }
  line("verdict", fmt::format("sound{}", unknown > 0 ? ", as far as there is something to compare "
                                                       "with (- marks what there is not)"
                                                     : ""));
  return kDone;
}

int examine(const ModelFlags& with) {
  const InterruptGuard guard;
  print_machine();
  output().flush();
  if (with.options.model_path.empty()) {
    line("memory", fmt::format("{:.1f} GB/s read by {} threads",
                               read_bandwidth(best_kernels(), usable_cores()), usable_cores()));
    note("name a MODEL to have it checked");
    return kDone;
  }
  const auto report = doctor::examine(with.options);
  if (!report) return fail({report.error().code, report.error().what, ""});
  return print_report(*report);
}

}  // namespace

void add_doctor(CLI::App& app, Action& action) {
  auto f = std::make_shared<ModelFlags>();
  CLI::App* c = app.add_subcommand("doctor", "Check that a model and this machine are sound");
  c->footer(
      "Shapes and constants against the published ones of the variant, the tokenizer's checksum, "
      "the\n"
      "chat template, the weights and what comes out of every layer, the perplexity of a built-in "
      "text,\n"
      "the speed beside the memory's, and the fingerprint on every set of kernels that runs here. "
      "The\n"
      "output holds no path and no name: it can be pasted into a report. Exit status 1: something "
      "is\n"
      "wrong.\n\n"
      "Examples:\n"
      "  bezel doctor e2b\n"
      "  bezel doctor model.gguf\n");
  add_model(*c, "MODEL", f->options.model_path)->type_name("");
  f->add(*c);
  c->callback([f, &action] { action = [f] { return examine(*f); }; });
}

}  // namespace bezel::app
