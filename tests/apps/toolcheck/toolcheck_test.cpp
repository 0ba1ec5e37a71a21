// bezel toolcheck.
#include "apps/models.h"

namespace bezel::test {
namespace {

Json report(const std::string& model, const Words& flags, int status = 0) {
  const Ran ran = bezel(Words{"toolcheck", model, "--json", "-n", "60"} + flags);
  EXPECT_EQ(ran.status, status) << testing::PrintToString(ran);
  return json_of(ran.out);
}

bool all_good(const Json& tally) {
  return tally.at("of") > 0 && tally.at("good") == tally.at("of");
}

Json row_of(const Json& report, const std::string& name) {
  for (const Json& row : report.at("cases"))
    if (row.at("name") == name) return row;
  ADD_FAILURE() << "no case " << name;
  return Json::object();
}

TEST(ToolCheck, WhatARandomModelWritesIsAlwaysValidAndHardlyEverRight) {
  const TalkingModel model;
  const Json r = report(model.path(), {"--seed", "5"});
  EXPECT_EQ(r.at("cases").size(), 25U);
  EXPECT_EQ(r.at("calls"), "native");
  EXPECT_TRUE(r.at("problems").empty()) << r.at("problems");
  const Json& all = r.at("all");
  EXPECT_TRUE(all_good(all.at("valid"))) << all;
  EXPECT_TRUE(all_good(all.at("streamed"))) << all;
  EXPECT_GT(all.at("valid").at("of"), 100);
  EXPECT_EQ(all.at("right").at("of"), 39) << "steps of all cases";
  EXPECT_LT(all.at("right").at("good"), 8) << all;
  if (!kSanitized) {  // which watches memory, and was given enough to watch
    EXPECT_EQ(report(model.path(), {"--seed", "5"}), r) << "the same seed, the same report";
  }
}

TEST(ToolCheck, ThoughtsAndRepeatsHoldToo) {
  const TalkingModel model;
  const Json r = report(model.path(), {"--repeat", "3", "--only", "an array", "--think",
                                       "--thought-budget", "5", "--bias", "289=1000"});
  EXPECT_EQ(r.at("cases").size(), 2U);
  EXPECT_EQ(row_of(r, "an array of strings").at("streamed").at("of"), 3);
  EXPECT_EQ(row_of(r, "an array of strings").at("valid").at("of"), 9);
  EXPECT_TRUE(all_good(r.at("all").at("valid"))) << r;
  EXPECT_TRUE(all_good(r.at("all").at("streamed"))) << r;
}

TEST(ToolCheck, ACallThatIsRightIsCountedAndSoIsNone) {
  const TalkingModel model;
  // The answer ends as soon as it may: the one call that can be made is made once.
  const Json r = report(model.path(), {"--bias", "1=1000", "--only", "no arguments"});
  const Json row = row_of(r, "no arguments");
  EXPECT_EQ(row.at("made_to_call").at("good"), 1) << row;
  EXPECT_EQ(row.at("made_to_call").at("of"), 1) << row;
  EXPECT_EQ(row.at("right").at("good"), 0) << row;
  // Text and no call is what is right where no tool fits.
  const Words words =
      Words{"toolcheck", model.path(), "-n", "8", "--only", "no tool"} + TalkingModel::always('x');
  const Ran ran = bezel(words + Words{"--verbose"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(
      has(ran.out, "no tool fits                             2/2       1/1       1/1       1/1"))
      << ran.out;
  EXPECT_TRUE(has(ran.out, "100 %")) << ran.out;
  EXPECT_TRUE(has(ran.err, "wrong: no tool is needed, step 1, seed 1: \"xxxxxxxx\"")) << ran.err;
}

TEST(ToolCheck, AModelWhoseTemplateHasNoToolsIsAskedForJson) {
  const TalkingModel model;
  const std::string path = model.path() + "/tokenizer.json";
  auto tokenizer = read_file(path, 1U << 20U);
  ASSERT_TRUE(tokenizer);
  for (const auto& [old, now] :
       {std::pair{"<|turn>", "<start_of_turn>"}, std::pair{"<turn|>", "<end_of_turn>"}})
    for (std::size_t at; (at = tokenizer->find(old)) != std::string::npos;)
      tokenizer->replace(at, std::string_view(old).size(), now);
  auto out = AtomicFile::create(path);
  ASSERT_TRUE(out);
  (*out)->write(tokenizer->data(), tokenizer->size());
  ASSERT_TRUE((*out)->commit());
  const Json r = report(model.path(), {"--bias", "1=1000", "--only", "a"});
  EXPECT_EQ(r.at("calls"), "json");
  EXPECT_TRUE(all_good(r.at("all").at("valid"))) << r.at("problems");
  EXPECT_TRUE(all_good(r.at("all").at("streamed"))) << r.at("problems");
  EXPECT_EQ(row_of(r, "no arguments").at("made_to_call").at("of"), 1) << r;
}

TEST(ToolCheck, ABrokenAnswerIsToldAndFailsTheCheck) {
  const TalkingModel model;
  const Ran ran = bezel({"toolcheck", model.path(), "--ctx", "64", "--only", "boolean"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_TRUE(has(ran.err, "not as it must be: a boolean, step 1, seed 1: ")) << ran.err;
  EXPECT_TRUE(has(ran.out, "0/3")) << ran.out;
}

TEST(ToolCheck, CasesAreListedWithoutAModelAndWrongFlagsAreSentences) {
  const std::string list = output_of({"toolcheck", "--list"});
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 25);
  EXPECT_TRUE(has(list, "a string: What is the weather like in Oslo right now?\n")) << list;
  EXPECT_TRUE(has(complaint({"toolcheck"}), "MODEL"));
  EXPECT_TRUE(has(complaint({"toolcheck", "--list", "--only", "zebra"}), "zebra"));
  EXPECT_TRUE(has(output_of({"completion", "bash"}), "toolcheck) flags='"));
  EXPECT_TRUE(has(output_of({"toolcheck", "--help"}), "Examples:"));
}

}  // namespace
}  // namespace bezel::test
