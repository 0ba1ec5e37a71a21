// Tools that a chat lets the model call, and a server that speaks the Model Context Protocol.
#include "bezel/tools.h"

#include <filesystem>

#include "base/json.h"
#include "base/temp_folder.h"
#include "engine/harness.h"
#include "engine/tools/calculator.h"

namespace bezel::test {
namespace {

std::string value_of(const std::string& expression) {
  const auto value = calculate(expression);
  return value ? *value : value.error().text();
}

TEST(Calculator, GivesTheValueOfExpressionsAsPeopleWriteThem) {
  EXPECT_EQ(value_of("1 + 2*3"), "7");
  EXPECT_EQ(value_of("(1+2)*3 - -4"), "13");
  EXPECT_EQ(value_of("2^3^2"), "512");
  EXPECT_EQ(value_of("-2^2"), "-4");
  EXPECT_EQ(value_of("7 % 4 + 1e3/8"), "128");
  EXPECT_EQ(value_of("sqrt(16) + max(1, 5, 3) - min(2,1)"), "8");
  EXPECT_EQ(value_of("0.1+0.2"), "0.3");
  EXPECT_EQ(value_of("2*pi"), "6.28318530717959");
}

TEST(Calculator, SaysWhereAnExpressionIsWrong) {
  EXPECT_EQ(value_of("1 + "), "expected a number at character 5");
  EXPECT_EQ(value_of("(1"), "expected ) at character 3");
  EXPECT_EQ(value_of("1 2"), "unexpected at character 3");
  EXPECT_EQ(value_of("1/0"), "division by zero at character 4");
  EXPECT_EQ(value_of("10^400"), "the result is no finite number");
  EXPECT_NE(value_of(std::string(100000, '(')).find("too many brackets"), std::string::npos);
  EXPECT_NE(value_of("system(1)").find("unknown name"), std::string::npos);
  std::string powers = "2";
  for (int i = 0; i < 100000; ++i) powers += "^2";
  EXPECT_NE(value_of(powers).find("too many"), std::string::npos);
}

class BuiltinTools : public testing::Test {
 protected:
  void SetUp() override {
    namespace fs = std::filesystem;
    fs::create_directories(outer_.file("open/sub"));
    outer_.put("secret.txt", "secret");
    outer_.put("open/note.txt", "a note");
    outer_.put("open/sub/deep.txt", "deep");
    outer_.put("open/bytes.bin", std::string("\xFF\xFE", 2));
    fs::create_symlink(outer_.file("secret.txt"), outer_.file("open/link.txt"));
    auto tools = builtin_tools(outer_.file("open"));
    ASSERT_TRUE(tools);
    tools_ = *std::move(tools);
  }
  std::string call(const std::string& name, const std::string& arguments) {
    const auto result = tools_->call({"1", name, arguments}, nullptr);
    return result ? *result : "error: " + result.error().text();
  }

  TempFolder outer_;
  std::unique_ptr<Tools> tools_;
};

TEST_F(BuiltinTools, ReadFilesBelowTheFolderAndNothingElse) {
  EXPECT_EQ(call("read_file", R"({"path":"note.txt"})"), "a note");
  EXPECT_EQ(call("read_file", R"({"path":"sub/../sub/deep.txt"})"), "deep");
  EXPECT_EQ(call("list_folder", R"({"path":"."})"), "bytes.bin\nlink.txt\nnote.txt\nsub/");
  for (const char* path :
       {"../secret.txt", "link.txt", "/etc/passwd", "..", "sub/../../secret.txt"})
    EXPECT_NE(call("read_file", dump_json({{"path", path}})).find("outside the folder"),
              std::string::npos)
        << path;
  EXPECT_NE(call("read_file", R"({"path":"sub"})").find("no file"), std::string::npos);
  EXPECT_NE(call("read_file", R"({"path":"bytes.bin"})").find("no text"), std::string::npos);
  EXPECT_NE(call("read_file", R"({"path":"none"})").find("error"), std::string::npos);
  EXPECT_NE(call("read_file", R"({"path":7})").find("path"), std::string::npos);
  EXPECT_NE(call("read_file", R"([])").find("object"), std::string::npos);
}

TEST_F(BuiltinTools, WithoutAFolderThereAreNoFiles) {
  const auto few = builtin_tools("");
  ASSERT_TRUE(few);
  EXPECT_EQ((*few)->list().size(), 2U);
  EXPECT_EQ(tools_->list().size(), 4U);
  EXPECT_FALSE(builtin_tools(outer_.file("secret.txt")));
  EXPECT_EQ(call("calculate", R"({"expression":"6*7"})"), "42");
  EXPECT_NE(call("current_time", "{}").find(":"), std::string::npos);
}

// A server in Python; `behaviour` is put where it answers tools/call.
std::string server(const TempFolder& folder, const std::string& behaviour) {
  return "python3 " + folder.put("server.py", R"(
import json, sys, time
def say(m): print(json.dumps(m), flush=True)
for line in sys.stdin:
    m = json.loads(line)
    if m.get('method') == 'initialize':
        assert m['params']['protocolVersion']
        say({'jsonrpc': '2.0', 'id': 'x', 'method': 'ping'})
        say({'jsonrpc': '2.0', 'method': 'notifications/message', 'params': {}})
        say({'jsonrpc': '2.0', 'id': m['id'], 'result': {'protocolVersion': '2025-06-18',
             'capabilities': {}, 'serverInfo': {'name': 's', 'version': '1'}}})
    elif m.get('method') == 'tools/list' and 'cursor' not in m.get('params', {}):
        say({'jsonrpc': '2.0', 'id': m['id'], 'result': {'tools': [{'name': 'echo',
             'description': 'Says it again', 'inputSchema': {'type': 'object'}}], 'nextCursor': 'b'}})
    elif m.get('method') == 'tools/list':
        say({'jsonrpc': '2.0', 'id': m['id'], 'result': {'tools': [{'name': 'fail'}]}})
    elif m.get('method') == 'tools/call':
        arguments = m['params']['arguments']
)" + behaviour);
}

constexpr const char* kGood = R"(
        if m['params']['name'] == 'fail':
            say({'jsonrpc': '2.0', 'id': m['id'], 'result': {'isError': True,
                 'content': [{'type': 'text', 'text': 'it broke'}]}})
        else:
            say({'jsonrpc': '2.0', 'id': m['id'], 'result': {'content': [
                 {'type': 'text', 'text': json.dumps(arguments)}, {'type': 'image'}]}})
)";

TEST(Mcp, ToolsOfAServerAreListedOverAllPagesAndCalled) {
  const TempFolder folder;
  const auto tools = mcp_tools(server(folder, kGood));
  ASSERT_TRUE(tools) << tools.error().text();
  ASSERT_EQ((*tools)->list().size(), 2U);
  EXPECT_EQ((*tools)->list()[0].name, "echo");
  EXPECT_NE((*tools)->list()[0].declaration.find("Says it again"), std::string::npos);
  const auto said = (*tools)->call({"1", "echo", R"({"a":"b"})"}, nullptr);
  ASSERT_TRUE(said) << said.error().text();
  EXPECT_EQ(*said, "{\"a\": \"b\"}\n[image]");
  const auto failed = (*tools)->call({"2", "fail", "{}"}, nullptr);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().what, "it broke");
  EXPECT_TRUE((*tools)->call({"3", "echo", "{}"}, nullptr));
}

TEST(Mcp, AServerThatEndsLiesOrIsNoneIsASentence) {
  const TempFolder folder;
  const auto none = mcp_tools("exit 3");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().where, "exit 3");
  EXPECT_FALSE(mcp_tools("echo hello"));
  const auto dies = mcp_tools(server(folder, "        sys.exit(1)\n"));
  ASSERT_TRUE(dies);
  const auto gone = (*dies)->call({"1", "echo", "{}"}, nullptr);
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().what.find("ended"), std::string::npos);
  EXPECT_FALSE((*dies)->call({"2", "echo", "{}"}, nullptr));
}

TEST(Mcp, ACallThatNeverEndsCanBeStopped) {
  const TempFolder folder;
  const auto slow = mcp_tools(server(folder, "        time.sleep(60)\n"));
  ASSERT_TRUE(slow);
  const std::atomic<bool> cancel{true};
  const auto stopped = (*slow)->call({"1", "echo", "{}"}, &cancel);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::Cancelled);
}

TEST(ToolBoxes, FindTheToolByItsNameAndHaveEveryNameOnce) {
  ToolBox box;
  EXPECT_TRUE(box.empty());
  ASSERT_TRUE(box.add(*builtin_tools("")));
  const auto twice = box.add(*builtin_tools(""));
  ASSERT_FALSE(twice);
  EXPECT_NE(twice.error().what.find("current_time"), std::string::npos);
  const auto json = parse_json(box.declarations(), "");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->size(), 2U);
  EXPECT_EQ(*box.call({"1", "calculate", R"({"expression":"1+1"})"}, nullptr), "2");
  EXPECT_FALSE(box.call({"1", "none", "{}"}, nullptr));
}

}  // namespace
}  // namespace bezel::test
