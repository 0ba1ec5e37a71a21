// The store in SQLite: one table, write-ahead log, every commit on the disk before it is reported.
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <mutex>

#include "server/chats/search.h"
#include "server/chats/store.h"

namespace bezel {

namespace {

constexpr int kApplication = 0x62657A6C;  // "bezl"
constexpr int kVersion = 1;               // of the table below
constexpr std::uint64_t kPage = 4096;
constexpr int kPatience = 2000;  // milliseconds for another program's change to end

// Small columns first: a list does not touch the pages of the long ones.
constexpr const char* kTable =
    "CREATE TABLE chats(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, created INTEGER NOT "
    "NULL, updated INTEGER NOT NULL, revision INTEGER NOT NULL, bytes INTEGER NOT NULL, text TEXT "
    "NOT NULL, json TEXT NOT NULL);"
    "CREATE INDEX chats_updated ON chats(updated DESC, id);";

// A prepared statement. Numbers of `?` and columns from 1 and 0, as SQLite counts.
class Query {
 public:
  Query(sqlite3* db, const char* sql) {
    ok_ = sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr) == SQLITE_OK;
  }
  ~Query() { sqlite3_finalize(statement_); }
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& bind(int at, std::int64_t x) {
    ok_ = ok_ && sqlite3_bind_int64(statement_, at, x) == SQLITE_OK;
    return *this;
  }
  // `s` must live as long as this.
  Query& bind(int at, const std::string& s) {
    ok_ = ok_ && sqlite3_bind_text64(statement_, at, s.data(), s.size(), SQLITE_STATIC,
                                     SQLITE_UTF8) == SQLITE_OK;
    return *this;
  }
  // SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return ok_ ? sqlite3_step(statement_) : SQLITE_ERROR; }
  std::int64_t number(int column) { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) {
    const auto* s = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return s == nullptr
               ? ""
               : std::string(s, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  bool ok_;
};

class SqliteChats final : public ChatStore {
 public:
  SqliteChats(std::string path, ChatLimits limits) : path_(std::move(path)), limits_(limits) {}
  ~SqliteChats() override { sqlite3_close_v2(db_); }

  Status open();
  Result<ChatList> list(const std::string& search, std::int64_t most, std::int64_t from) override;
  Result<std::optional<SavedChat>> get(const std::string& id) override;
  Result<std::optional<std::int64_t>> put(const SavedChat& chat,
                                          std::optional<std::int64_t> expected) override;
  Result<bool> remove(const std::string& id) override;
  Status every(const std::function<bool(const std::string& json)>& each) override;

 private:
  // A change: undone unless it was committed.
  class Change {
   public:
    explicit Change(SqliteChats& chats) : chats_(chats) {}
    ~Change() {
      if (sqlite3_get_autocommit(chats_.db_) == 0) (void)chats_.run("ROLLBACK");
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    Status begin() { return chats_.run("BEGIN IMMEDIATE"); }
    Status commit() { return chats_.run("COMMIT"); }

   private:
    SqliteChats& chats_;
  };

  Status run(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return failed();
    return Ok{};
  }
  Error failed() const;
  Result<std::int64_t> number(const char* sql);
  Status prepare();
  Result<ChatList> all(std::int64_t most, std::int64_t from);
  static ChatHead head(Query& q) {
    return {q.text(0), q.text(1), q.number(2), q.number(3), q.number(4), q.number(5), ""};
  }

  std::string path_;
  ChatLimits limits_;
  std::mutex mutex_;  // of what follows
  sqlite3* db_ = nullptr;
};

// The last thing that went wrong.
Error SqliteChats::failed() const {
  const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(db_);
  const char* why = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_);
  switch (code) {
    case SQLITE_FULL:
      return {Errc::TooLarge, "the disk is full, or the file of saved chats has reached its limit",
              path_};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Errc::Busy, "another program holds the saved chats", path_};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return {Errc::BadFile, fmt::format("expected a file of saved chats, found another: {}", why),
              path_};
    case SQLITE_NOMEM:
      return {Errc::NoMemory, "not enough memory for saved chats", path_};
    default:
      return {Errc::Io, fmt::format("the saved chats cannot be read or written: {}", why), path_};
  }
}

Result<std::int64_t> SqliteChats::number(const char* sql) {
  Query q(db_, sql);
  if (q.step() != SQLITE_ROW) return failed();
  return q.number(0);
}

Status SqliteChats::open() {
  // Made here, so that nobody else can read it; SQLite gives its other files the same rights.
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    return Error{Errc::Io,
                 fmt::format("the saved chats cannot be opened: {}",
                             std::error_code(errno, std::generic_category()).message()),
                 path_};
  ::close(fd);
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr) != SQLITE_OK) return failed();
  sqlite3_extended_result_codes(db_, 0);
  sqlite3_busy_timeout(db_, kPatience);
  sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
  return prepare();
}

Status SqliteChats::prepare() {
  BEZEL_TRY(const std::int64_t kind, number("PRAGMA application_id"));
  BEZEL_TRY(const std::int64_t things, number("SELECT count(*) FROM sqlite_schema"));
  BEZEL_TRY(const std::int64_t version, number("PRAGMA user_version"));
  if (things > 0 && kind != kApplication)
    return Error{Errc::BadFile, "expected a file of saved chats, found another program's", path_};
  if (version > kVersion)
    return Error{Errc::BadFile,
                 fmt::format("the saved chats have version {}; this program knows up to {}: use a "
                             "newer one, or another file",
                             version, kVersion),
                 path_};
  const std::uint64_t pages = std::max<std::uint64_t>(16, limits_.file_bytes / kPage);
  BEZEL_DO(run(fmt::format("PRAGMA page_size={}", kPage)));
  BEZEL_TRY([[maybe_unused]] const std::int64_t most,
            number(fmt::format("PRAGMA max_page_count={}", pages).c_str()));
  // What is deleted is overwritten. A disk without room for the log still reads.
  BEZEL_DO(run("PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA secure_delete=ON"));
  if (things > 0) return Ok{};
  Change change(*this);
  BEZEL_DO(change.begin());
  BEZEL_TRY(const std::int64_t now, number("SELECT count(*) FROM sqlite_schema"));
  if (now > 0) return Ok{};  // another program was quicker
  BEZEL_DO(run(kTable));
  BEZEL_DO(
      run(fmt::format("PRAGMA application_id={};PRAGMA user_version={}", kApplication, kVersion)));
  return change.commit();
}

Result<ChatList> SqliteChats::all(std::int64_t most, std::int64_t from) {
  ChatList list;
  BEZEL_TRY(list.total, number("SELECT count(*) FROM chats"));
  Query q(db_,
          "SELECT id, title, created, updated, revision, bytes FROM chats ORDER BY updated DESC, "
          "id LIMIT ? OFFSET ?");
  q.bind(1, most).bind(2, from);
  int state = 0;
  while ((state = q.step()) == SQLITE_ROW) list.chats.push_back(head(q));
  if (state != SQLITE_DONE) return failed();
  return list;
}

Result<ChatList> SqliteChats::list(const std::string& search, std::int64_t most,
                                   std::int64_t from) {
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> words = search_words(search);
  if (words.empty()) return all(most, from);
  ChatList list;
  Query q(db_,
          "SELECT id, title, created, updated, revision, bytes, text FROM chats ORDER BY updated "
          "DESC, id");
  int state = 0;
  while ((state = q.step()) == SQLITE_ROW) {
    const auto found = find_words(q.text(1), q.text(6), words);
    if (!found || list.total++ < from || static_cast<std::int64_t>(list.chats.size()) >= most)
      continue;
    list.chats.push_back(head(q));
    list.chats.back().found = *found;
  }
  if (state != SQLITE_DONE) return failed();
  return list;
}

Result<std::optional<SavedChat>> SqliteChats::get(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Query q(db_, "SELECT id, title, created, updated, revision, bytes, json FROM chats WHERE id = ?");
  const int state = q.bind(1, id).step();
  if (state == SQLITE_DONE) return std::optional<SavedChat>();
  if (state != SQLITE_ROW) return failed();
  return std::optional<SavedChat>({head(q), "", q.text(6)});
}

Result<std::optional<std::int64_t>> SqliteChats::put(const SavedChat& chat,
                                                     std::optional<std::int64_t> expected) {
  const std::lock_guard lock(mutex_);
  Change change(*this);
  BEZEL_DO(change.begin());
  std::int64_t revision = 0;
  {
    Query q(db_, "SELECT revision FROM chats WHERE id = ?");
    const int state = q.bind(1, chat.head.id).step();
    if (state != SQLITE_ROW && state != SQLITE_DONE) return failed();
    if (state == SQLITE_ROW) revision = q.number(0);
  }
  if (expected && *expected != revision) return std::optional<std::int64_t>();
  if (revision == 0) {
    BEZEL_TRY(const std::int64_t n, number("SELECT count(*) FROM chats"));
    if (n >= limits_.chats)
      return Error{Errc::TooLarge,
                   fmt::format("{} chats are saved, which is the limit: delete some", n), path_};
  }
  {
    Query q(db_,
            "INSERT INTO chats VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(id) DO UPDATE "
            "SET title = ?2, created = ?3, updated = ?4, revision = ?5, bytes = ?6, text = ?7, "
            "json = ?8");
    const auto bytes = static_cast<std::int64_t>(chat.json.size());
    q.bind(1, chat.head.id).bind(2, chat.head.title).bind(3, chat.head.created);
    q.bind(4, chat.head.updated).bind(5, revision + 1).bind(6, bytes);
    if (q.bind(7, chat.text).bind(8, chat.json).step() != SQLITE_DONE) return failed();
  }
  BEZEL_DO(change.commit());
  return std::optional<std::int64_t>(revision + 1);
}

Result<bool> SqliteChats::remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  {
    Query q(db_, "DELETE FROM chats WHERE id = ?");
    if (q.bind(1, id).step() != SQLITE_DONE) return failed();
  }
  const bool was_there = sqlite3_changes(db_) > 0;
  // Its old pages leave the log too; when a reader is in the way, the next time.
  if (was_there)
    sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return was_there;
}

Status SqliteChats::every(const std::function<bool(const std::string& json)>& each) {
  const std::lock_guard lock(mutex_);
  Query q(db_, "SELECT json FROM chats ORDER BY updated DESC, id");
  int state = 0;
  while ((state = q.step()) == SQLITE_ROW)
    if (!each(q.text(0))) return Ok{};
  if (state != SQLITE_DONE) return failed();
  return Ok{};
}

}  // namespace

Result<std::unique_ptr<ChatStore>> ChatStore::open(const std::string& path, ChatLimits limits) {
  auto chats = std::make_unique<SqliteChats>(path, limits);
  BEZEL_DO(chats->open());
  return std::unique_ptr<ChatStore>(std::move(chats));
}

}  // namespace bezel
