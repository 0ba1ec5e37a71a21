// Chats kept on disk. Every change is whole or not there, whenever the program or the machine
// stops.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bezel/result.h"

namespace bezel {

struct ChatLimits {
  std::int64_t chats = 10000;
  std::uint64_t file_bytes = std::uint64_t{4} << 30U;  // whole pages of 4 KB, at least 16 of them
};

// What a list says about a chat. Times are milliseconds since 1970, as the page gave them.
struct ChatHead {
  std::string id, title;
  std::int64_t created = 0, updated = 0;
  std::int64_t revision = 0;  // 1 for the first, one more with every change
  std::int64_t bytes = 0;     // of its JSON
  std::string found;          // text around the first place where the search fits, or ""
};

struct SavedChat {
  ChatHead head;
  std::string text;  // what is searched besides the title
  std::string json;  // as the page gave it
};

struct ChatList {
  std::vector<ChatHead> chats;
  std::int64_t total = 0;  // that fit the search
};

// Any thread. Errors: TooLarge (the disk or a limit is full; nothing has changed), Busy (another
// program holds the file), BadFile, Io, NoMemory.
class ChatStore {
 public:
  // Makes the file when there is none, readable by its owner alone. Unsupported in a build without
  // SQLite.
  static Result<std::unique_ptr<ChatStore>> open(const std::string& path, ChatLimits limits = {});
  virtual ~ChatStore() = default;

  // Chats that hold every word of `search`, in any case; those changed last come first. Skips
  // `from`, gives at most `most`.
  virtual Result<ChatList> list(const std::string& search, std::int64_t most,
                                std::int64_t from) = 0;
  // Without `text`.
  virtual Result<std::optional<SavedChat>> get(const std::string& id) = 0;
  // Saves under chat.head.id and gives the new revision. `expected`: only if the stored one has
  // this revision (0: there is none), else nothing is changed and nothing is given.
  virtual Result<std::optional<std::int64_t>> put(const SavedChat& chat,
                                                  std::optional<std::int64_t> expected) = 0;
  virtual Result<bool> remove(const std::string& id) = 0;  // whether it was there
  // The JSON of every chat, those changed last first; `each` returns false to stop.
  virtual Status every(const std::function<bool(const std::string& json)>& each) = 0;
};

}  // namespace bezel
