// Random schemas, and random answers to them by the automaton alone: every answer is valid.
#include <cstdlib>

#include "text/constrain/support.h"
#include "text/constrain/validator.h"

namespace bezel::test {

namespace {

// A schema of the keywords that the validator knows.
class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  Json schema() {
    Json s = part(3);
    if (s.is_boolean()) s = Json::object();
    s["$defs"] = {{"r", {{"type", {"array", "integer"}}, {"items", {{"$ref", "#/$defs/r"}}}}},
                  {"o", part(1)}};
    return s;
  }

 private:
  std::size_t below(std::size_t n) { return random_.below(n); }
  bool chance(std::size_t n) { return below(n) == 0; }
  Json scalar() {
    const Json all[] = {nullptr, true, false, 0, 1, 7, -3, 2.5, "a", "ab", "é", "x\ny"};
    return all[below(std::size(all))];
  }

  Json part(int depth) {
    if (depth == 0 && chance(8)) return chance(4) ? Json(true) : Json::object();
    Json s = Json::object();
    switch (below(depth > 0 ? 9 : 4)) {
      case 0:
        numbers(s);
        break;
      case 1:
        texts(s);
        break;
      case 2:
        s["type"] = chance(2) ? Json("boolean") : Json({"null", "string"});
        break;
      case 3:
        s["enum"] = {scalar(), scalar(), scalar()};
        break;
      case 4:
        arrays(s, depth);
        break;
      case 5:
      case 6:
        objects(s, depth);
        break;
      case 7:
        s["$ref"] = chance(2) ? "#/$defs/r" : "#/$defs/o";
        break;
      default:
        combined(s, depth);
        break;
    }
    if (depth > 1 && chance(4)) combined(s, depth);
    return s;
  }
  void numbers(Json& s) {
    s["type"] = chance(2) ? "integer" : "number";
    if (chance(2)) s["minimum"] = static_cast<int>(below(30)) - 15;
    if (chance(2)) s["maximum"] = static_cast<int>(below(300)) - 10;
    if (chance(4)) s["multipleOf"] = static_cast<int>(below(5)) + 1;
    if (chance(4)) s["exclusiveMinimum"] = -2.5;
  }
  void texts(Json& s) {
    s["type"] = "string";
    if (chance(3)) s["minLength"] = below(4);
    if (chance(3)) s["maxLength"] = below(8);
    const char* patterns[] = {"^[a-c]+$", "b", "^x?y*$", "[0-9]{2}"};
    if (chance(3)) s["pattern"] = patterns[below(4)];
  }
  void arrays(Json& s, int depth) {
    s["type"] = "array";
    if (chance(2)) s["items"] = part(depth - 1);
    if (chance(3)) s["prefixItems"] = {part(depth - 1), part(depth - 1)};
    if (chance(3)) s["minItems"] = below(4);
    if (chance(3)) s["maxItems"] = below(5);
    if (chance(4)) s["contains"] = part(depth - 1);
    if (s.contains("contains") && chance(2)) s["maxContains"] = 1 + below(2);
    if (chance(5)) s["uniqueItems"] = true;
  }
  void objects(Json& s, int depth) {
    s["type"] = "object";
    const char* names[] = {"a", "b", "ab", "long name"};
    for (const char* name : names)
      if (chance(2)) s["properties"][name] = part(depth - 1);
    if (chance(2)) s["required"] = {names[below(4)], names[below(4)]};
    if (chance(2)) s["additionalProperties"] = chance(2) ? Json(false) : part(depth - 1);
    if (chance(5)) s["minProperties"] = below(3);
    if (chance(5)) s["maxProperties"] = 1 + below(3);
    if (chance(6)) s["dependentRequired"] = {{"a", {"b"}}};
    if (chance(6)) s["propertyNames"] = {{"maxLength", 2}};
  }
  void combined(Json& s, int depth) {
    const char* keys[] = {"anyOf", "allOf", "oneOf"};
    const std::size_t which = below(5);
    if (which < 3) {
      s[keys[which]] = {part(depth - 1), part(depth - 1)};
    } else if (which == 3) {
      s["not"] = part(depth - 1);
    } else {
      s["if"] = part(depth - 1);
      s["then"] = part(depth - 1);
      if (chance(2)) s["else"] = part(depth - 1);
    }
  }

  Random random_;
};

// Puts one of the names that schemas ask for as the next key, if one may come.
bool push_name(constrain::Walk& walk, std::string& text) {
  for (const std::string name : {"\"a\":", "\"b\":", "\"ab\":", "\"long name\":"}) {
    constrain::Walk further = walk;
    if (further.push(name) != name.size()) continue;
    walk = further;
    text += name;
    return true;
  }
  return false;
}

// More digits in a row than the validator's doubles hold.
bool long_number(const std::string& text) {
  std::size_t run = 0;
  for (const char c : text) {
    run = (c >= '0' && c <= '9') || c == '.' ? run + 1 : 0;
    if (run > 15) return true;
  }
  return false;
}

// An answer, byte by byte; empty when chance does not bring it to an end.
std::string answer(const constrain::LanguagePtr& language, Random& random) {
  constrain::Walk walk(language);
  std::string text;
  bool in_string = false;
  std::size_t run = 0;  // digits or characters since the last structural byte
  while (text.size() < 2000) {
    const bool late = text.size() > 300;
    if (walk.can_end() && (late || random.below(4) == 0)) return text;
    if (late && !in_string && (text.back() == ',' || text.back() == '{') && push_name(walk, text))
      continue;
    std::vector<char> may, closing;
    for (int b = 0; b < 0xF8; ++b) {
      const char c = static_cast<char>(b);
      constrain::Walk next = walk;
      if (!next.push(static_cast<std::uint8_t>(b))) continue;
      may.push_back(c);
      if (c == '"' || c == ']' || c == '}' || c == ',' || c == ':') closing.push_back(c);
    }
    if (may.empty() && walk.can_end()) return text;
    if (may.empty()) {
      ADD_FAILURE() << "a dead end: nothing can follow " << text;
      return "";
    }
    std::vector<char> plain;  // no exponents: double cannot hold what they reach
    for (const char c : may)
      if (c != 'e' && c != 'E' && c != '\\' && (run < 6 || c != '0')) plain.push_back(c);
    const auto* from = plain.empty() ? &may : &plain;
    if (!closing.empty() && (late || run > 5 || random.below(3) == 0)) from = &closing;
    if (late && in_string && !closing.empty() && closing.front() == '"') closing.resize(1);
    if (late && !in_string && !closing.empty() && closing.back() != ',')
      closing.assign(1, closing.back());
    std::vector<char> wanted;  // by the patterns, where a string cannot end yet
    for (const char w : may)
      if (w == '0' || (w >= 'a' && w <= 'c') || w == 'x' || w == 'y') wanted.push_back(w);
    if (late && in_string && !wanted.empty() && (closing.empty() || closing.front() != '"'))
      from = &wanted;
    const char c = (*from)[random.below(from->size())];
    run = c == '"' || c == ',' || c == '[' || c == '{' || c == ':' ? 0 : run + 1;
    if (c == '"' && !(in_string && text.back() == '\\')) in_string = !in_string;
    walk.push(static_cast<std::uint8_t>(c));
    text.push_back(c);
  }
  return "";  // it would not end by chance
}

}  // namespace

TEST(RandomSchema, EveryAnswerIsValid) {
  const char* longer = std::getenv("BEZEL_LONG");
  const int wanted = longer != nullptr && *longer != '\0' ? 10000 : 300;
  int answers = 0, refused = 0, skipped = 0;
  for (std::uint64_t seed = 1; answers < wanted; ++seed) {
    const Json schema = Maker(seed).schema();
    const auto language = constrain::json_schema(dump_json(schema));
    if (!language) {
      ++refused;
      ASSERT_LT(refused, 10 * wanted) << language.error().text();
      continue;
    }
    Random random(seed);
    for (int i = 0; i < 3; ++i) {
      const std::string text = answer(*language, random);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ": " << dump_json(schema);
      if (text.empty() || long_number(text)) {
        ++skipped;
        continue;
      }
      const auto value = parse_json(text, "answer", {.max_depth = 600});
      ASSERT_TRUE(value) << "seed " << seed << ": " << text;
      EXPECT_TRUE(Validator(schema).valid(schema, *value))
          << "seed " << seed << ": " << text << "\n  " << dump_json(schema);
      EXPECT_TRUE(accepts(*language, text));
      ++answers;
    }
  }
  EXPECT_LT(skipped, wanted / 5);
  RecordProperty("refused", refused);
}

}  // namespace bezel::test
