#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <utility>

#include "base/huge.h"
#include "base/temp_folder.h"

namespace bezel {
namespace {

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(MappedFile, ShowsTheBytesOfAFile) {
  const TempFolder folder;
  auto file = MappedFile::open(folder.put("a", "seven bytes"));
  ASSERT_TRUE(file);
  EXPECT_EQ(as_text((*file)->bytes()), "seven bytes");
  EXPECT_EQ((*file)->path(), folder.file("a"));
}

TEST(MappedFile, PagesThatWereLetGoAreThereAgainWhenRead) {
  const TempFolder folder;
  const std::string text(100000, 'x');
  auto file = MappedFile::open(folder.put("a", text));
  ASSERT_TRUE(file);
  for (const std::size_t at : {0U, 1U, 4096U, 70000U}) {
    EXPECT_EQ(as_text((*file)->bytes()), text);
    (*file)->let_go((*file)->bytes().subspan(at, 20000));
  }
  EXPECT_EQ(as_text((*file)->bytes()), text);
}

TEST(HugeBuffer, GivesAlignedZeroedBytesAndMovesThem) {
  auto taken = HugeBuffer::take(5000);
  ASSERT_TRUE(taken);
  HugeBuffer buffer = std::move(*taken);
  EXPECT_EQ(buffer.size(), 5000U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0U);
  for (std::size_t i = 0; i < 5000; ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
  buffer.data()[4999] = std::byte{7};
  const HugeBuffer moved = std::move(buffer);
  EXPECT_EQ(moved.data()[4999], std::byte{7});
  EXPECT_EQ(HugeBuffer::take(0)->size(), 0U);
  EXPECT_EQ(HugeBuffer::take(SIZE_MAX - 5).error().code, Errc::NoMemory);
  EXPECT_EQ(HugeBuffer::take(std::size_t{1} << 60U).error().code, Errc::NoMemory);
}

TEST(MappedFile, AnEmptyFileIsEmpty) {
  const TempFolder folder;
  auto file = MappedFile::open(folder.put("empty", ""));
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFile, FoldersDevicesPipesAndMissingFilesAreErrorsThatNameThePath) {
  const TempFolder folder;
  ASSERT_EQ(::mkfifo(folder.file("pipe").c_str(), 0600), 0);
  struct Case {
    std::string path;
    Errc code;
    const char* word;
  };
  for (const Case& c :
       {Case{folder.path(), Errc::BadInput, "folder"}, Case{"/dev/null", Errc::BadInput, "device"},
        Case{folder.file("pipe"), Errc::BadInput, "pipe"},
        Case{folder.file("missing"), Errc::NotFound, "no such file"},
        Case{folder.put("a", "") + "/below", Errc::NotFound, "no such file"}}) {
    auto file = MappedFile::open(c.path);
    ASSERT_FALSE(file) << c.path;
    EXPECT_EQ(file.error().code, c.code) << c.path;
    EXPECT_NE(file.error().what.find(c.word), std::string::npos) << file.error().text();
    EXPECT_EQ(file.error().where, c.path);
  }
}

TEST(ReadFile, GivesTheWholeFileUpToTheLimitAndAnErrorPastIt) {
  const TempFolder folder;
  std::string big(200'000, 'x');
  big.back() = '\0';
  const std::string path = folder.put("big", big);
  auto whole = read_file(path, big.size());
  ASSERT_TRUE(whole);
  EXPECT_EQ(*whole, big);
  auto cut = read_file(path, big.size() - 1);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, Errc::TooLarge);
  EXPECT_FALSE(read_file("/dev/zero", 1000)) << "endless files end at the limit";
  EXPECT_FALSE(read_file(folder.path(), 1000)) << "a folder is not a file";
  EXPECT_FALSE(read_file(folder.file("missing"), 1000));
}

TEST(ReadFile, ADashIsStandardInput) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "typed", 5), 5);
  ::close(ends[1]);
  const int saved = ::dup(STDIN_FILENO);
  ::dup2(ends[0], STDIN_FILENO);
  auto text = read_file("-", 100);
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
  ::close(ends[0]);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "typed");
}

TEST(AtomicFile, AppearsCompleteOnCommitAndNothingElseStaysBehind) {
  const TempFolder folder;
  auto file = AtomicFile::create(folder.file("out"));
  ASSERT_TRUE(file);
  (*file)->write("hello world", 11);
  (*file)->write_at(6, "W", 1);
  EXPECT_FALSE(is_file(folder.file("out"))) << "not visible before commit";
  ASSERT_TRUE((*file)->commit());
  EXPECT_EQ(folder.get("out"), "hello World");
  EXPECT_EQ(folder.n_files(), 1);
}

TEST(AtomicFile, WithoutCommitTheOldFileIsUntouchedAndNoTemporaryFileIsLeft) {
  const TempFolder folder;
  folder.put("out", "old");
  {
    auto file = AtomicFile::create(folder.file("out"));
    ASSERT_TRUE(file);
    (*file)->write("new", 3);
  }
  EXPECT_EQ(folder.get("out"), "old");
  EXPECT_EQ(folder.n_files(), 1);
}

TEST(AtomicFile, ReplacesAFileThroughASymbolicLinkAndKeepsItsPermissions) {
  const TempFolder folder;
  folder.put("real", "old");
  ASSERT_EQ(::chmod(folder.file("real").c_str(), 0640), 0);
  ASSERT_EQ(::symlink("real", folder.file("link").c_str()), 0);
  auto file = AtomicFile::create(folder.file("link"));
  ASSERT_TRUE(file);
  (*file)->write("new", 3);
  ASSERT_TRUE((*file)->commit());
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("link")));
  EXPECT_EQ(folder.get("real"), "new");
  struct stat info {};
  ASSERT_EQ(::stat(folder.file("real").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST(AtomicFile, AFullDiskIsASentenceFromCommit) {
  auto file = AtomicFile::create("/dev/full");
  ASSERT_TRUE(file);
  (*file)->write("x", 1);
  (*file)->write("y", 1);
  const Status done = (*file)->commit();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::Io);
  EXPECT_NE(done.error().what.find("disk is full"), std::string::npos) << done.error().text();
}

// A limit on the size of files makes write() fail in the middle, as a full disk does.
TEST(AtomicFile, AWriteThatFailsHalfwayLeavesTheOldFileAndNoTemporaryFile) {
  const TempFolder folder;
  folder.put("out", "old");
  struct rlimit old {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  struct rlimit small = old;
  small.rlim_cur = 1000;
  auto* const old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  Status done = Ok{};
  {
    auto file = AtomicFile::create(folder.file("out"));
    if (file) {
      const std::string text(5000, 'x');
      (*file)->write(text.data(), text.size());
      done = (*file)->commit();
    }
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::Io);
  EXPECT_EQ(folder.get("out"), "old");
  EXPECT_EQ(folder.n_files(), 1);
}

TEST(AtomicFile, DevicesAreWrittenDirectlyAndFoldersRefused) {
  auto null = AtomicFile::create("/dev/null");
  ASSERT_TRUE(null);
  (*null)->write("x", 1);
  EXPECT_TRUE((*null)->commit());
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  const TempFolder folder;
  EXPECT_FALSE(AtomicFile::create(folder.path()));
  auto below = AtomicFile::create(folder.file("missing/out"));
  ASSERT_FALSE(below);
  EXPECT_NE(below.error().what.find("folder"), std::string::npos);
}

}  // namespace
}  // namespace bezel
