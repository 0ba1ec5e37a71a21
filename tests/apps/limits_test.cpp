// What the program never does: open a socket, take more memory than it said, draw into a pipe.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstddef>
#include <fstream>

#include "apps/models.h"
#include "apps/terminal.h"

namespace bezel::test {
namespace {

// ---- no sockets

#if defined(__x86_64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArch = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArch = 0;
#endif

// From here on a call that makes or connects a socket ends this process with SIGSYS. io_uring could
// do the same by another way.
bool forbid_sockets() {
  constexpr std::array<unsigned, 5> kForbidden{__NR_socket, __NR_socketpair, __NR_connect,
                                               __NR_accept4, 425 /* io_uring_setup */};
  std::vector<sock_filter> code;
  const auto add = [&](int what, unsigned value, unsigned yes = 0, unsigned no = 0) {
    code.push_back({static_cast<std::uint16_t>(what), static_cast<std::uint8_t>(yes),
                    static_cast<std::uint8_t>(no), value});
  };
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, kArch, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const unsigned number : kForbidden) {
    add(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  }
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return kArch != 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
void forbid_sockets_or_leave() {
  if (!forbid_sockets()) ::_exit(126);
}

// What happens to a child that opens a socket under the filter.
Ending socket_under_filter() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    forbid_sockets_or_leave();
    ::_exit(::socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 1);
  }
  return wait_for_end(pid);
}

TEST(NoSocket, EveryCommandWorksWhereOpeningOneWouldEndTheProgram) {
  const Ending control = socket_under_filter();
  if (control.status == 126) GTEST_SKIP() << "seccomp filters are not available here";
  ASSERT_EQ(control.signal, SIGSYS);
  const TalkingModel model;
  const TempFolder folder;
  const std::string ids = folder.put("ids", "2 5 7");
  const std::vector<Words> commands{
      Words{"run", model.path(), "hello", "-n", "4", "--threads", "3"} + TalkingModel::always('x'),
      Words{"chat", model.path(), "-n", "4"} + TalkingModel::always('x'),
      {"show", kE2b},
      {"bench", kE2b, "-p", "4", "-n", "1", "-d", "0", "--repeat", "1"},
      {"tokenize", base_model()},
      {"perplexity", kE2b, "--ids-file", ids},
      {"logits", kE2b, "--ids", "2,5", "--output", folder.file("out")},
      {"completion", "bash"},
      {"--version"}};
  for (const Words& words : commands) {
    const Ran ran =
        Child(words, {.input = "hello\n", .in_child = forbid_sockets_or_leave}).finish();
    EXPECT_EQ(ran.status, 0) << testing::PrintToString(words) << testing::PrintToString(ran);
    if (words[0] == "run" || words[0] == "chat") {
      EXPECT_EQ(ran.out, "xxxx\n");
    }
  }
}

// ---- memory

// Bytes of anonymous resident memory of a process; 0 when it is gone.
std::uint64_t anonymous_bytes(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);)
    if (line.rfind("RssAnon:", 0) == 0) return std::stoull(line.substr(8)) << 10U;
  return 0;
}

struct Peak {
  std::uint64_t taken = 0, predicted = 0, kv = 0;
};

// Fills a context with prompt and answer and looks all the while.
Peak peak_of(const std::string& model, const Words& flags) {
  const Json plan = json_of(output_of(Words{"show", model, "--json"} + flags)).at("memory");
  Peak peak;
  peak.predicted = plan.at("anonymous").get<std::uint64_t>();
  peak.kv = plan.at("sequence").get<std::uint64_t>();
  Child child(Words{"run", model, "--raw", "-"} + TalkingModel::always('x') + flags,
              {.input = std::string(plan.at("context").get<std::size_t>() - 200, 'q')});
  EXPECT_TRUE(child.wait_for_output("beside the model's", true));  // another program by now
  while (child.pump(2)) peak.taken = std::max(peak.taken, anonymous_bytes(child.pid()));
  EXPECT_EQ(child.finish().status, 0);
  EXPECT_TRUE(has(child.so_far().err, "is full")) << child.so_far().err;
  return peak;
}

TEST(Memory, AnonymousMemoryStaysBelowWhatWasPredicted) {
  if (kSanitized) GTEST_SKIP() << "sanitizers take memory of their own";
  const TalkingModel model;
  for (const Words& flags : {Words{"--ctx", "2000"}, Words{"--ctx", "8000", "--kv", "f32"},
                             Words{"--ctx", "3000", "--chunk", "32", "--threads", "3"}}) {
    const Peak peak = peak_of(model.path(), flags);
    EXPECT_LT(peak.taken, peak.predicted) << testing::PrintToString(flags);
    EXPECT_GT(peak.taken, peak.kv) << "a full context was not seen";
  }
}

// ---- progress

TEST(Progress, ABarAppearsOnATerminalAndNeverInAPipe) {
  const TalkingModel model;
  const TempFolder folder;
  std::string ids = "2";
  for (int i = 0; i < 400; ++i) ids += " 5";
  const std::string list = folder.put("ids", ids);
  // The same work, slow enough for several bars anywhere.
  const std::vector<std::pair<Words, std::string>> works{
      {{"logits", model.path(), "--ids-file", list, "--output", folder.file("out"), "--last", "1",
        "--chunk", "1", "--isa", "scalar", "--threads", "1"},
       "reading the ids ["},
      {{"perplexity", model.path(), "--ids-file", list, "--chunk", "1", "--isa", "scalar",
        "--threads", "1"},
       "scoring ["}};
  for (const auto& [words, bar] : works) {
    Terminal t(words);
    EXPECT_EQ(t.finish().status, 0);
    const std::string& screen = t.screen();
    EXPECT_TRUE(has(screen, bar)) << screen;
    EXPECT_TRUE(has(screen, "tokens/s") && has(screen, " left")) << screen;
    // The last one is wiped away.
    EXPECT_GT(screen.rfind("\r\033[K"), screen.rfind(" left"));
    const Ran piped = bezel(words);
    EXPECT_EQ(piped.status, 0);
    EXPECT_EQ(piped.err, "");
    EXPECT_FALSE(has(piped.out, "\033")) << piped.out;
  }
}

TEST(Progress, ReadingALongPromptShowsABarBeforeTheAnswer) {
  const TalkingModel model;
  const Words words =
      Words{"chat", model.path(), "-n", "3", "--chunk", "1", "--isa", "scalar", "--threads", "1"} +
      TalkingModel::always('x');
  Terminal t(words);
  std::string text;
  for (int i = 0; i < 3; ++i) text += std::string(120, 'q') + "\\\n";
  t.until("> ");
  t.type(text + "end\n");
  t.until("reading [");
  t.until("\r\033[Kxxx\n");
  t.until("> ");
  t.ctrl_d();
  EXPECT_EQ(t.finish().status, 0);
  EXPECT_FALSE(has(bezel(words, text + "end\n").err,
                   "["
                   "#"));
}

}  // namespace
}  // namespace bezel::test
