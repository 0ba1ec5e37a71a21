// The store of chats: what is saved stays, and what goes wrong changes nothing.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/temp_folder.h"
#include "server/chats/search.h"
#include "server/chats/store.h"

namespace bezel::test {
namespace {

SavedChat chat_of(const std::string& id, const std::string& text = "hello", int updated = 1) {
  SavedChat c;
  c.head.id = id;
  c.head.title = "Title of " + id;
  c.head.created = 1;
  c.head.updated = updated;
  c.text = text;
  c.json = fmt::format(R"({{"text":"{}"}})", text);
  return c;
}

class Chats : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open(ChatLimits limits = {}) {
    chats_.reset();
    auto opened = ChatStore::open(path(), limits);
    ASSERT_TRUE(opened) << opened.error().text();
    chats_ = *std::move(opened);
  }
  std::string path() const { return folder_.file("chats.db"); }
  std::int64_t put(const SavedChat& chat, std::optional<std::int64_t> expected = {}) {
    const auto r = chats_->put(chat, expected);
    EXPECT_TRUE(r) << r.error().text();
    return r && *r ? **r : -1;
  }
  std::vector<std::string> ids(const std::string& search = "", int most = 100, int from = 0) {
    const auto list = chats_->list(search, most, from);
    EXPECT_TRUE(list) << list.error().text();
    std::vector<std::string> all;
    for (const ChatHead& h : list->chats) all.push_back(h.id);
    return all;
  }
  // What SQLite itself says about the file.
  std::string integrity() const {
    sqlite3* db = nullptr;
    sqlite3_stmt* s = nullptr;
    std::string said = "cannot be read";
    if (sqlite3_open(path().c_str(), &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, nullptr) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW)
      said = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
    sqlite3_finalize(s);
    sqlite3_close(db);
    return said;
  }

  TempFolder folder_;
  std::unique_ptr<ChatStore> chats_;
};

using Ids = std::vector<std::string>;

TEST_F(Chats, AChatComesBackAsItWasAlsoAfterAnotherStart) {
  SavedChat chat = chat_of("a", "Gr\xC3\xBC\xC3\x9F Gott");
  chat.head.created = 17;
  EXPECT_EQ(put(chat), 1);
  open();
  const auto back = chats_->get("a");
  ASSERT_TRUE(back && *back);
  EXPECT_EQ((*back)->json, chat.json);
  EXPECT_EQ(ids("gr\xC3\xBC\xC3\x9F"), Ids{"a"});
  EXPECT_EQ((*back)->head.title, chat.head.title);
  EXPECT_EQ((*back)->head.created, 17);
  EXPECT_EQ((*back)->head.revision, 1);
  EXPECT_EQ((*back)->head.bytes, static_cast<std::int64_t>(chat.json.size()));
  const auto none = chats_->get("b");
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST_F(Chats, ThoseChangedLastComeFirstAndAreGivenInParts) {
  for (int i = 0; i < 5; ++i) put(chat_of(fmt::format("c{}", i), "x", i));
  EXPECT_EQ(ids(), (Ids{"c4", "c3", "c2", "c1", "c0"}));
  EXPECT_EQ(ids("", 2, 1), (Ids{"c3", "c2"}));
  EXPECT_EQ(ids("x", 2, 1), (Ids{"c3", "c2"}));
  EXPECT_EQ(chats_->list("", 2, 0)->total, 5);
  EXPECT_EQ(chats_->list("x", 2, 0)->total, 5);
}

TEST_F(Chats, EveryWordOfASearchMustBeThereInAnyCase) {
  put(chat_of("a", "The Quick fox\njumps"));
  put(chat_of("b", "\xC3\x84pfel und \xD0\x9C\xD0\xBE\xD1\x81\xD0\xBA\xD0\xB2\xD0\xB0 100% _"));
  EXPECT_EQ(ids("QUICK  jumps"), Ids{"a"});
  EXPECT_EQ(ids("quick cat"), Ids{});
  EXPECT_EQ(ids("title fox"), Ids{"a"});
  EXPECT_EQ(ids("\xC3\xA4PFEL"), Ids{"b"});
  EXPECT_EQ(ids("\xD0\xBC\xD0\x9E\xD1\x81"), Ids{"b"});
  EXPECT_EQ(ids("100%"), Ids{"b"});
  EXPECT_EQ(ids("%"), Ids{"b"});
  EXPECT_EQ(ids("' OR 1=1 --"), Ids{});
  EXPECT_EQ(chats_->list("fox", 9, 0)->chats[0].found, "The Quick fox jumps");
  EXPECT_EQ(chats_->list("title", 1, 0)->chats[0].found, "");
}

TEST_F(Chats, WhatIsFoundIsCutAtWholeCharacters) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "\xE2\x82\xAC";
  const auto found = find_words("", text + "needle" + text, {"needle"});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->substr(0, 6), "\xE2\x80\xA6\xE2\x82\xAC");
  EXPECT_EQ(found->substr(found->size() - 6), "\xE2\x82\xAC\xE2\x80\xA6");
  EXPECT_EQ(folded("\xC3\x97\xC4\xB0\xC3").size(), 5U);  // no letter, one that has no pair, a half
}

TEST_F(Chats, AChangeOfAnotherRevisionChangesNothing) {
  EXPECT_EQ(put(chat_of("a", "one"), 0), 1);
  EXPECT_EQ(put(chat_of("a", "two"), 0), -1);
  EXPECT_EQ(put(chat_of("a", "two"), 1), 2);
  EXPECT_EQ(put(chat_of("a", "three"), 1), -1);
  EXPECT_EQ(put(chat_of("b", "new"), 5), -1);
  EXPECT_EQ((*chats_->get("a"))->json, chat_of("a", "two").json);
  EXPECT_EQ(ids("two"), Ids{"a"});
  EXPECT_EQ(ids(), Ids{"a"});
  EXPECT_EQ(put(chat_of("a", "four")), 3);
}

TEST_F(Chats, WhatIsDeletedIsNowhereInTheFiles) {
  put(chat_of("a", "verysecretwords"));
  put(chat_of("b"));
  EXPECT_TRUE(*chats_->remove("a"));
  EXPECT_FALSE(*chats_->remove("a"));
  EXPECT_EQ(ids(), Ids{"b"});
  for (const char* name : {"chats.db", "chats.db-wal"})
    EXPECT_EQ(folder_.get(name).find("verysecretwords"), std::string::npos) << name;
}

TEST_F(Chats, EveryChatIsGivenUntilTheCallerHasEnough) {
  for (int i = 0; i < 3; ++i) put(chat_of(fmt::format("c{}", i), fmt::format("t{}", i), i));
  Ids seen;
  const auto status = chats_->every([&](const std::string& json) {
    seen.push_back(json);
    return seen.size() < 2;
  });
  ASSERT_TRUE(status);
  EXPECT_EQ(seen, (Ids{R"({"text":"t2"})", R"({"text":"t1"})"}));
}

TEST_F(Chats, TheFileIsForItsOwnerAlone) {
  put(chat_of("a"));
  for (const char* name : {"chats.db", "chats.db-wal"}) {
    struct stat s = {};
    ASSERT_EQ(::stat(folder_.file(name).c_str(), &s), 0) << name;
    EXPECT_EQ(s.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(Chats, MoreThanTheLimitIsRefusedAndTheRestStays) {
  open({2, 4U << 20U});
  put(chat_of("a"));
  put(chat_of("b"));
  const auto third = chats_->put(chat_of("c"), {});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Errc::TooLarge);
  EXPECT_EQ(put(chat_of("b", "changed")), 2);
  EXPECT_EQ(ids().size(), 2U);
}

TEST_F(Chats, AFullFileTakesNoMoreButKeepsWhatItHas) {
  open({1000, 40 * 4096});
  std::size_t saved = 0;
  Result<std::optional<std::int64_t>> r = std::optional<std::int64_t>();
  while ((r = chats_->put(chat_of(fmt::format("c{}", saved), std::string(20000, 'x')), {})) &&
         saved < 100)
    ++saved;
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Errc::TooLarge);
  EXPECT_GT(saved, 1U);
  EXPECT_EQ(ids().size(), saved);
  EXPECT_TRUE(*chats_->remove("c0"));
  EXPECT_EQ(put(chat_of("c0", "small")), 1);  // there is room again
  chats_.reset();
  EXPECT_EQ(integrity(), "ok");
  open({1000, 40 * 4096});
  EXPECT_EQ(ids().size(), saved);
}

// Runs `work` in a child process; gives how it ended.
template <class Work>
int in_child(const Work& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    work();
    ::_exit(0);
  }
  int state = 0;
  ::waitpid(pid, &state, 0);
  return state;
}

TEST_F(Chats, ADiskThatTakesNoMoreBytesLosesNothing) {
  put(chat_of("first"));
  chats_.reset();
  const int state = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);  // writes beyond the limit fail instead
    const rlimit limit = {200000, 200000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto chats = ChatStore::open(path());
    if (!chats) ::_exit(2);
    int saved = 0;
    while ((*chats)->put(chat_of(fmt::format("c{}", saved), std::string(20000, 'x')), {})) ++saved;
    if (saved < 2) ::_exit(3);
    if (!*(*chats)->get("c0") || !*(*chats)->get("first")) ::_exit(4);
    ::_exit(0);
  });
  EXPECT_EQ(state, 0);
  EXPECT_EQ(integrity(), "ok");
  open();
  EXPECT_GE(ids().size(), 3U);
}

TEST_F(Chats, EveryChatThatWasReportedSavedIsThereAfterAKill) {
  chats_.reset();
  for (int round = 0; round < 5; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto chats = ChatStore::open(path());
      for (int i = 0; chats; ++i) {
        const auto id = fmt::format("r{}-{}", round, i);
        if (!(*chats)->put(chat_of(id, std::string(5000, 'y')), {})) break;
        if (::write(pipe[1], &i, sizeof i) != sizeof i) break;
      }
      ::_exit(1);
    }
    int last = -1;
    for (int i = 0; i < 10 + 7 * round; ++i)
      ASSERT_EQ(::read(pipe[0], &last, sizeof last), static_cast<ssize_t>(sizeof last));
    ::kill(pid, SIGKILL);
    int state = 0;
    ::waitpid(pid, &state, 0);
    EXPECT_TRUE(WIFSIGNALED(state));
    ::close(pipe[1]);
    for (int more = 0; ::read(pipe[0], &more, sizeof more) == sizeof more;) last = more;
    ::close(pipe[0]);
    EXPECT_EQ(integrity(), "ok");
    open();
    for (int i = 0; i <= last; ++i) {
      const auto chat = chats_->get(fmt::format("r{}-{}", round, i));
      ASSERT_TRUE(chat && *chat) << round << " " << i;
      EXPECT_EQ((*chat)->json, chat_of("", std::string(5000, 'y')).json);
    }
    chats_.reset();
  }
}

TEST_F(Chats, TwoProgramsMayUseOneFile) {
  auto other = ChatStore::open(path());
  ASSERT_TRUE(other) << other.error().text();
  std::thread writer([&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE((*other)->put(chat_of(fmt::format("o{}", i)), {}));
  });
  for (int i = 0; i < 50; ++i) put(chat_of(fmt::format("m{}", i)));
  writer.join();
  EXPECT_EQ(ids().size(), 100U);
}

TEST_F(Chats, ManyThreadsMayUseOneStore) {
  std::vector<std::thread> all;
  all.reserve(4);
  for (int t = 0; t < 4; ++t)
    all.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) {
        put(chat_of(fmt::format("t{}-{}", t, i)));
        ids("hello", 3);
      }
    });
  for (std::thread& t : all) t.join();
  EXPECT_EQ(ids().size(), 100U);
}

TEST_F(Chats, FilesOfAnotherKindAreRefusedAndLeftAlone) {
  chats_.reset();
  const std::string text = "This is a diary, not a database. " + std::string(9000, '.');
  const auto diary = ChatStore::open(folder_.put("diary.txt", text));
  ASSERT_FALSE(diary);
  EXPECT_EQ(diary.error().code, Errc::BadFile);
  EXPECT_EQ(folder_.get("diary.txt"), text);

  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(folder_.file("other.db").c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "CREATE TABLE mine(x)", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  const auto other = ChatStore::open(folder_.file("other.db"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::BadFile);

  ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
  sqlite3_exec(db, "PRAGMA user_version=99", nullptr, nullptr, nullptr);
  sqlite3_close(db);
  const auto newer = ChatStore::open(path());
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().what.find("version 99"), std::string::npos);

  const auto nowhere = ChatStore::open(folder_.file("no/such/folder/chats.db"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::Io);
}

}  // namespace
}  // namespace bezel::test
