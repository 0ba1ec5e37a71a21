#include <fmt/format.h>

#include <algorithm>

#include "bezel/tools.h"

namespace bezel {

Status ToolBox::add(std::unique_ptr<Tools> tools) {
  for (const Tools::Tool& t : tools->list()) {
    if (std::find(names_.begin(), names_.end(), t.name) != names_.end())
      return Error{Errc::BadInput, fmt::format("there are two tools with the name {}", t.name), ""};
    names_.push_back(t.name);
  }
  all_.push_back(std::move(tools));
  return Ok{};
}

std::string ToolBox::declarations() const {
  std::vector<std::string> list;
  for (const auto& tools : all_)
    for (const Tools::Tool& t : tools->list()) list.push_back(t.declaration);
  return fmt::format("[{}]", fmt::join(list, ","));
}

Result<std::string> ToolBox::call(const ToolCall& call, const std::atomic<bool>* cancel) {
  for (const auto& tools : all_)
    for (const Tools::Tool& t : tools->list())
      if (t.name == call.name) return tools->call(call, cancel);
  return Error{
      Errc::NotFound,
      fmt::format("there is no tool {}; there are: {}", call.name, fmt::join(names_, ", ")), ""};
}

}  // namespace bezel
