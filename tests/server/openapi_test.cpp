// The OpenAPI document says what is true: of the routes, and of every range.
#include <cctype>
#include <set>

#include "server/api.h"

namespace bezel::test {
namespace {

using Path = std::pair<std::string, std::string>;  // method, path

std::string upper(std::string s) {
  for (char& c : s) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return s;
}

TEST_F(Api, OpenApiHasEveryPathAndNoOther) {
  const Json doc = json_of(get("/openapi.json").body);
  EXPECT_EQ(doc["openapi"], "3.1.0");
  std::set<Path> told, served;
  for (const auto& [path, methods] : doc["paths"].items())
    for (const auto& [method, operation] : methods.items())
      if (method != "parameters") {
        told.emplace(upper(method), path);
        EXPECT_TRUE(operation["responses"].contains("400")) << path;
      }
  for (const Path& p : served_paths()) served.insert(p);
  EXPECT_EQ(told, served);
}

// A body that each path answers at once, up to where a field can be added.
std::string least(const std::string& path) {
  if (path == "/v1/responses") return R"({"input":"a","max_output_tokens":1)";
  if (path == "/v1/completions") return R"({"prompt":"a","max_tokens":1)";
  if (path == "/v1/embeddings") return R"({"input":"a")";
  if (path == "/api/generate") return R"({"prompt":"a")";
  if (path == "/api/chat") return R"({"messages":[{"role":"user","content":"a"}])";
  return R"({"messages":[{"role":"user","content":"a"}],"max_tokens":1)";
}

bool about_range(const Response& r) {
  return r.status == 400 &&
         (has(r.body, "must be a number from") || has(r.body, "must be a whole number from"));
}

TEST_F(Api, OpenApiStatesTheRangeOfEveryNumberAsItsDecoderHasIt) {
  const Json doc = json_of(get("/openapi.json").body);
  int ranges = 0;
  for (const auto& [path, methods] : doc["paths"].items()) {
    if (!methods.contains("post")) continue;
    const Json& schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"];
    const auto check = [&, &url = path](const Json& properties, const std::string& format) {
      for (const auto& [name, field] : properties.items()) {
        const auto refused = [&, &key = name](const std::string& value) {
          const std::string member = fmt::format(R"("{}":{})", key, value);
          return about_range(post(
              url, fmt::format("{},{}}}", least(url), fmt::format(fmt::runtime(format), member))));
        };
        if (!field.contains("minimum")) continue;
        ++ranges;
        if (field["minimum"].is_number_integer()) {
          using Wide = __int128;
          const auto text = [](Wide x) {
            std::string s;
            for (Wide y = x < 0 ? -x : x; y > 0 || s.empty(); y /= 10)
              s.insert(s.begin(), static_cast<char>('0' + static_cast<int>(y % 10)));
            return (x < 0 ? "-" : "") + s;
          };
          const Wide lo = field["minimum"].get<std::int64_t>();
          const Wide hi = field["maximum"].get<std::int64_t>();
          EXPECT_TRUE(refused(text(lo - 1))) << url << " " << name;
          EXPECT_TRUE(refused(text(hi + 1))) << url << " " << name;
          EXPECT_FALSE(refused(text(lo))) << url << " " << name;
          EXPECT_FALSE(refused(text(hi))) << url << " " << name;
        } else {
          const auto lo = field["minimum"].get<double>(), hi = field["maximum"].get<double>();
          EXPECT_TRUE(refused(fmt::format("{}", lo - 1e-9))) << url << " " << name;
          EXPECT_TRUE(refused(fmt::format("{}", hi + 1e-9))) << url << " " << name;
          EXPECT_FALSE(refused(fmt::format("{}", lo))) << url << " " << name;
          EXPECT_FALSE(refused(fmt::format("{}", hi))) << url << " " << name;
        }
      }
    };
    if (!schema.contains("properties")) continue;
    check(schema["properties"], "{}");
    if (schema["properties"].contains("options"))
      check(schema["properties"]["options"]["properties"], R"("options":{{"num_predict":1,{}}})");
    if (schema["properties"].contains("thinking"))
      check(schema["properties"]["thinking"]["properties"],
            R"("thinking":{{"type":"enabled",{}}})");
  }
  EXPECT_GT(ranges, 60);
}

}  // namespace
}  // namespace bezel::test
