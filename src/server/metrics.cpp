#include "server/metrics.h"

#include <fmt/format.h>

namespace bezel {

std::string metrics_text(const ServiceLoad& l, int connections) {
  std::string out;
  const auto add = [&](const char* kind, const char* name, const char* help, auto value) {
    out += fmt::format("# HELP bezel_{0} {1}\n# TYPE bezel_{0} {2}\nbezel_{0} {3}\n", name, help,
                       kind, value);
  };
  add("gauge", "num_requests_running", "Requests that are read or answered now", l.running);
  add("gauge", "num_requests_waiting", "Requests that wait for their turn", l.waiting);
  add("gauge", "kv_cache_positions", "Positions held by running requests", l.positions);
  add("gauge", "kv_cache_bytes", "Keys and values in memory, kept prefixes included",
      l.cache_bytes);
  add("gauge", "kv_cache_checkpoints", "Kept prefixes", l.checkpoints);
  add("gauge", "connections", "Open connections", connections);
  add("counter", "requests_total", "Requests taken", l.requests);
  add("counter", "requests_cancelled_total", "Requests whose client left", l.cancelled);
  add("counter", "requests_failed_total", "Requests that ended in an error", l.failed);
  add("counter", "requests_refused_total", "Requests that found no place", l.refused);
  add("counter", "prompt_tokens_total", "Prompt tokens of ended requests", l.prompt_tokens);
  add("counter", "prompt_tokens_cached_total", "Of these, not read again", l.reused_tokens);
  add("counter", "generation_tokens_total", "Answer tokens of ended requests", l.answer_tokens);
  add("counter", "prompt_seconds_total", "Time spent in prompts, requests added up",
      l.prompt_seconds);
  add("counter", "generation_seconds_total", "Time spent in answers, requests added up",
      l.answer_seconds);
  add("counter", "preemptions_total", "Times that a request had to wait again for memory",
      l.preemptions);
  add("counter", "passes_total", "Forward passes", l.passes);
  return out;
}

}  // namespace bezel
