#include "bezel/chat.h"

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

// Passes events on and collects the answer's text.
Chat::OnEvent collecting(std::string& text, const Chat::OnEvent& on_event) {
  return [&text, &on_event](const Event& event) {
    if (const auto* piece = std::get_if<TextPiece>(&event)) text += piece->text;
    return on_event(event);
  };
}

}  // namespace

std::vector<Turn> Chat::with_system(const std::vector<Turn>& turns) const {
  std::vector<Turn> all;
  if (!system_.empty()) all.push_back({"system", system_});
  all.insert(all.end(), turns.begin(), turns.end());
  return all;
}

Result<Done> Chat::ask(const std::string& text, const Request& rules, const OnEvent& on_event) {
  std::vector<Turn> turns = turns_;
  turns.push_back({"user", text});
  Request request = rules;
  BEZEL_TRY(request.prompt, engine_.chat_prompt(with_system(turns)));
  std::string answer;
  BEZEL_TRY(Done done, engine_.generate(request, collecting(answer, on_event)));
  turns.push_back({"assistant", std::move(answer)});
  turns_ = std::move(turns);
  return done;
}

Result<int> Chat::used_tokens() const {
  const std::vector<Turn> all = with_system(turns_);
  if (all.empty()) return 0;
  BEZEL_TRY(const std::vector<TokenId> ids, engine_.chat_prompt(all));
  return static_cast<int>(ids.size());
}

Result<Chat::Compacted> Chat::compact(const Request& rules, const OnEvent& on_event) {
  if (turns_.empty()) return Error{Errc::BadInput, "there is no conversation to compact yet", ""};
  Compacted result;
  BEZEL_TRY(result.before, used_tokens());
  const int context = engine_.info().context, room = std::max(1, std::min(512, context / 4));
  Request request = rules;
  request.max_tokens = room;
  std::vector<Turn> turns = turns_;
  while (true) {
    std::vector<Turn> all = with_system(turns);
    all.push_back({"user", kSummarise});
    BEZEL_TRY(request.prompt, engine_.chat_prompt(all));
    if (static_cast<int>(request.prompt.size()) + room <= context) break;
    if (turns.size() <= 2)
      return Error{Errc::TooLarge, "even the last exchange does not fit the context; use /clear",
                   ""};
    turns.erase(turns.begin(), turns.begin() + 2);
    ++result.dropped;
  }
  std::string summary;
  BEZEL_TRY(const Done done, engine_.generate(request, collecting(summary, on_event)));
  if (done.reason == DoneReason::Cancelled)
    return Error{Errc::Cancelled, "the summary was stopped; the conversation is as before", ""};
  turns_ = {{"user", kSummaryIntro + summary}, {"assistant", kSummaryReply}};
  BEZEL_TRY(result.after, used_tokens());
  return result;
}

Status Chat::save(const std::string& path) const {
  Json turns = Json::array();
  for (const Turn& t : turns_) turns.push_back({{"role", t.role}, {"text", t.text}});
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
    if (!entry.is_object())
      return bad("every entry of \"turns\" must be an object with role and text");
    BEZEL_TRY(std::string role, json_get<std::string>(entry, "role", ""));
    BEZEL_TRY(std::string words, json_get<std::string>(entry, "text", ""));
    const char* expected = turns.size() % 2 == 0 ? "user" : "assistant";
    if (role != expected) return bad("the roles in \"turns\" must be user and assistant in turn");
    turns.push_back({std::move(role), std::move(words)});
  }
  if (turns.size() % 2 != 0) return bad("\"turns\" ends with a question that has no answer");
  system_ = std::move(system);
  turns_ = std::move(turns);
  return Ok{};
}

}  // namespace bezel
