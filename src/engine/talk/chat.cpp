#include "bezel/chat.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace bezel {

namespace {

constexpr std::uint64_t kMaxSavedBytes = 64U << 20U;
constexpr const char* kSummarise =
    "Summarise our conversation so far, so that it can go on from the summary alone: who wants "
    "what, "
    "facts and names, what was decided, what is open. Be brief. Answer with the summary only.";
constexpr const char* kSummaryIntro = "This is a summary of our conversation so far:\n\n";
constexpr const char* kSummaryReply = "Thank you. I will go on from there.";

Json json_of(const Turn& t) {
  Json out = {{"role", t.role}, {"text", t.text}};
  if (!t.call_id.empty()) out["call_id"] = t.call_id;
  for (const ToolCall& c : t.calls)
    out["calls"].push_back({{"id", c.id}, {"name", c.name}, {"arguments", c.arguments}});
  return out;
}

Result<Turn> turn_from(const Json& entry, const std::string& path) {
  if (!entry.is_object())
    return Error{Errc::BadFile, "every entry of \"turns\" must be an object with role and text",
                 path};
  Turn t;
  BEZEL_TRY(t.role, json_get<std::string>(entry, "role", ""));
  BEZEL_TRY(t.text, json_get<std::string>(entry, "text", ""));
  BEZEL_TRY(t.call_id, json_get<std::string>(entry, "call_id", ""));
  if (!entry.contains("calls")) return t;
  const Json& calls = entry["calls"];
  if (!calls.is_array()) return Error{Errc::BadFile, "\"calls\" must be an array", path};
  for (const Json& c : calls) {
    if (!c.is_object()) return Error{Errc::BadFile, "a call must be an object", path};
    ToolCall call;
    BEZEL_TRY(call.id, json_get<std::string>(c, "id", ""));
    BEZEL_TRY(call.name, json_get<std::string>(c, "name", ""));
    BEZEL_TRY(call.arguments, json_get<std::string>(c, "arguments", "{}"));
    t.calls.push_back(std::move(call));
  }
  return t;
}

// What is wrong with `next` behind `turns`, or nothing.
const char* misplaced(const std::vector<Turn>& turns, const Turn& next) {
  const bool after_answer =
      turns.empty() || (turns.back().role == "assistant" && turns.back().calls.empty());
  const bool after_calls =
      !turns.empty() && (turns.back().role == "tool" || !turns.back().calls.empty());
  if (next.role == "user" && after_answer) return nullptr;
  if (next.role == "tool" && after_calls) return nullptr;
  if (next.role == "assistant" && !turns.empty() &&
      (turns.back().role == "user" || turns.back().role == "tool"))
    return nullptr;
  return "the roles in \"turns\" must be user and assistant in turn, with tool after calls";
}

// A result as the model reads it.
std::string shown(std::string result) {
  if (result.size() <= Chat::kMaxResultBytes) return result;
  std::size_t end = Chat::kMaxResultBytes;
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xC0U) == 0x80) --end;
  const std::size_t all = result.size();
  result.resize(end);
  return result + fmt::format("\n[cut here: these are {} of {} bytes]", end, all);
}

}  // namespace

std::vector<Turn> Chat::with_system(const std::vector<Turn>& turns) const {
  std::vector<Turn> all;
  if (!system_.empty()) all.push_back({"system", system_});
  all.insert(all.end(), turns.begin(), turns.end());
  return all;
}

Result<Done> Chat::ask(const std::string& text, const Request& rules, const OnEvent& on_event,
                       const CallTool& call_tool) {
  std::vector<Turn> turns = turns_;
  turns.push_back({"user", text});
  for (int round = 1;; ++round) {
    BEZEL_TRY(Reply reply, engine_.reply(with_system(turns), talk_, rules, on_event));
    // Calls that stay without a result are not kept: a prompt cannot hold them.
    const bool calls = call_tool && round <= kMaxRounds &&
                       reply.done.reason != DoneReason::Cancelled && !reply.turn.calls.empty();
    if (!calls) reply.turn.calls.clear();
    turns.push_back(std::move(reply.turn));
    if (!calls) {
      turns_ = std::move(turns);
      return std::move(reply.done);
    }
    const std::vector<ToolCall> wanted = turns.back().calls;
    for (const ToolCall& call : wanted) {
      const Result<std::string> result = call_tool(call);
      turns.push_back({.role = "tool",
                       .text = shown(result ? *result : "error: " + result.error().text()),
                       .call_id = call.id});
    }
  }
}

Result<int> Chat::used_tokens() const {
  const std::vector<Turn> all = with_system(turns_);
  if (all.empty()) return 0;
  BEZEL_TRY(const std::vector<TokenId> ids, engine_.chat_prompt(all, talk_));
  return static_cast<int>(ids.size());
}

Result<Chat::Compacted> Chat::compact(const Request& rules, const OnEvent& on_event) {
  if (turns_.empty()) return Error{Errc::BadInput, "there is no conversation to compact yet", ""};
  Compacted result;
  BEZEL_TRY(result.before, used_tokens());
  const int context = engine_.info().context, room = std::max(1, std::min(512, context / 4));
  Request request = rules;
  request.max_tokens = room;
  std::vector<Turn> turns = turns_, all;
  while (true) {
    all = with_system(turns);
    all.push_back({"user", kSummarise});
    BEZEL_TRY(const std::vector<TokenId> prompt, engine_.chat_prompt(all));
    if (static_cast<int>(prompt.size()) + room <= context) break;
    const auto next = std::find_if(turns.begin() + 1, turns.end(),
                                   [](const Turn& t) { return t.role == "user"; });
    if (next == turns.end())
      return Error{Errc::TooLarge, "even the last exchange does not fit the context; use /clear",
                   ""};
    turns.erase(turns.begin(), next);
    ++result.dropped;
  }
  BEZEL_TRY(const Reply reply, engine_.reply(all, Talk(), request, on_event));
  if (reply.done.reason == DoneReason::Cancelled)
    return Error{Errc::Cancelled, "the summary was stopped; the conversation is as before", ""};
  turns_ = {{"user", kSummaryIntro + reply.turn.text}, {"assistant", kSummaryReply}};
  BEZEL_TRY(result.after, used_tokens());
  return result;
}

Status Chat::save(const std::string& path) const {
  Json turns = Json::array();
  for (const Turn& t : turns_) turns.push_back(json_of(t));
  const std::string text = dump_json({{"system", system_}, {"turns", std::move(turns)}}) + "\n";
  BEZEL_TRY(std::unique_ptr<AtomicFile> file, AtomicFile::create(path));
  file->write(text.data(), text.size());
  return file->commit();
}

Status Chat::load(const std::string& path) {
  BEZEL_TRY(const std::string text, read_file(path, kMaxSavedBytes));
  BEZEL_TRY(Json json, parse_json(text, path));
  const JsonGuard guard(json);
  const auto bad = [&](const char* what) { return Error{Errc::BadFile, what, path}; };
  if (!json.is_object() || !json.contains("turns") || !json["turns"].is_array())
    return bad("a saved chat is an object with an array \"turns\"");
  BEZEL_TRY(std::string system, json_get<std::string>(json, "system", ""));
  std::vector<Turn> turns;
  for (const Json& entry : json["turns"]) {
    BEZEL_TRY(Turn turn, turn_from(entry, path));
    const char* problem = misplaced(turns, turn);
    if (problem != nullptr) return bad(problem);
    turns.push_back(std::move(turn));
  }
  if (!turns.empty() && (turns.back().role != "assistant" || !turns.back().calls.empty()))
    return bad("\"turns\" ends with a question that has no answer");
  system_ = std::move(system);
  turns_ = std::move(turns);
  return Ok{};
}

}  // namespace bezel
