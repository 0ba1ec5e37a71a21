#include "server/chats/routes.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "server/api/fields.h"
#include "server/api/openai/openai.h"

namespace bezel {

namespace {

constexpr std::size_t kMostTitle = 400;  // bytes
constexpr std::int64_t kMostListed = 500;
constexpr std::int64_t kLatest = std::int64_t{1} << 53U;  // the last whole number of a double
constexpr std::string_view kPath = "/chats", kExport = "/chats/export";
// Another site's page cannot load these as a script or a picture either.
constexpr std::string_view kPrivate =
    "Cache-Control: no-store\r\nCross-Origin-Resource-Policy: same-origin\r\n";

struct Ask {
  ChatStore& store;
  const http::Request& request;
  http::Exchange& exchange;

  void say(const std::string& json, const std::string& more = "") const {
    exchange.respond(200, "application/json", json, fmt::format("{}{}", kPrivate, more));
  }
  void refuse(int status, const Error& error, const std::string& more = "") const {
    exchange.respond(status, "application/json", api::openai_error(error, status),
                     fmt::format("{}{}", kPrivate, more));
  }
  // An error of the store: its file is not the client's to know.
  void refuse(const Error& error) const {
    const int status = error.code == Errc::TooLarge ? 507 : api::status_of(error);
    refuse(status, {Errc::Io, error.what, ""});
  }
};

// "a%20b+c" as "a b c"; what is no escape stays.
std::string unescaped(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    unsigned char byte = 0;
    if (s[i] == '%' && i + 2 < s.size() &&
        std::from_chars(s.data() + i + 1, s.data() + i + 3, byte, 16).ptr == s.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += s[i] == '+' ? ' ' : s[i];
    }
  }
  return out;
}

// A value of "a=1&b=2".
std::optional<std::string> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    const std::size_t equals = part.find('=');
    if (part.substr(0, equals) == name)
      return equals == std::string_view::npos ? "" : unescaped(part.substr(equals + 1));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
  }
  return std::nullopt;
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

void list(const Ask& ask) {
  std::int64_t most = 100, from = 0;
  for (const auto& [name, value, limit] :
       {std::tuple{"limit", &most, kMostListed}, std::tuple{"offset", &from, kLatest}}) {
    const auto text = query_value(ask.request.query, name);
    if (!text) continue;
    const auto x = number_of(*text);
    if (!x || *x < 0 || *x > limit)
      return ask.refuse(
          400, {Errc::BadInput, fmt::format("must be a whole number from 0 to {}", limit), name});
    *value = *x;
  }
  const auto found =
      ask.store.list(query_value(ask.request.query, "search").value_or(""), most, from);
  if (!found) return ask.refuse(found.error());
  Json j;
  j["chats"] = Json::array();
  for (const ChatHead& h : found->chats) j["chats"].push_back(head_json(h));
  j["total"] = found->total;
  ask.say(dump_json(j));
}

void export_all(const Ask& ask) {
  std::string out = R"({"bezel_chats":1,"chats":[)";
  bool first = true, whole = true;
  const auto status = ask.store.every([&](const std::string& json) {
    whole = out.size() + json.size() < kMostExportBytes;
    if (!whole) return false;
    out += first ? "\n" : ",\n";
    out += json;
    first = false;
    return true;
  });
  if (!status) return ask.refuse(status.error());
  if (!whole)
    return ask.refuse(
        413, {Errc::TooLarge,
              fmt::format("all chats together have more than {} MB: export them one by one",
                          kMostExportBytes >> 20U),
              ""});
  ask.say(out + "\n]}\n", "Content-Disposition: attachment; filename=\"bezel-chats.json\"\r\n");
}

void get(const Ask& ask, const std::string& id) {
  const auto chat = ask.store.get(id);
  if (!chat) return ask.refuse(chat.error());
  if (!*chat) return ask.refuse(404, {Errc::NotFound, "there is no chat of this id", "id"});
  ask.say((*chat)->json, fmt::format("ETag: \"{}\"\r\n", (*chat)->head.revision));
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

void put(const Ask& ask, const std::string& id) {
  if (ask.request.body.size() > kMostChatBytes)
    return ask.refuse(
        413, {Errc::TooLarge, fmt::format("a chat has at most {} MB", kMostChatBytes >> 20U), ""});
  std::optional<std::int64_t> expected;
  if (std::string_view match = ask.request.header("if-match"); !match.empty()) {
    if (match.size() > 2 && match.front() == '"' && match.back() == '"')
      match = match.substr(1, match.size() - 2);
    expected = number_of(match);
    if (!expected) return ask.refuse(400, {Errc::BadInput, "must be a revision", "If-Match"});
  }
  auto body = parse_json(ask.request.body, "the body");
  if (!body) return ask.refuse(400, body.error());
  const JsonGuard guard(*body);
  const auto chat = read_chat(*body, id);
  if (!chat) return ask.refuse(400, chat.error());
  const auto revision = ask.store.put(*chat, expected);
  if (!revision) return ask.refuse(revision.error());
  if (!*revision)
    return ask.refuse(
        412, {Errc::BadInput, "the chat was changed meanwhile: get it, and put both together", ""});
  ask.say(fmt::format(R"({{"id":"{}","revision":{}}})", id, **revision),
          fmt::format("ETag: \"{}\"\r\n", **revision));
}

void remove(const Ask& ask, const std::string& id) {
  const auto was_there = ask.store.remove(id);
  if (!was_there) return ask.refuse(was_there.error());
  if (!*was_there) return ask.refuse(404, {Errc::NotFound, "there is no chat of this id", "id"});
  ask.say(fmt::format(R"({{"id":"{}","deleted":true}})", id));
}

// Letters, digits, - and _, 8 to 64 of them.
bool is_id(std::string_view s) {
  return s.size() >= 8 && s.size() <= 64 &&
         s.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
             std::string_view::npos;
}

}  // namespace

bool is_chats_path(std::string_view path) {
  return path.substr(0, kPath.size()) == kPath &&
         (path.size() == kPath.size() || path[kPath.size()] == '/');
}

void answer_chats(ChatStore* store, const http::Request& request, http::Exchange& exchange) {
  const std::string_view path = request.path;
  const bool one = path != kPath && path != kExport;
  const std::string id(one ? path.substr(kPath.size() + 1) : "");
  const auto refuse = [&](int status, std::string what, const std::string& more = "") {
    exchange.respond(status, "application/json",
                     api::openai_error({Errc::BadInput, std::move(what), ""}, status), more);
  };
  if (store == nullptr) return refuse(404, "chats are not saved here (bezel serve --chats FILE)");
  if (one && !is_id(id))
    return refuse(404, "a chat's id has 8 to 64 letters, digits, \"-\" and \"_\"");
  const Ask ask{*store, request, exchange};
  const std::string& method = request.method;
  if (!one && method == "GET") return path == kPath ? list(ask) : export_all(ask);
  if (one && method == "GET") return get(ask, id);
  if (one && method == "PUT") return put(ask, id);
  if (one && method == "DELETE") return remove(ask, id);
  const char* allowed = one ? "GET, PUT, DELETE" : "GET";
  refuse(405, fmt::format("this takes {} only", allowed), fmt::format("Allow: {}\r\n", allowed));
}

}  // namespace bezel
