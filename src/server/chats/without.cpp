// In place of sqlite.cpp where SQLite is not there.
#include "server/chats/store.h"

namespace bezel {

Result<std::unique_ptr<ChatStore>> ChatStore::open(const std::string& path, ChatLimits /*limits*/) {
  return Error{Errc::Unsupported,
               "saved chats need SQLite, which this build lacks: build with libsqlite3-dev "
               "installed and -DBEZEL_SQLITE=on",
               path};
}

}  // namespace bezel
