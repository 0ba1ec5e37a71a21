#include "server/chats/routes.h"

#include <fmt/format.h>

#include <charconv>
#include <tuple>
#include <utility>

#include "server/api/fields.h"
#include "server/api/openai/openai.h"
#include "server/http/escape.h"
#include "server/reserve.h"

namespace bezel {

namespace {

// Another site's page cannot load these as a script or a picture either.
constexpr std::string_view kPrivate =
    "Cache-Control: no-store\r\nCross-Origin-Resource-Policy: same-origin\r\n";

void say(const ChatAsk& ask, std::string json, const std::string& more = "") {
  ask.exchange.respond(200, "application/json", std::move(json),
                       fmt::format("{}{}", kPrivate, more));
}
void refuse(const ChatAsk& ask, int status, const Error& error) {
  ask.exchange.respond(status, "application/json", api::openai_error(error, status), kPrivate);
}
// An error of the store: its file is not the client's to know.
void refuse(const ChatAsk& ask, const Error& error) {
  const int status = error.code == Errc::TooLarge ? 507 : api::status_of(error);
  refuse(ask, status, {Errc::Io, error.what, ""});
}
void refuse_unknown(const ChatAsk& ask) {
  refuse(ask, 404, {Errc::NotFound, "there is no chat of this id", "id"});
}

// Letters, digits, - and _, 8 to 64 of them; else the request is refused.
bool id_is_good(const ChatAsk& ask) {
  const bool good =
      ask.id.size() >= 8 && ask.id.size() <= 64 &&
      ask.id.find_first_not_of(
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == std::string::npos;
  if (!good)
    refuse(ask, 404,
           {Errc::BadInput, "a chat's id has 8 to 64 letters, digits, \"-\" and \"_\"", "id"});
  return good;
}

std::optional<std::int64_t> number_of(std::string_view s) {
  std::int64_t x = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), x);
  if (s.empty() || error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return x;
}

Json head_json(const ChatHead& h) {
  Json j;
  j["id"] = h.id;
  j["title"] = h.title;
  j["created"] = h.created;
  j["updated"] = h.updated;
  j["revision"] = h.revision;
  j["bytes"] = h.bytes;
  if (!h.found.empty()) j["found"] = h.found;
  return j;
}

// A message's own fields; what more it has is the page's.
void check_message(const Json& message, std::size_t i, std::optional<Error>& error,
                   std::string& text) {
  api::Fields m(message, error, fmt::format("messages[{}]", i));
  const std::string id = m.text("id").value_or("");
  if (id.empty() || id.size() > 64) m.must_be("id", "must be a text of 1 to 64 bytes");
  m.text("parent");
  const std::string role = m.text("role").value_or("");
  if (role != "user" && role != "assistant") m.must_be("role", "must be user or assistant");
  const auto content = m.text("content");
  if (!content) m.must_be("content", "is missing");
  text += content.value_or("");
  text += '\n';
}

Result<SavedChat> read_chat(const Json& body, const std::string& id) {
  std::optional<Error> error;
  api::Fields in(body, error);
  SavedChat chat;
  chat.head.id = id;
  if (in.text("id").value_or(id) != id) in.must_be("id", "differs from the path");
  chat.head.title = in.text("title").value_or("");
  if (chat.head.title.empty() || chat.head.title.size() > kMostTitle)
    in.must_be("title", fmt::format("must be a text of 1 to {} bytes", kMostTitle));
  chat.head.created = in.integer("created", 0, kLatest).value_or(0);
  chat.head.updated = in.integer("updated", 0, kLatest).value_or(0);
  const Json* messages = in.array("messages");
  if (messages == nullptr) in.must_be("messages", "is missing");
  for (std::size_t i = 0; messages != nullptr && i < messages->size() && !error; ++i)
    check_message((*messages)[i], i, error, chat.text);
  if (error) return *error;
  chat.json = dump_json(body);
  return chat;
}

}  // namespace

void list_chats(const ChatAsk& ask) {
  std::int64_t most = 100, from = 0;
  for (const auto& [name, value, limit] :
       {std::tuple{"limit", &most, kMostListed}, std::tuple{"offset", &from, kLatest}}) {
    const auto text = http::query_value(ask.request.query, name);
    if (!text) continue;
    const auto x = number_of(*text);
    if (!x || *x < 0 || *x > limit)
      return refuse(
          ask, 400,
          {Errc::BadInput, fmt::format("must be a whole number from 0 to {}", limit), name});
    *value = *x;
  }
  const auto found =
      ask.store.list(http::query_value(ask.request.query, "search").value_or(""), most, from);
  if (!found) return refuse(ask, found.error());
  Json j;
  j["chats"] = Json::array();
  for (const ChatHead& h : found->chats) j["chats"].push_back(head_json(h));
  j["total"] = found->total;
  say(ask, dump_json(j));
}

void export_chats(const ChatAsk& ask) {
  std::string out = R"({"bezel_chats":1,"chats":[)";
  bool first = true, whole = true;
  const Status status = [&] {
    const MayFail may;
    return ask.store.every([&](const std::string& json) {
      whole = out.size() + json.size() < kMostExportBytes;
      if (!whole) return false;
      out += first ? "\n" : ",\n";
      out += json;
      first = false;
      return true;
    });
  }();
  if (!status) return refuse(ask, status.error());
  if (!whole)
    return refuse(ask, 413,
                  {Errc::BadInput,
                   fmt::format("all chats together have more than {} MB: export them one by one",
                               kMostExportBytes >> 20U),
                   ""});
  out += "\n]}\n";
  say(ask, std::move(out), "Content-Disposition: attachment; filename=\"bezel-chats.json\"\r\n");
}

void get_chat(const ChatAsk& ask) {
  if (!id_is_good(ask)) return;
  auto chat = [&] {
    const MayFail may;
    return ask.store.get(ask.id);
  }();
  if (!chat) return refuse(ask, chat.error());
  if (!*chat) return refuse_unknown(ask);
  say(ask, std::move((*chat)->json), fmt::format("ETag: \"{}\"\r\n", (*chat)->head.revision));
}

void put_chat(const ChatAsk& ask) {
  if (!id_is_good(ask)) return;
  std::optional<std::int64_t> expected;
  if (std::string_view match = ask.request.header("if-match"); !match.empty()) {
    if (match.size() > 2 && match.front() == '"' && match.back() == '"')
      match = match.substr(1, match.size() - 2);
    expected = number_of(match);
    if (!expected) return refuse(ask, 400, {Errc::BadInput, "must be a revision", "If-Match"});
  }
  const auto chat = read_chat(ask.body, ask.id);
  if (!chat) return refuse(ask, 400, chat.error());
  const auto revision = ask.store.put(*chat, expected);
  if (!revision) return refuse(ask, revision.error());
  if (!*revision)
    return refuse(
        ask, 412,
        {Errc::BadInput, "the chat was changed meanwhile: get it, and put both together", ""});
  say(ask, fmt::format(R"({{"id":"{}","revision":{}}})", ask.id, **revision),
      fmt::format("ETag: \"{}\"\r\n", **revision));
}

void delete_chat(const ChatAsk& ask) {
  if (!id_is_good(ask)) return;
  const auto was_there = ask.store.remove(ask.id);
  if (!was_there) return refuse(ask, was_there.error());
  if (!*was_there) return refuse_unknown(ask);
  say(ask, fmt::format(R"({{"id":"{}","deleted":true}})", ask.id));
}

}  // namespace bezel
