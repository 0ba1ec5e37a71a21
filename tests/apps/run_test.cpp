// bezel run.
#include "apps/models.h"

namespace bezel::test {
namespace {

const Words kRaw{"--raw", "abcd text"};

Words run_raw(const std::string& model, const Words& flags) {
  return Words{"run", model} + kRaw + flags;
}

// The answer's text as JSON lines give it, without the last line.
std::string text_of(const std::vector<Json>& lines) {
  std::string text;
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) text += lines[i].at("text").get<std::string>();
  return text;
}
std::vector<std::int32_t> ids_of_lines(const std::vector<Json>& lines) {
  std::vector<std::int32_t> ids;
  for (const Json& line : lines)
    if (line.contains("id") && !line.at("id").is_null()) ids.push_back(line.at("id").get<int>());
  return ids;
}

TEST(Run, StandardOutputHoldsTheAnswerAndALineEndOnly) {
  const TalkingModel model;
  const Words words = Words{"run", model.path(), "hello", "-n", "5"} + TalkingModel::always('x');
  const Ran ran = bezel(words);
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "xxxxx\n");
  EXPECT_TRUE(has(ran.err, "context 131072 of 131072 tokens; memory ")) << ran.err;
  const Ran quiet = bezel(words + Words{"-q"});
  EXPECT_EQ(quiet.out, "xxxxx\n");
  EXPECT_EQ(quiet.err, "");
  const Ran stats = bezel(words + Words{"-q", "--stats"});
  EXPECT_EQ(stats.out, "xxxxx\n");
  EXPECT_TRUE(has(stats.err, "answer 5 tokens") && has(stats.err, "; length\n")) << stats.err;
}

TEST(Run, AMissingTemplateIsSaidAndAModelThatCannotChatSaysHow) {
  const TalkingModel bare(false);
  const Ran ran = bezel({"run", bare.path(), "hello", "-n", "1"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(has(ran.err, "note: the file has no chat template")) << ran.err;
  const TalkingModel whole;
  EXPECT_FALSE(has(bezel({"run", whole.path(), "hello", "-n", "1"}).err, "note: "));
  EXPECT_TRUE(has(complaint({"run", base_model(), "hello", "-q"}), "<|turn>"));
}

TEST(Run, ADashReadsThePromptFromStandardInput) {
  for (const Words& how : {Words{"--raw"}, Words{}}) {
    const TalkingModel model;
    const Words flags = how + Words{"--seed", "3", "-n", "12", "-q"};
    const std::string text = "one\ntwo  ";
    const std::string answer = output_of(Words{"run", model.path(), text} + flags);
    EXPECT_EQ(output_of(Words{"run", model.path(), "-"} + flags, text), answer);
    EXPECT_NE(output_of(Words{"run", model.path(), "other"} + flags), answer);
  }
}

TEST(Run, TheSameSeedGivesTheSameAnswerAndOthersOthers) {
  const auto answer = [](const Words& flags) {
    return output_of(run_raw(base_model(), flags + Words{"-n", "24", "--bias", "1=-inf", "-q"}));
  };
  const std::string one = answer({"--seed", "1"});
  EXPECT_EQ(answer({"--seed", "1"}), one);
  EXPECT_NE(answer({"--seed", "2"}), one);
  EXPECT_NE(answer({}), answer({}));  // without a seed: a random one
  std::vector<Words> others{{"--threads", "1"}, {"--threads", "3", "--chunk", "1"}};
  for (const std::string& isa : isas_here()) others.push_back({"--isa", isa, "--chunk", "3"});
  for (const Words& flags : others)
    EXPECT_EQ(answer(flags + Words{"--seed", "1"}), one) << testing::PrintToString(flags);
}

TEST(Run, GreedyIsTemperatureZeroAndThePathOfTheLogits) {
  const Words most{"-n", "16", "--jsonl", "-q"};
  const std::string greedy = output_of(run_raw(base_model(), most + Words{"--greedy"}));
  const auto lines = lines_of(greedy);
  const auto zero =
      lines_of(output_of(run_raw(base_model(), most + Words{"--temp", "0", "--seed", "9"})));
  EXPECT_EQ(ids_of_lines(lines), ids_of_lines(zero));
  const TempFolder folder;
  std::string ids = output_of({"tokenize", base_model(), "--plain"}, kRaw[1]);
  output_of({"logits", base_model(), "--ids-file", folder.put("ids", "2 " + ids), "--greedy", "16",
             "--output", folder.file("out")});
  const auto path = Expected(folder.file("out")).values<std::int32_t>("greedy");
  const auto got = ids_of_lines(lines);
  ASSERT_FALSE(got.empty());
  EXPECT_TRUE(std::equal(got.begin(), got.end(), path.begin()));
}

TEST(Run, JsonLinesHoldTheAnswerAndWhyItEnded) {
  const Words flags{"--seed", "5", "-n", "9", "-q", "--bias", "1=-inf", "--bias", "106=-inf"};
  const auto lines = lines_of(output_of(run_raw(base_model(), flags + Words{"--jsonl"})));
  EXPECT_EQ(ids_of_lines(lines).size(), 9U);
  std::string text = text_of(lines);
  if (text.empty() || text.back() != '\n') text += "\n";
  EXPECT_EQ(text, output_of(run_raw(base_model(), flags)));
  const Json& end = lines.at(lines.size() - 1);
  EXPECT_EQ(end.at("done"), "length");
  EXPECT_EQ(end.at("answer_tokens"), 9);
  EXPECT_GT(end.at("prompt_tokens"), 1);
  EXPECT_GE(end.at("prompt_seconds"), 0.0);
  EXPECT_GE(end.at("answer_seconds"), 0.0);
  EXPECT_FALSE(lines.at(0).contains("logprob"));
}

TEST(Run, LogprobsAreOfTheChosenIdAndTheBestOnes) {
  const Words flags{"-n", "6", "-q", "--jsonl", "--seed", "1", "--bias", "1=-inf"};
  auto lines = lines_of(output_of(run_raw(base_model(), flags + Words{"--logprobs", "512"})));
  lines.pop_back();
  ASSERT_FALSE(lines.empty());
  for (const Json& line : lines) {
    if (line.at("id").is_null()) continue;
    double sum = 0, before = 0;
    ASSERT_EQ(line.at("best").size(), 512U);
    for (const Json& best : line.at("best")) {
      const double x = best.at("logprob").get<double>();
      EXPECT_LE(x, before);
      before = x;
      sum += std::exp(x);
      if (best.at("id") == line.at("id")) {
        EXPECT_EQ(best.at("logprob"), line.at("logprob"));
      }
    }
    EXPECT_NEAR(sum, 1, 1e-4);
  }
  lines = lines_of(output_of(run_raw(base_model(), flags + Words{"--logprobs", "0"})));
  EXPECT_TRUE(lines.at(0).contains("logprob"));
  EXPECT_FALSE(lines.at(0).contains("best"));
}

TEST(Run, AStopTextEndsTheAnswerAndIsNoPartOfIt) {
  const TalkingModel model;
  const Words words = Words{"run", model.path(), "--raw", "abc", "-q", "--jsonl", "-n", "40"} +
                      TalkingModel::always('x');
  const auto stopped = lines_of(output_of(words + Words{"--stop", "yyy", "--stop", "xxxx"}));
  EXPECT_EQ(text_of(stopped), "");
  EXPECT_EQ(stopped.at(stopped.size() - 1).at("done"), "stop");
  EXPECT_EQ(stopped.at(stopped.size() - 1).at("answer_tokens"), 4);
  const auto whole = lines_of(output_of(words + Words{"--stop", "xy"}));
  EXPECT_EQ(text_of(whole), std::string(40, 'x'));
  EXPECT_EQ(whole.at(whole.size() - 1).at("done"), "length");
}

TEST(Run, AnEndTokenEndsTheAnswerAndMarkersAreShownOnDemand) {
  const TalkingModel model;
  const Words words{"run", model.path(), "hello", "-q", "-n", "3"};
  const std::string turn_end = fmt::format("{}=1000", TalkingModel::kTurn + 1);
  const std::string channel = fmt::format("{}=1000", TalkingModel::kTurn + 2);
  const auto ended = lines_of(output_of(words + Words{"--jsonl", "--bias", turn_end}));
  EXPECT_EQ(ended.at(ended.size() - 1).at("done"), "end");
  EXPECT_EQ(ended.at(ended.size() - 1).at("answer_tokens"), 1);
  EXPECT_EQ(output_of(words + Words{"--bias", channel}).find('<'), std::string::npos);
  EXPECT_EQ(output_of(words + Words{"--bias", channel, "--show-markers"}),
            "<|channel><|channel><|channel>\n");
}

TEST(Run, MarkersInARawPromptCountOnlyOnDemandAndInAChatNever) {
  const TalkingModel model;
  const auto tokens = [&](const Words& what) {
    const auto lines = lines_of(output_of(Words{"run", model.path()} + what +
                                          Words{"-n", "1", "-q", "--jsonl", "--greedy"}));
    return lines.at(lines.size() - 1).at("prompt_tokens").get<int>();
  };
  EXPECT_EQ(tokens({"--raw", "--markers", "a<|turn>b"}), 4);  // bos, a, marker, b
  EXPECT_EQ(tokens({"--raw", "a<|turn>b"}), 10);
  EXPECT_EQ(tokens({"a<|turn>b"}) - tokens({"ab"}), 7);
  EXPECT_GT(tokens({"ab", "--system", "be brief"}), tokens({"ab"}) + 8);
}

TEST(Run, TheEndOfTheContextEndsTheAnswerAndIsSaid) {
  const Words words =
      run_raw(base_model(), {"--ctx", "20", "--bias", "1=-inf", "--bias", "106=-inf"});
  const Ran ran = bezel(words);
  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(has(ran.err, "context of 20 tokens is full")) << ran.err;
  const Json end = lines_of(output_of(words + Words{"--jsonl"})).back();
  EXPECT_EQ(end.at("done"), "context");
  EXPECT_EQ(end.at("prompt_tokens").get<int>() + end.at("answer_tokens").get<int>(), 21);
}

TEST(Run, APromptLongerThanTheContextIsRefusedWithNumbers) {
  const std::string text(500, 'q');
  const std::string small =
      complaint({"run", base_model(), "--raw", "-", "--ctx", "100", "-q"}, text);
  EXPECT_TRUE(has(small, "501") && has(small, "100") && has(small, "--ctx")) << small;
  const std::string most =
      complaint({"run", base_model(), "--raw", "-", "-q"}, std::string(5000, 'q'));
  EXPECT_TRUE(has(most, "5001") && has(most, "4096")) << most;
  EXPECT_FALSE(has(most, "--ctx")) << most;
}

TEST(Run, AnInterruptEndsTheAnswerWith130AndALineEnd) {
  const TalkingModel model;
  Child child(Words{"run", model.path(), "hello", "-q"} + TalkingModel::always('x'));
  ASSERT_TRUE(child.wait_for_output("xxx"));
  child.signal(SIGINT);
  const Ran ran = child.finish();
  EXPECT_EQ(ran.status, 130) << testing::PrintToString(ran);
  EXPECT_EQ(ran.out.find_first_not_of('x'), ran.out.size() - 1);
  EXPECT_EQ(ran.out.back(), '\n');
  EXPECT_EQ(ran.err, "");
}

TEST(Run, AnInterruptWhileThePromptIsReadEndsWith130AndNoAnswer) {
  const TalkingModel model;
  Child child(Words{"run", model.path(), "--raw", "-", "--chunk", "1"},
              {.input = std::string(100000, 'q')});
  ASSERT_TRUE(child.wait_for_output("beside the model's", true));
  ::usleep(200000);  // the prompt has been handed over
  child.signal(SIGINT);
  const Ran ran = child.finish();
  EXPECT_TRUE(ran.status == 130 || ran.signal == SIGINT) << testing::PrintToString(ran);
  EXPECT_EQ(ran.out, "");
}

TEST(Run, APipeThatIsClosedEndsTheAnswerQuietly) {
  const TalkingModel model;
  Child child(Words{"run", model.path(), "hello", "-q"} + TalkingModel::always('x'));
  ASSERT_TRUE(child.wait_for_output("xxx"));
  child.close_output();
  const Ran ran = child.finish();
  EXPECT_EQ(ran.status, 1) << testing::PrintToString(ran);
  EXPECT_EQ(ran.signal, 0);
  EXPECT_EQ(ran.err, "");
}

TEST(Run, AFullDiskIsOneSentenceForEveryCommandThatPrints) {
  const TalkingModel model;
  const TempFolder folder;
  const std::string ids = folder.put("ids", "2 5 7");
  const std::vector<Words> commands{
      Words{"run", model.path(), "hello", "-q"} + TalkingModel::always('x'),
      {"run", model.path(), "hello", "-q", "-n", "2", "--jsonl"},
      {"show", kE2b},
      {"show", kE2b, "--json"},
      {"tokenize", base_model()},
      {"tokenize", base_model(), "--decode"},
      {"tokenize", base_model(), "--decode", "--jsonl"},
      {"perplexity", kE2b, "--ids-file", ids},
      {"bench", kE2b, "-p", "4", "-n", "1", "-d", "0", "--repeat", "1"},
      {"completion", "bash"},
      {"--version"},
      {"--help"},
      {"run", "--help"}};
  for (const Words& words : commands) {
    SCOPED_TRACE(testing::PrintToString(words));
    const Ran ran = Child(words, {.input = words.back() == "--jsonl" ? "{\"ids\":[5]}" : "5",
                                  .stdout_path = "/dev/full"})
                        .finish();
    EXPECT_TRUE(has(complaint(ran), "No space left")) << ran.err;
    EXPECT_EQ(ran.status, 1);
  }
}

TEST(Run, AFullDiskEndsAChat) {
  const TalkingModel model;
  const Ran ran = Child(Words{"chat", model.path(), "-n", "4"},
                        {.input = "one\ntwo\n", .stdout_path = "/dev/full"})
                      .finish();
  EXPECT_EQ(ran.status, 1);
  EXPECT_TRUE(has(ran.err, "bezel: the output could not be written")) << ran.err;
}

TEST(Run, AConstraintHoldsBehindTheThoughtThatABudgetEnds) {
  const TalkingModel model;
  const Words open{"--bias", fmt::format("{}=1000", TalkingModel::kTurn + 2)};
  const Words words =
      Words{"run", model.path(), "go",      "-q",      "--think", "--thought-budget",
            "5",   "--jsonl",    "--regex", "a{3}b|c", "--seed",  "1"} +
      open;
  std::string text, done;
  for (const Json& line : lines_of(output_of(words))) {
    text += line.value("text", "");
    done += line.value("done", "");
  }
  EXPECT_TRUE(text == "aaab" || text == "c") << text;
  EXPECT_EQ(done, "end");
}

TEST(Run, EveryConstraintFlagHoldsForAnyModelAndWrongOnesAreSaid) {
  const TalkingModel model;
  const TempFolder folder;
  const std::string schema = folder.put(
      "s.json", R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"],)"
                R"("additionalProperties":false})");
  const std::string grammar = folder.put("g.gbnf", "root ::= (\"x\" | \"yz\")+ \"!\"\n");
  for (const char* seed : {"1", "2", "3"}) {
    const Words run{"run", model.path(), "go", "-q", "-n", "400", "--seed", seed};
    const Json json = json_of(output_of(run + Words{"--schema", schema}));
    EXPECT_TRUE(json.is_object() && json.size() == 1 && json["a"].is_boolean());
    const std::string choice = output_of(run + Words{"--choice", "red", "--choice", "blue"});
    EXPECT_TRUE(choice == "red\n" || choice == "blue\n") << choice;
    const std::string free = output_of(run + Words{"--grammar", grammar});
    EXPECT_EQ(free.find_first_not_of("xyz!\n"), std::string::npos) << free;
  }
  const std::string bad = folder.put("bad.json", R"({"properties":{"a":{"type":"car"}}})");
  EXPECT_TRUE(has(complaint({"run", model.path(), "go", "-q", "--schema", bad}), "/properties/a"));
  EXPECT_GT(complaint({"run", model.path(), "go", "-q", "--regex", "("}).size(), 20U);
}

constexpr const char* kWeatherTools =
    R"([{"type":"function","function":{"name":"go","parameters":{"type":"object","properties":{)"
    R"("to":{"enum":["a","b"]},"n":{"type":"integer","minimum":0,"maximum":9}},)"
    R"("required":["to"],"additionalProperties":false}}},)"
    R"({"type":"function","function":{"name":"stay"}}])";

void expect_fits(const Json& call) {
  const Json& arguments = call.at("arguments");
  if (call.at("name") == "stay") {
    EXPECT_EQ(arguments, Json::object());
    return;
  }
  EXPECT_EQ(call.at("name"), "go");
  EXPECT_TRUE(arguments.at("to") == "a" || arguments.at("to") == "b") << dump_json(call);
  EXPECT_TRUE(!arguments.contains("n") || arguments["n"].is_number()) << dump_json(call);
  EXPECT_LE(arguments.size(), 2U);
}

TEST(Run, ThinkingToolsAndASchemaTogetherGiveWholeAnswersOfARandomModel) {
  const TalkingModel model;
  const TempFolder folder;
  const std::string tools = folder.put("tools.json", kWeatherTools);
  const std::string schema = folder.put(
      "s.json", R"({"type":"object","properties":{"a":{"type":"boolean"}},"required":["a"],)"
                R"("additionalProperties":false})");
  int texts = 0, calls = 0, thoughts = 0;
  for (int seed = 0; seed < 30; ++seed) {
    const Words words{"run",
                      model.path(),
                      "go",
                      "-q",
                      "--jsonl",
                      "--think",
                      "-n",
                      "600",
                      "--seed",
                      std::to_string(seed),
                      "--thought-budget",
                      "12",
                      "--tools",
                      tools,
                      "--schema",
                      schema,
                      "--bias",  // a thought comes first
                      fmt::format("{}=1000", TalkingModel::kTurn + 2)};
    std::string text, done;
    for (const Json& line : lines_of(output_of(words))) {
      text += line.value("text", "");
      thoughts += line.contains("thought") ? 1 : 0;
      if (line.contains("call")) expect_fits(line["call"]), ++calls;
      if (line.contains("done")) done = line["done"].get<std::string>();
    }
    EXPECT_EQ(text.find("<|"), std::string::npos) << text;
    if (done != "end") continue;
    const Json json = json_of(text);
    EXPECT_TRUE(json.is_object() && json.size() == 1 && json["a"].is_boolean()) << text;
    ++texts;
  }
  EXPECT_GT(texts, 0);
  EXPECT_GT(calls, 0);
  EXPECT_GT(thoughts, 0);
}

TEST(Run, TheToolChoiceIsKept) {
  const TalkingModel model;
  const TempFolder folder;
  const std::string tools = folder.put("tools.json", kWeatherTools);
  for (const char* seed : {"1", "2", "3", "4"}) {
    const Words run{"run", model.path(), "go", "-q", "-n", "600", "--seed", seed, "--tools", tools};
    for (const Json& call : lines_of(output_of(run + Words{"--tool-choice", "required"})))
      expect_fits(call);
    const auto one = lines_of(output_of(run + Words{"--tool-choice", "stay", "--one-call"}));
    ASSERT_EQ(one.size(), 1U);
    EXPECT_EQ(one[0].at("name"), "stay");
  }
  complaint({"run", model.path(), "go", "-q", "--tools", tools, "--tool-choice", "fly"});
  complaint({"run", model.path(), "go", "-q", "--tool-choice", "required"});
  EXPECT_TRUE(has(complaint({"run", model.path(), "go", "--raw", "--tools", tools}), "--raw"));
  EXPECT_TRUE(has(complaint({"run", model.path(), "go", "--show-markers", "--one-call"}),
                  "--show-markers"));
}

}  // namespace
}  // namespace bezel::test
