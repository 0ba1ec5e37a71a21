// The choice of a table, and the promise that no table's code can leak into another's.
#include <array>
#include <cstdio>
#include <set>

#include "kernels/support.h"

#if defined(__has_feature)
#define BEZEL_HAS_FEATURE(name) __has_feature(name)
#else
#define BEZEL_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    BEZEL_HAS_FEATURE(address_sanitizer) || BEZEL_HAS_FEATURE(thread_sanitizer)
#define BEZEL_SANITIZED 1
#else
#define BEZEL_SANITIZED 0
#endif

namespace bezel::test {
namespace {

TEST(Dispatch, BestTableRunsHereAndComesFirstAmongThose) {
  EXPECT_TRUE(runs_here(best_kernels()));
  for (const KernelTable* t : all_kernel_tables()) {
    if (t == &best_kernels()) break;
    EXPECT_FALSE(runs_here(*t)) << t->name;
  }
}

TEST(Dispatch, EveryTableIsFoundByItsNameOrSaysWhatIsMissing) {
  std::set<std::string> names;
  for (const KernelTable* t : all_kernel_tables()) {
    EXPECT_TRUE(names.insert(t->name).second) << t->name;
    const auto found = find_kernels(t->name);
    ASSERT_EQ(static_cast<bool>(found), runs_here(*t)) << t->name;
    if (found)
      EXPECT_EQ(*found, t);
    else
      EXPECT_NE(found.error().what.find("does not have"), std::string::npos) << found.error().what;
  }
}

TEST(Dispatch, NoNameMeansTheBestAndAnUnknownNameListsTheOthers) {
  EXPECT_EQ(*find_kernels(""), &best_kernels());
  const auto found = find_kernels("mmx");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::BadInput);
  EXPECT_NE(found.error().what.find("scalar"), std::string::npos) << found.error().what;
}

TEST(Dispatch, ScalarTableRunsEverywhere) {
  EXPECT_EQ(scalar_table().needs, 0U);
}

// The linker keeps one copy of a weak symbol; if it took one that an AVX-512 file made, older
// machines would stop at an illegal instruction.
TEST(Dispatch, VectorObjectsDefineNothingThatTheLinkerMayShare) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "no vector tables on this machine";
#elif !defined(__OPTIMIZE__) || BEZEL_SANITIZED
  GTEST_SKIP() << "only optimised builds without sanitizers are meant to be free of weak symbols";
#else
  std::string program = BEZEL_PROGRAM;
  const std::string archive = program.substr(0, program.rfind('/') + 1) + "libbezel_kernels.a";
  const std::string command = "nm --print-file-name '" + archive + "' 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::set<std::string> objects;
  std::string shared;
  std::array<char, 4096> line;
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) {
    const std::string text = line.data();
    const auto at = text.find("x86_");
    if (at == std::string::npos) continue;
    objects.insert(text.substr(at, text.find(':', at) - at));
    for (const char* kind : {" W ", " V ", " u ", " w "})
      if (text.find(kind) != std::string::npos) shared += text;
  }
  if (pclose(pipe) != 0) GTEST_SKIP() << "nm is not there or cannot read " << archive;
  EXPECT_EQ(objects.size(), 4U);
  EXPECT_EQ(shared, "");
#endif
}

}  // namespace
}  // namespace bezel::test
