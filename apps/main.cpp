// bezel: one program, a command for every task.
#include <fmt/core.h>
#include <signal.h>

#include <algorithm>
#include <new>
#include <string>

#include "base/json.h"
#include "common.h"
#include "kernels/kernels.h"

namespace bezel::app {
namespace {

constexpr const char* kDescription =
    "Runs Gemma 4 and Gemma 3 text models on this machine's processor.";
constexpr const char* kFooter =
    "MODEL is a .gguf file, a folder in the layout of Hugging Face (config.json, *.safetensors), "
    "or\n"
    "a name: e2b, e4b, 12b, 26b, 31b, owner/repo, or one that `bezel list` shows. What is not here "
    "is\n"
    "fetched from the hub; `bezel pull --help` says more.\n"
    "`bezel COMMAND --help` explains a command.\n\n"
    "Examples:\n"
    "  bezel chat e2b\n"
    "  bezel run gemma-4-E2B-it-Q4_0.gguf \"Why is the sky blue?\"\n"
    "  bezel show gemma-4-12B-it-Q4_K_M.gguf --ctx 32768\n";

std::string version_text() {
  std::string tables;
  for (const KernelTable* t : all_kernel_tables())
    tables += fmt::format("{}{}{}", tables.empty() ? "" : ", ", t->name,
                          runs_here(*t) ? "" : " (not on this machine)");
  return fmt::format(
      "bezel {} (commit {})\n"
      "numerics   version {}\n"
      "kernels    {}; in use: {}\n"
      "libraries  fmt {}.{}.{}, nlohmann-json {}.{}.{}, simdjson {}, CLI11 {}\n"
      "compiler   {}\n",
      BEZEL_VERSION, BEZEL_COMMIT, kNumericsVersion, tables, best_kernels().name,
      FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100, NLOHMANN_JSON_VERSION_MAJOR,
      NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH, BEZEL_SIMDJSON, CLI11_VERSION,
      __VERSION__);
}

// A mistake on the command line as one sentence.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  std::string command;
  for (const CLI::App* sub : app.get_subcommands()) command += " " + sub->get_name();
  std::string what = one_line(error.what());
  while (!what.empty() && (what.back() == ' ' || what.back() == '.')) what.pop_back();
  std::fprintf(stderr, "bezel: %s; see `bezel%s --help`\n", what.c_str(), command.c_str());
  return kUsage;
}

bool has_command(const CLI::App& app, const std::string& name) {
  const auto all = app.get_subcommands([](const CLI::App*) { return true; });
  return std::any_of(all.begin(), all.end(), [&](const auto* c) { return c->get_name() == name; });
}

int run_program(int argc, char** argv) {
  CLI::App app{kDescription, "bezel"};
  app.footer(kFooter);
  app.get_formatter()->column_width(34);
  bool version = false;
  Action action;
  app.add_flag("--version", version, "version, commit, kernels and libraries");
  add_run(app, action);
  add_chat(app, action);
  add_serve(app, action);
  add_list(app, action);
  add_pull(app, action);
  add_rm(app, action);
  add_doctor(app, action);
  add_show(app, action);
  add_bench(app, action);
  add_tokenize(app, action);
  add_perplexity(app, action);
  add_logits(app, action);
  add_render(app, action);
  add_parse(app, action);
  add_check(app, action);
  add_toolcheck(app, action);
  add_completion(app, action);
  app.require_subcommand(0, 1);
  if (argc > 1 && argv[1][0] != '-' && !has_command(app, argv[1])) {
    std::fprintf(stderr, "bezel: there is no command \"%s\"; see `bezel --help`\n",
                 one_line(argv[1]).c_str());
    return kUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    output().write(app.help());
    return output().finish(kDone);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  }
  if (version) {
    output().write(version_text());
    return output().finish(kDone);
  }
  if (!action) {
    std::fprintf(stderr, "bezel: a command is missing; see `bezel --help`\n");
    return kUsage;
  }
  if (const Status found = find_models(); !found) return fail(found.error());
  return output().finish(action());
}

}  // namespace
}  // namespace bezel::app

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return bezel::app::run_program(argc, argv);
  } catch (const std::bad_alloc&) {
    return bezel::app::fail(
        {bezel::Errc::NoMemory, "the memory of this machine is not enough", ""});
  }
}
