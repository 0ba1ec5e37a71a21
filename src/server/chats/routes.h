// Saved chats over HTTP: /chats, /chats/export and /chats/{id}.
#pragma once
#include <string>

#include "base/json.h"
#include "server/chats/store.h"
#include "server/http/server.h"

namespace bezel {

constexpr std::size_t kMostChatBytes = std::size_t{16} << 20U;     // one chat
constexpr std::size_t kMostExportBytes = std::size_t{256} << 20U;  // all of them at once
constexpr std::size_t kMostTitle = 400;                            // bytes
constexpr std::int64_t kMostListed = 500;                          // chats in one list
constexpr std::int64_t kLatest = std::int64_t{1} << 53U;  // the last whole number of a double

// A request of someone who may ask.
struct ChatAsk {
  ChatStore& store;
  const http::Request& request;
  const std::string& id;  // from the path
  const Json& body;       // of put_chat
  http::Exchange& exchange;
};
void list_chats(const ChatAsk& ask);
void export_chats(const ChatAsk& ask);
void get_chat(const ChatAsk& ask);
void put_chat(const ChatAsk& ask);
void delete_chat(const ChatAsk& ask);

}  // namespace bezel
