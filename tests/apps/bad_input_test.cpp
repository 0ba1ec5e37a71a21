// Whatever is wrong: one sentence, an exit status that is not 0, and no crash.
#include "apps/models.h"

namespace bezel::test {
namespace {

// Every command that opens a model, up to the model's path and after it.
struct Command {
  Words before, after;
};
std::vector<Command> commands(const TempFolder& folder) {
  const std::string ids = folder.put("ids", "2 5 7");
  return {{{"run"}, {"--raw", "w1", "-n", "1", "-q"}},
          {{"chat"}, {}},
          {{"show"}, {}},
          {{"bench"}, {"-p", "2", "-n", "1", "-d", "0", "--repeat", "1"}},
          {{"tokenize"}, {}},
          {{"perplexity"}, {"--ids-file", ids}},
          {{"logits"}, {"--ids", "2,5", "--output", folder.file("out")}}};
}

std::string bytes_of(const std::string& path) {
  auto bytes = read_file(path, 1U << 26U);
  EXPECT_TRUE(bytes) << path;
  return bytes ? *std::move(bytes) : "";
}

TEST(BadInput, TheSameCommandsWorkWhenNothingIsWrong) {
  const TempFolder folder;
  for (const Command& c : commands(folder)) output_of(c.before + Words{base_model()} + c.after);
}

TEST(BadInput, UnknownCommandsAndFlagsAreNamed) {
  for (const Words& words :
       {Words{"nonsense"}, Words{"nonsense", base_model()},
        Words{"run", base_model(), "-q", "x", "nonsense"}, Words{"show", base_model(), "nonsense"}})
    EXPECT_TRUE(has(complaint(words), "nonsense"));
  EXPECT_TRUE(has(complaint({"rnu", base_model(), "x"}), "there is no command \"rnu\""));
  const TempFolder folder;
  EXPECT_TRUE(has(complaint({"--nonsense"}), "--nonsense"));
  for (const Command& c : commands(folder)) {
    const Ran ran = bezel(c.before + Words{base_model()} + c.after + Words{"--nonsense"});
    EXPECT_TRUE(has(complaint(ran), "--nonsense"));
    EXPECT_TRUE(has(ran.err, "bezel " + c.before[0] + " --help")) << ran.err;
    EXPECT_EQ(ran.status, 2);
    complaint(c.before);  // the model is missing
  }
  complaint({"run", base_model()});  // the prompt is missing
  complaint({"run", "show", base_model(), "x"});
  complaint({"completion"});
  complaint({"completion", "csh"});
}

TEST(BadInput, AServerSaysWhatItCannotOpenBeforeItLoadsItsModel) {
  const TempFolder folder;
  const std::string broken = folder.put("model.gguf", "no model");
  const auto said = [&](const Words& more) {
    return complaint(Words{"serve", broken, "--chats", "off", "--no-auth"} + more);
  };
  EXPECT_TRUE(has(said({"--cert", broken}), "TLS needs both"));
  EXPECT_TRUE(has(said({"--host", "192.0.2.1"}), "cannot listen at 192.0.2.1"));
  EXPECT_TRUE(has(said({"--port", "0"}), "model.gguf"));
}

TEST(BadInput, NumbersThatAreNoneOrOutOfRangeAreRefused) {
  const auto refused = [](const char* flag, std::initializer_list<const char*> values) {
    for (const std::string value : values) {
      const Words words{"run", base_model(), "--raw", "w1", "-n", "1", "-q"};
      complaint(words + Words{fmt::format("{}={}", flag, value)});
      if (value.empty() || value[0] == '-') complaint(words + Words{flag, value});  // or a flag?
    }
  };
  refused("--threads", {"0", "-1", "2147483648", "-2147483649", "99999999999999999999", "1e400",
                        "nan", "inf", "1.5", "", " ", "x", "1x", "--"});
  for (const char* flag : {"--ctx", "--chunk"}) refused(flag, {"0", "-1", "2147483648", "1.5", ""});
  refused("--max-tokens", {"0", "-1", "2147483648", "1e400", "nan", "1.5", "", "x"});
  refused("--top-k", {"-1", "2147483648", "1e400", "nan", "1.5", "", "x"});
  refused("--temp", {"-1", "101", "0.0001", "1e400", "nan", "inf", "-inf", "", "x", "1x"});
  refused("--top-p", {"-0.1", "1.1", "1e400", "nan", "", "x"});
  refused("--min-p", {"-0.1", "1.1", "1e400", "nan", "", "x"});
  refused("--repetition-penalty", {"0", "-1", "1e400", "nan", "", "x"});
  refused("--presence-penalty", {"1e400", "nan", "-101", "101", "", "x"});
  refused("--frequency-penalty", {"1e400", "nan", "-101", "101", "", "x"});
  refused("--seed", {"-1", "18446744073709551616", "1e400", "nan", "1.5", "", "x"});
  refused("--bias", {"", "5", "=", "5=", "=1", "x=1", "5=x", "5=nan", "5=inf", "512=1", "-1=1",
                     "5=1e400", "5=1001", "5=1,6=1", "2147483648=1"});
  refused("--logprobs", {"-2", "1001", "2147483648", "nan", "", "x"});
  refused("--stop", {""});
  refused("--act", {"", "int4", "F32x", "0"});
  refused("--kv", {"", "int8", "f64"});
  refused("--isa", {"", "avx1024", "nan"});
}

TEST(BadInput, SizesThatAreNoneOrOutOfRangeAreRefusedInWords) {
  const auto refused = [](const char* flag, std::initializer_list<const char*> values) {
    for (const char* value : values)
      EXPECT_TRUE(
          has(complaint({"serve", base_model(), "--no-auth", "--chats", "off", flag, value}),
              fmt::format("{}: expected a size from 1 byte to 1024TB, a whole number as 8GB "
                          "or 500MB, not \"{}\"; see",
                          flag, value)));
  };
  refused("--memory", {"-5", "-5GB", "+8GB", "", " ", "0", "0GB", "1.5GB", "1e9", "0x10"});
  refused("--memory", {"x", "GB", "8XB", "8bib", "8GBs", "8G B", "nan", "inf", "1e400"});
  refused("--memory", {"18446744073709551616", "18446744073709551615", "17179869184GB"});
  refused("--memory", {"99999999999GB", "1025TB"});
  refused("--cache-memory", {"-5", "", "0", "1.5", "1025TB"});
}

TEST(BadInput, ASizeCountsInPowersOf1024WhateverTheCaseOfItsUnit) {
  const auto said = [](const char* size) {
    return complaint(
        {"serve", base_model(), "--no-auth", "--chats", "off", "--cache-memory", size});
  };
  for (const char* size : {"1024", "1024b", "1k", "1KB", "1 kB", "1KiB"})
    EXPECT_TRUE(has(said(size), "1.0 KiB of --cache-memory")) << size;
  for (const char* size : {"500MB", "8g", "1024TB"})
    output_of({"show", base_model(), "--memory", size});
}

TEST(BadInput, NumbersOfOtherCommandsAreRefusedToo) {
  const TempFolder folder;
  const std::string ids = folder.put("ids", "2 5 7"), out = folder.file("out");
  for (const char* bad : {"0", "-1", "2147483648", "1e400", "nan", "", "1.5"}) {
    complaint({"logits", base_model(), "--ids", "2,5", "--output", out, "--last", bad});
    complaint({"logits", base_model(), "--ids", "2,5", "--output", out, "--greedy", bad});
    complaint({"perplexity", base_model(), "--ids-file", ids, "--window", bad});
    complaint({"bench", base_model(), "--repeat", bad, "--json"});
    complaint({"show", base_model(), "--ctx", bad});
  }
  for (const char* bad : {"-1", "2147483648", "1e400", "nan", "", "1.5"}) {
    complaint({"bench", base_model(), "-p", bad, "--json"});
    complaint({"bench", base_model(), "-n", bad, "--json"});
    complaint({"bench", base_model(), "-d", bad, "--json"});
    complaint({"logits", base_model(), "--ids", bad, "--output", out});
  }
  EXPECT_EQ(folder.n_files(), 1);
}

TEST(BadInput, AContextBeyondTheModelsIsRefusedWithNumbers) {
  const TempFolder folder;
  for (const Command& c : commands(folder)) {
    if (c.before[0] == "tokenize") continue;
    const std::string text =
        complaint(c.before + Words{base_model()} + c.after + Words{"--ctx", "4097"});
    EXPECT_TRUE(has(text, "4097") && has(text, "4096")) << text;
  }
}

TEST(BadInput, KernelsThatThisMachineCannotRunAreRefusedByName) {
  std::string missing;
  for (const KernelTable* t : all_kernel_tables())
    if (!runs_here(*t)) missing = t->name;
  if (missing.empty()) GTEST_SKIP() << "this machine runs every kernel table";
  const TempFolder folder;
  for (const Command& c : commands(folder)) {
    if (c.before[0] == "tokenize" || c.before[0] == "show") continue;
    const std::string text =
        complaint(c.before + Words{base_model()} + c.after + Words{"--isa", missing});
    EXPECT_TRUE(has(text, missing) && has(text, "this machine does not have")) << text;
  }
}

TEST(BadInput, ModelsThatAreNotThereAreOneSentenceWithThePath) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.file("empty"));
  const std::string paths[] = {folder.file("missing"),
                               folder.file("missing.gguf"),
                               folder.file("empty"),
                               folder.put("no.gguf", ""),
                               folder.put("text.gguf", "not a model at all"),
                               folder.put("text.json", "{}"),
                               "/dev/null",
                               "",
                               std::string(5000, 'x')};
  for (const Command& c : commands(folder))
    for (const std::string& path : paths)
      EXPECT_TRUE(has(complaint(c.before + Words{path} + c.after), path)) << path;
}

TEST(BadInput, AFileCutShortIsOneSentenceWhereverItIsCut) {
  const TempFolder folder;
  const std::string whole = bytes_of(base_model());
  std::vector<std::size_t> cuts{1, 4, 8, 23, 24, 25, 100, whole.size() - 1};
  for (std::size_t n = 1000; n < 40000; n += 3000) cuts.push_back(n);
  for (std::size_t n = 100000; n < whole.size(); n += 400000) cuts.push_back(n);
  const auto all = commands(folder);
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const Command& c = all[i % all.size()];
    const std::string path = folder.put("cut.gguf", whole.substr(0, cuts[i]));
    EXPECT_TRUE(has(complaint(c.before + Words{path} + c.after), path)) << cuts[i];
    complaint({"logits", path, "--ids", "2", "--output", folder.file("out")});
  }
}

TEST(BadInput, AFolderWithAPartMissingIsOneSentence) {
  namespace fs = std::filesystem;
  for (const auto& entry : fs::directory_iterator(text_fixture("12b"))) {
    const std::string name = entry.path().filename().string();
    if (name == "expected.safetensors" || name == "model.gguf" || name == "generation_config.json")
      continue;
    const TempFolder folder;
    fs::copy(text_fixture("12b"), folder.path());
    fs::remove(folder.file(name));
    complaint({"logits", folder.path(), "--ids", "2", "--output", folder.file("out")});
    EXPECT_FALSE(fs::exists(folder.file("out")));
  }
}

TEST(BadInput, ASentenceIsOneLineOfPrintableTextWhateverANameHolds) {
  const std::string text = complaint({"show", "/missing\n\x1b[2Jname\x7f"});
  for (const char c : text.substr(0, text.size() - 1))
    EXPECT_TRUE(static_cast<unsigned char>(c) >= ' ' && c != 0x7f) << int{c};
  EXPECT_TRUE(has(complaint({"show", base_model(), "--non\nsense\x1b[2J"}), "sense"));
}

}  // namespace
}  // namespace bezel::test
