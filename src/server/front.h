// The front: who may ask, and which path leads where.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bezel/result.h"
#include "bezel/store.h"
#include "server/chats/store.h"
#include "server/http/server.h"
#include "server/models/loader.h"

namespace bezel {

// What it points to must outlive the front.
struct FrontOptions {
  http::Options http;
  std::string api_key;          // empty: none is asked for
  std::string model;            // the first model's name for clients; empty: there is none
  std::string model_path;       // its file or folder
  ModelStore* store = nullptr;  // models to list, fetch and remove; null: there is the first alone
  ChatStore* chats = nullptr;   // null: chats are not saved
};

// Serves models over HTTP. Any thread.
class Front {
 public:
  // Loopback addresses need no key; others are the caller's to guard. The loader must be stopped
  // before this ends. `opened`: with options.http; null: it is opened here.
  static Result<std::unique_ptr<Front>> start(Loader& loader, const FrontOptions& options,
                                              std::unique_ptr<http::Server> opened = nullptr);
  virtual ~Front() = default;
  virtual std::uint16_t port() const = 0;
  // See http::Server::stop(). New requests are refused from now on.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

// Method and path of everything that is answered; a path may end in "{id}".
std::vector<std::pair<std::string, std::string>> served_paths();

// Whether a host is this machine's own loopback: 127.*, ::1 or localhost.
bool is_loopback(const std::string& host);

}  // namespace bezel
