// MODEL on the command line: a file, a folder, or a name.
#pragma once
#include <memory>
#include <string>

#include "bezel/store.h"
#include "common.h"

namespace bezel::app {

// Pulls with a line of progress on standard error; Ctrl-C ends it.
Result<FoundModel> pull_with_progress(ModelStore& store, const std::string& name);
// "Question [Y/n] " on standard error, an answer from standard input. False too without a terminal.
bool ask(const std::string& question, bool otherwise);
bool can_ask();
std::string gigabytes(std::uint64_t bytes);  // "3.42 GB"

}  // namespace bezel::app
