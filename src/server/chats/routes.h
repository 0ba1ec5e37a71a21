// Saved chats over HTTP: /chats, /chats/export and /chats/ID.
#pragma once
#include "server/chats/store.h"
#include "server/http/server.h"

namespace bezel {

constexpr std::size_t kMostChatBytes = std::size_t{16} << 20U;     // one chat
constexpr std::size_t kMostExportBytes = std::size_t{256} << 20U;  // all of them at once

bool is_chats_path(std::string_view path);
// Answers a request for such a path from someone who may ask. `store`: null when chats are not
// saved.
void answer_chats(ChatStore* store, const http::Request& request, http::Exchange& exchange);

}  // namespace bezel
