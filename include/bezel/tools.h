// Tools that a chat lets the model call. Nothing here asks the user: that is for the caller.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bezel/engine.h"
#include "bezel/result.h"

namespace bezel {

// One thread at a time.
class Tools {
 public:
  virtual ~Tools() = default;
  struct Tool {
    std::string name;
    std::string declaration;  // JSON, as Talk::tools has them in its array
  };
  virtual const std::vector<Tool>& list() const = 0;
  // The result as text. An Error for wrong arguments, and for what went wrong; `cancel` may be
  // null.
  virtual Result<std::string> call(const ToolCall& call, const std::atomic<bool>* cancel) = 0;
};

// current_time and calculate; with a folder also list_folder and read_file, which see nothing
// outside it. An Error when the folder is none.
Result<std::unique_ptr<Tools>> builtin_tools(const std::string& folder);

// The tools of a server of the Model Context Protocol (2025-06-18). The command is started by the
// shell and spoken to over its standard input and output; it ends with this object. What it writes
// to standard error is dropped unless `show_errors`.
Result<std::unique_ptr<Tools>> mcp_tools(const std::string& command, bool show_errors = false);

// Several at once.
class ToolBox {
 public:
  // An Error when a name is there already.
  Status add(std::unique_ptr<Tools> tools);
  bool empty() const { return names_.empty(); }
  const std::vector<std::string>& names() const { return names_; }
  std::string declarations() const;  // for Talk::tools
  Result<std::string> call(const ToolCall& call, const std::atomic<bool>* cancel);

 private:
  std::vector<std::unique_ptr<Tools>> all_;
  std::vector<std::string> names_;
};

}  // namespace bezel
