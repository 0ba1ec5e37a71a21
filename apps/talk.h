// Flags of thinking and tools, and how thoughts and calls look.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "bezel/tools.h"
#include "common.h"

namespace bezel::app {

struct ThinkFlags {
  bool think = false;
  int budget = -1;

  void add(CLI::App& command);
  void apply(Talk& talk) const {
    talk.think = think;
    talk.thought_budget = budget;
  }
};

// Tools that Bezel itself calls.
struct ToolFlags {
  bool builtin = false, allow = false, show_errors = false;
  std::string folder;
  std::vector<std::string> mcp;

  void add(CLI::App& command);
  Result<ToolBox> open() const;
};

// The JSON array of a file with tools, or with an object that has them in "tools".
Result<std::string> read_tools(const std::string& path);

// Thoughts on standard error, dim; nothing when that is no terminal.
class ThoughtPrinter {
 public:
  ThoughtPrinter();
  void write(std::string_view text);
  void end();  // before anything else is written

 private:
  bool terminal_, open_ = false;
};

}  // namespace bezel::app
