// bezel completion: scripts that complete commands, flags and files in bash, zsh and fish.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "common.h"

namespace bezel::app {

namespace {

// A text inside single quotes of any of the three shells.
std::string quote(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::vector<std::string> flags_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_snames()) out.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
  }
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* c : app.get_subcommands({})) names.push_back(c->get_name());
  return joined(names);
}

std::string bash_script(const CLI::App& app) {
  std::string cases;
  for (const CLI::App* c : app.get_subcommands({}))
    cases += fmt::format("    {}) flags={} ;;\n", c->get_name(), quote(joined(flags_of(*c))));
  return fmt::format(
      "# bash completion of bezel: source <(bezel completion bash)\n"
      "_bezel() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} flags={1}\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W {0}\" $flags\" -- \"$word\"))\n"
      "    return\n"
      "  fi\n"
      "  case ${{COMP_WORDS[1]}} in\n"
      "{2}"
      "  esac\n"
      "  [[ $word == -* ]] && COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
      "}}\n"
      "complete -o default -F _bezel bezel\n",
      quote(command_names(app)), quote(joined(flags_of(app))), cases);
}

std::string zsh_script(const CLI::App& app) {
  std::string commands, cases;
  for (const CLI::App* c : app.get_subcommands({})) {
    commands += "    " + quote(c->get_name() + ":" + c->get_description()) + "\n";
    cases += fmt::format("    {}) flags=({}) ;;\n", c->get_name(), joined(flags_of(*c)));
  }
  return fmt::format(
      "#compdef bezel\n"
      "# zsh completion of bezel: bezel completion zsh > ~/.zfunc/_bezel\n"
      "_bezel() {{\n"
      "  local -a commands flags\n"
      "  commands=(\n{}  )\n"
      "  if (( CURRENT == 2 )); then\n"
      "    _describe command commands\n"
      "    return\n"
      "  fi\n"
      "  case $words[2] in\n"
      "{}"
      "  esac\n"
      "  if [[ $PREFIX == -* ]]; then\n"
      "    compadd -- $flags\n"
      "  else\n"
      "    _files\n"
      "  fi\n"
      "}}\n"
      "compdef _bezel bezel\n",
      commands, cases);
}

std::string fish_script(const CLI::App& app) {
  std::string out = "# fish completion of bezel: bezel completion fish | source\n";
  for (const CLI::App* c : app.get_subcommands({})) {
    const std::string& name = c->get_name();
    out += fmt::format("complete -c bezel -n __fish_use_subcommand -f -a {} -d {}\n", name,
                       quote(c->get_description()));
    for (const CLI::Option* option : c->get_options()) {
      if (option->get_positional()) continue;
      std::string names;
      for (const std::string& s : option->get_snames()) names += " -s " + s;
      for (const std::string& l : option->get_lnames()) names += " -l " + l;
      const char* value = option->get_expected_min() > 0 ? " -r" : "";
      out += fmt::format("complete -c bezel -n '__fish_seen_subcommand_from {}'{}{} -d {}\n", name,
                         names, value, quote(option->get_description()));
    }
  }
  return out;
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  CLI::App* c = app.add_subcommand("completion", "Completion script for bash, zsh or fish");
  c->footer(
      "Examples:\n"
      "  source <(bezel completion bash)\n"
      "  bezel completion zsh > ~/.zfunc/_bezel\n"
      "  bezel completion fish > ~/.config/fish/completions/bezel.fish\n");
  auto shell = std::make_shared<std::string>();
  c->add_option("SHELL", *shell, "the shell")
      ->required()
      ->type_name("NAME")
      ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
  c->callback([shell, &app, &action] {
    action = [shell, &app] {
      output().write(*shell == "bash"  ? bash_script(app)
                     : *shell == "zsh" ? zsh_script(app)
                                       : fish_script(app));
      return kDone;
    };
  });
}

}  // namespace bezel::app
