// Another engine's benchmark: run as a command, its speeds read from what it prints.
#pragma once
#include <string>
#include <vector>

#include "bezel/result.h"

namespace bezel::app {

struct PeerSpeed {
  bool reads = false;  // a prompt is read; else an answer is written
  int tokens = 0;      // of it
  int batch = 1;       // answers at once
  int depth = 0;       // tokens in the context before
  double rate = 0;     // tokens a second
};

// The rows `| pp512 | 64.6 ± 0.3 |` (reads), `| tg32 | 12.1 |` (writes) and `| tg32 @ d4096 | ...
// |` in a table as llama-bench prints it, and the rows of llama-batched-bench: `| PP | TG | B |
// N_KV | T_PP | S_PP | T_TG | S_TG | T | S |`, where each of B prompts has PP tokens.
std::vector<PeerSpeed> peer_speeds(const std::string& text);

// Runs the command by the shell and waits for its end. An Error when it fails or prints no speed.
Result<std::vector<PeerSpeed>> run_peer(const std::string& command);

}  // namespace bezel::app
