// bezel show, bench, completion, --version and --help.
#include "apps/models.h"
#include "engine/plan.h"

namespace bezel::test {
namespace {

const std::vector<std::string> kCommands{"run",        "chat",   "show",       "bench", "tokenize",
                                         "perplexity", "logits", "completion", "serve"};

// ---- show

TEST(Show, TheTableNamesModelTypesTokenizerTemplateAndMemory) {
  const std::string text = output_of({"show", base_model()});
  for (const char* part :
       {"file         ", "GGUF, ", "gemma4 custom, made for 4096 tokens",
        "4:", "sliding, window 16", "global", "2 of them read the keys and values of earlier ones",
        "256 model", "512 vocabulary", "temperature 1, top-k 64, top-p 0.95", "512 pieces",
        "bos 2, eos 1", "none", "Q4_K", "F32",
        "memory       for a context of 4096 tokens:", "mapped", "keys and values", "together"})
    EXPECT_TRUE(has(text, part)) << part << "\n" << text;
  const std::string folder = output_of({"show", text_fixture("12b")});
  EXPECT_TRUE(has(folder, "safetensors") && has(folder, "in 2 parts")) << folder;
  EXPECT_TRUE(has(folder, "tokenizer    none: ")) << folder;
}

TEST(Show, TheJsonIsTheSameModelForFileAndFolder) {
  const Json file = json_of(output_of({"show", kE2b, "--json"}));
  const Json folder = json_of(output_of({"show", text_fixture("e2b"), "--json"}));
  EXPECT_EQ(file.at("kind"), "GGUF");
  EXPECT_EQ(folder.at("kind"), "safetensors");
  EXPECT_EQ(file.at("model").at("layers"), folder.at("model").at("layers"));
  EXPECT_EQ(file.at("model").at("layers").size(), 10U);
  EXPECT_EQ(file.at("model").at("vocab"), 320);
  EXPECT_EQ(file.at("model").at("family"), "gemma4");
  EXPECT_EQ(file.at("file_bytes"), std::filesystem::file_size(kE2b));
  EXPECT_TRUE(file.at("tokenizer").is_null());  // no merges
  EXPECT_TRUE(folder.at("tokenizer").is_null());
  EXPECT_TRUE(has(folder.at("tokenizer_problem").get<std::string>(), "tokenizer"));
  std::uint64_t tensors = 0;
  for (const auto& [type, count] : file.at("types").items())
    tensors += count.at("tensors").get<std::uint64_t>();
  EXPECT_EQ(file.at("n_tensors"), tensors);
  EXPECT_FALSE(file.contains("tensors"));
  const Json whole = json_of(output_of({"show", kE2b, "--json", "--tensors"}));
  ASSERT_EQ(whole.at("tensors").size(), tensors);
  const std::string table = output_of({"show", kE2b, "--tensors"});
  for (const Json& t : whole.at("tensors"))
    EXPECT_TRUE(has(table, fmt::format("\n{} ", t.at("name").get<std::string>())));
}

TEST(Show, MemoryGrowsWithTheContextAndIsTheSumOfItsParts) {
  const auto memory = [](const Words& flags) {
    return json_of(output_of(Words{"show", kQuant, "--json"} + flags)).at("memory");
  };
  const Json small = memory({"--ctx", "512"}), large = memory({"--ctx", "4096"});
  for (const Json& m : {small, large}) {
    EXPECT_EQ(m.at("anonymous").get<std::uint64_t>(),
              m.at("kv").get<std::uint64_t>() + m.at("scratch").get<std::uint64_t>() +
                  m.at("tokenizer").get<std::uint64_t>() + m.at("base").get<std::uint64_t>() +
                  m.at("packed").get<std::uint64_t>());
    EXPECT_GT(m.at("packed"), 0);
    EXPECT_EQ(m.at("mapped"), std::filesystem::file_size(kQuant));
  }
  EXPECT_EQ(small.at("context"), 512);
  for (const Words& unpacked : {Words{"--weights", "file"}, Words{"--act", "f32"}})
    EXPECT_EQ(memory(unpacked).at("packed"), 0);
  EXPECT_GT(large.at("kv"), small.at("kv"));
  EXPECT_GT(memory({"--ctx", "4096", "--kv", "f32"}).at("kv"), large.at("kv"));
  EXPECT_LT(memory({"--ctx", "4096", "--chunk", "1"}).at("scratch"), large.at("scratch"));
  const std::string text = output_of({"show", kQuant, "--ctx", "512"});
  EXPECT_TRUE(has(text, size_text(small.at("anonymous").get<std::uint64_t>()) + "  together"))
      << text;
}

TEST(Show, RunStatesTheMemoryThatShowPredicts) {
  for (const Words& flags : {Words{"--ctx", "300"}, Words{"--ctx", "4096", "--kv", "f32"},
                             Words{"--ctx", "64", "--chunk", "7", "--threads", "3"}, Words{}}) {
    const Json m = json_of(output_of(Words{"show", base_model(), "--json"} + flags)).at("memory");
    const Ran ran = bezel(Words{"run", base_model(), "--raw", "w1", "-n", "1"} + flags);
    EXPECT_EQ(
        ran.err,
        fmt::format(
            "context {} of 4096 tokens; memory {} beside the model's {} ({} of it for "
            "keys and values; {} and what answers leave for kept prefixes, a window takes "
            "{})\n",
            m.at("context").get<int>(), size_text(m.at("anonymous").get<std::uint64_t>()),
            size_text(m.at("mapped").get<std::uint64_t>()),
            size_text(m.at("kv").get<std::uint64_t>()),
            size_text(m.at("kv").get<std::uint64_t>() - m.at("sequence").get<std::uint64_t>()),
            size_text(m.at("window").get<std::uint64_t>())));
  }
}

TEST(Show, AFileWithoutAModelIsShownAsFarAsItGoes) {
  const std::string path = std::string(BEZEL_FIXTURES) + "/tokenizer/small/tokenizer.gguf";
  EXPECT_TRUE(has(output_of({"show", path}), "model        none: "));
  const Json json = json_of(output_of({"show", path, "--json"}));
  EXPECT_TRUE(json.at("model").is_null());
  EXPECT_EQ(json.at("tokenizer").at("pieces"), 2048);
  EXPECT_FALSE(json.contains("memory"));
}

// ---- bench

const Words kBench{"-p", "20", "-n", "3", "-d", "0,40", "--repeat", "2"};

TEST(Bench, TheTableAndTheJsonAgreeOnDepthsAndFingerprints) {
  const Json json = json_of(output_of(Words{"bench", kQuant, "--json"} + kBench));
  ASSERT_EQ(json.at("results").size(), 2U);
  EXPECT_EQ(json.at("family"), "gemma4");
  EXPECT_EQ(json.at("act"), "int8");
  EXPECT_EQ(json.at("repeat"), 2);
  const std::string table = output_of(Words{"bench", kQuant} + kBench);
  EXPECT_TRUE(has(table, "read 20 tok/s") && has(table, "write 3 tok/s") && has(table, "GB/s"))
      << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 6) << table;
  EXPECT_NE(table.find("memory reads at "), std::string::npos) << table;
  for (const Json& row : json.at("results")) {
    const std::string print = row.at("fingerprint").get<std::string>();
    EXPECT_GE(print.size(), 8U);
    EXPECT_EQ(print.find_first_not_of("0123456789abcdef"), std::string::npos) << print;
    EXPECT_TRUE(has(table, fmt::format("  {}\n", print))) << table;
    for (const char* rate : {"prefill_tok_s", "decode_tok_s", "decode_gb_s"})
      EXPECT_GT(row[rate].get<double>(), 0) << rate;
  }
  EXPECT_EQ(json.at("results").at(0).at("depth"), 0);
  EXPECT_EQ(json.at("results").at(1).at("depth"), 40);
  EXPECT_NE(json.at("results").at(0).at("fingerprint"), json.at("results").at(1).at("fingerprint"));
}

TEST(Bench, TheFingerprintIsTheSameForAnyThreadsChunkAndInstructionSet) {
  const auto prints = [](const Words& flags) {
    std::vector<std::string> out;
    const Json json = json_of(output_of(Words{"bench", kQuant, "--json"} + kBench + flags));
    for (const Json& row : json.at("results"))
      out.push_back(row.at("fingerprint").get<std::string>());
    return out;
  };
  const auto one = prints({"--threads", "1"});
  ASSERT_EQ(one.size(), 2U);
  std::vector<Words> others{
      {"--threads", "2"}, {"--threads", "3"}, {"--chunk", "1"}, {"--chunk", "7", "--threads", "3"}};
  for (const std::string& isa : isas_here()) others.push_back({"--isa", isa});
  for (const Words& flags : others) EXPECT_EQ(prints(flags), one) << testing::PrintToString(flags);
  EXPECT_NE(prints({"--act", "f32"}), one);
  EXPECT_NE(prints({"--kv", "f32"}), one);
}

TEST(Bench, PartsCanBeLeftOutAndAFolderWithoutATokenizerWorks) {
  const Words small{"-d", "0", "--repeat", "1", "--json"};
  const std::string model = text_fixture("e2b");
  const Json read = json_of(output_of(Words{"bench", model, "-p", "8", "-n", "0"} + small));
  EXPECT_EQ(read.at("results").at(0).at("decode_tok_s"), 0.0);
  const Json write = json_of(output_of(Words{"bench", model, "-p", "0", "-n", "2"} + small));
  EXPECT_EQ(write.at("results").at(0).at("prefill_tok_s"), 0.0);
  complaint(Words{"bench", model, "-p", "0", "-n", "0"} + small);
  complaint({"bench", model, "-d", "x", "--json"});
  EXPECT_TRUE(has(complaint({"bench", model, "-d", "4090", "--json"}), "4096"));
}

TEST(Bench, AnotherEnginesSpeedsStandBesideOursOfTheSameTests) {
  const Words small{"bench", text_fixture("e2b"), "-p", "8", "-n", "2", "-d", "0,16"};
  const std::string rows =
      "printf '| m | pp8 | 4.00 ± 0.10 |\\n| m | tg2 @ d16 | 2.50 |\\n| m | tg9 | 1 |\\n'";
  const Json json = json_of(output_of(small + Words{"--repeat", "2", "--json", "--compare", rows}));
  ASSERT_EQ(json.size(), 2U) << dump_json(json);
  EXPECT_EQ(json[0].at("reads"), true);
  EXPECT_EQ(json[0].at("peer_tok_s"), Json::array({4.0, 4.0}));
  EXPECT_EQ(json[1].at("depth"), 16);
  EXPECT_EQ(json[1].at("peer_tok_s"), Json::array({2.5, 2.5}));
  EXPECT_GT(json[1].at("ratio").get<double>(), 0);
  const std::string table = output_of(small + Words{"--repeat", "1", "--compare", rows});
  EXPECT_TRUE(has(table, "read 8") && has(table, "write 2") && has(table, "ratio")) << table;
}

TEST(Bench, AnswersWrittenAtOnceHaveTheSameFingerprintForAnyThreadsAndStandBesideAPeers) {
  const Words three{"bench", text_fixture("e2b"), "-p", "0", "-n", "3", "-d", "16", "-b", "3",
                    "--json"};
  const Json one = json_of(output_of(three + Words{"--threads", "1"}));
  const Json& row = one.at("results").at(0);
  EXPECT_EQ(row.at("batch"), 3);
  EXPECT_GT(row.at("decode_tok_s").get<double>(), 0);
  for (const Words& flags : {Words{"--threads", "3"}, Words{"--isa", "scalar"}}) {
    const Json other = json_of(output_of(three + flags));
    EXPECT_EQ(other.at("results").at(0).at("fingerprint"), row.at("fingerprint"));
  }
  const std::string rows =
      "echo '| 16 | 3 | 1 | 1 | 1 | 1 | 1 | 9 | 1 | 1 |'; "
      "echo '| 16 | 3 | 3 | 57 | 0.1 | 100 | 0.5 | 7.25 | 0.6 | 50 |'";
  const Json race = json_of(output_of(three + Words{"--repeat", "1", "--compare", rows}));
  ASSERT_EQ(race.size(), 1U) << dump_json(race);
  EXPECT_EQ(race[0].at("batch"), 3);
  EXPECT_EQ(race[0].at("peer_tok_s"), Json::array({7.25}));
}

TEST(Bench, ACommandThatFailsOrMeasuresSomethingElseIsSaid) {
  const Words small{"bench", text_fixture("e2b"), "-p", "8", "-n", "2", "-d", "0", "--compare"};
  EXPECT_TRUE(has(complaint(small + Words{"exit 3"}), "status 3"));
  EXPECT_TRUE(has(complaint(small + Words{"echo hello"}), "no speed"));
  EXPECT_TRUE(has(complaint(small + Words{"echo '| pp9 | 4 |'"}), "pp8"));
}

// ---- the program itself

TEST(Program, TheVersionNamesCommitTablesAndLibraries) {
  const std::string text = output_of({"--version"});
  const std::string begin = "bezel " BEZEL_VERSION " (commit ";
  ASSERT_EQ(text.rfind(begin, 0), 0U) << text;
  const std::string commit = text.substr(begin.size(), text.find(")\n") - begin.size());
  EXPECT_TRUE(
      commit == "unknown" ||
      (commit.size() == 12 && commit.find_first_not_of("0123456789abcdef") == std::string::npos))
      << commit;
  for (const KernelTable* t : all_kernel_tables()) {
    EXPECT_TRUE(has(text, t->name)) << t->name;
    EXPECT_EQ(has(text, std::string(t->name) + " (not on this machine)"), !runs_here(*t));
  }
  EXPECT_TRUE(has(text, std::string("in use: ") + best_kernels().name + "\n")) << text;
  EXPECT_TRUE(has(text, fmt::format("numerics   version {}\n", kNumericsVersion))) << text;
  for (const std::string library : {"fmt ", "nlohmann-json ", "CLI11 ", "simdjson "}) {
    const std::size_t at = text.find(library);
    ASSERT_NE(at, std::string::npos) << library;
    EXPECT_TRUE(text.at(at + library.size()) >= '0' && text.at(at + library.size()) <= '9') << text;
  }
}

TEST(Program, EveryCommandExplainsItself) {
  const std::string all = output_of({"--help"});
  for (const std::string& name : kCommands) {
    EXPECT_TRUE(has(all, fmt::format("\n  {} ", name))) << name;
    const std::string help = output_of({name, "--help"});
    EXPECT_TRUE(has(help, "Examples:")) << name;
    EXPECT_TRUE(has(help, fmt::format("bezel {} ", name))) << name;
    EXPECT_EQ(output_of({name, "-h"}), help);
  }
}

TEST(Program, NoCommandIsAMistakeThatPointsToTheHelp) {
  const Ran ran = bezel({});
  EXPECT_TRUE(has(complaint(ran), "--help"));
  EXPECT_EQ(ran.status, 2);
}

// ---- completion

// Runs a shell on a script; skips where the shell is not installed.
Ran shell(const Words& words, const std::string& script) {
  return Child(Words(words.begin() + 1, words.end()), {.input = script, .program = words[0]})
      .finish();
}
constexpr int kNotInstalled = 127;

TEST(Completion, TheBashScriptIsValidAndCompletesCommandsAndFlags) {
  const std::string script = output_of({"completion", "bash"});
  const Ran checked = shell({"bash", "-n"}, script);
  if (checked.status == kNotInstalled) GTEST_SKIP() << "bash is not installed";
  EXPECT_EQ(checked.status, 0) << checked.err;
  const auto complete = [&](const std::string& words, int at) {
    const Ran ran =
        shell({"bash"}, script + "COMP_WORDS=(" + words + "); COMP_CWORD=" + std::to_string(at) +
                            "; _bezel; echo ${COMPREPLY[@]}\n");
    EXPECT_EQ(ran.err, "");
    return ran.out;
  };
  EXPECT_EQ(complete("bezel ru", 1), "run\n");
  EXPECT_EQ(complete("bezel --ver", 1), "--version\n");
  EXPECT_EQ(complete("bezel logits --la", 2), "--layers --last\n");
  EXPECT_EQ(complete("bezel show x", 2), "\n");  // files: left to bash
  for (const std::string& name : kCommands) EXPECT_TRUE(has(complete("bezel ''", 1), name));
}

TEST(Completion, TheZshScriptIsValid) {
  const std::string script = output_of({"completion", "zsh"});
  EXPECT_EQ(script.rfind("#compdef bezel\n", 0), 0U);
  for (const std::string& name : kCommands)
    EXPECT_TRUE(has(script, fmt::format("\n    {}) flags=(", name))) << name;
  const Ran checked = shell({"zsh", "-n"}, script);
  if (checked.status == kNotInstalled) GTEST_SKIP() << "zsh is not installed";
  EXPECT_EQ(checked.status, 0) << checked.err;
}

TEST(Completion, TheFishScriptIsValid) {
  const std::string script = output_of({"completion", "fish"});
  for (const std::string& name : kCommands)
    EXPECT_TRUE(has(script, fmt::format("__fish_use_subcommand -f -a {} ", name))) << name;
  EXPECT_TRUE(has(script, "'__fish_seen_subcommand_from run' -l seed -r "));
  const Ran checked = shell({"fish", "--no-execute"}, script);
  if (checked.status == kNotInstalled) GTEST_SKIP() << "fish is not installed";
  EXPECT_EQ(checked.status, 0) << checked.err;
}

}  // namespace
}  // namespace bezel::test
