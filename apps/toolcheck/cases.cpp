#include "cases.h"

#include <fmt/format.h>

#include "base/check.h"

namespace bezel::app {

namespace {

constexpr const char* kTools = R"json({
"get_weather": {"description": "The weather in a city, now or in the coming days.", "parameters":
  {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 0, "maximum": 10, "description": "Days from today; 0 is today."}}, "required": ["city"], "additionalProperties": false}},
"current_time": {"description": "The time of day here.", "parameters": {"type": "object", "properties": {}, "additionalProperties": false}},
"set_timer": {"description": "Starts a timer.", "parameters":
  {"type": "object", "properties": {"minutes": {"type": "integer", "minimum": 1, "maximum": 1440}}, "required": ["minutes"], "additionalProperties": false}},
"set_thermostat": {"description": "Sets the temperature of a room.", "parameters":
  {"type": "object", "properties": {"room": {"type": "string", "enum": ["kitchen", "bedroom", "bathroom"]}, "celsius": {"type": "number", "minimum": 5, "maximum": 30}}, "required": ["room", "celsius"], "additionalProperties": false}},
"set_light": {"description": "Switches a light on or off.", "parameters":
  {"type": "object", "properties": {"room": {"type": "string", "enum": ["kitchen", "bedroom", "bathroom"]}, "on": {"type": "boolean"}}, "required": ["room", "on"], "additionalProperties": false}},
"add_to_list": {"description": "Adds items to the shopping list.", "parameters":
  {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 20}}, "required": ["items"], "additionalProperties": false}},
"sum": {"description": "The sum of numbers.", "parameters":
  {"type": "object", "properties": {"numbers": {"type": "array", "items": {"type": "number"}, "minItems": 2}}, "required": ["numbers"], "additionalProperties": false}},
"multiply": {"description": "The product of two numbers.", "parameters":
  {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"], "additionalProperties": false}},
"create_event": {"description": "Puts an event into the calendar.", "parameters":
  {"type": "object", "properties": {"title": {"type": "string"}, "date": {"type": "string", "format": "date"}, "place": {"type": "object", "properties": {"city": {"type": "string"}, "street": {"type": "string"}}, "required": ["city"], "additionalProperties": false}}, "required": ["title", "date"], "additionalProperties": false}},
"send_message": {"description": "Sends a text message to a person of the address book.", "parameters":
  {"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}}, "required": ["to", "text"], "additionalProperties": false}},
"find_person": {"description": "The telephone number of a person of the address book.", "parameters":
  {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}},
"call_number": {"description": "Calls a telephone number.", "parameters":
  {"type": "object", "properties": {"number": {"type": "string", "pattern": "^[0-9]{3,15}$"}}, "required": ["number"], "additionalProperties": false}},
"translate": {"description": "Translates a text.", "parameters":
  {"type": "object", "properties": {"text": {"type": "string"}, "language": {"type": "string", "enum": ["French", "German", "Spanish"]}}, "required": ["text", "language"], "additionalProperties": false}},
"play_music": {"description": "Plays a song.", "parameters":
  {"type": "object", "properties": {"title": {"type": "string"}, "volume": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "null"}], "description": "In percent; null leaves it as it is."}}, "required": ["title", "volume"], "additionalProperties": false}},
"stock_price": {"description": "The price of a share in dollars.", "parameters":
  {"type": "object", "properties": {"symbol": {"type": "string", "pattern": "^[A-Z]{1,5}$"}}, "required": ["symbol"], "additionalProperties": false}}
})json";

// "tools": names, or "all". Of a step: calls with their results, or what the answer says.
constexpr const char* kCases = R"json([
{"name": "no arguments", "tools": ["current_time"], "question": "What time is it?",
 "steps": [{"calls": [["current_time", {}, "{\"time\":\"14:32\"}"]]}, {"says": ["14:32", "2:32"]}]},
{"name": "a string", "tools": ["get_weather"], "question": "What is the weather like in Oslo right now?",
 "steps": [{"calls": [["get_weather", {"city": "Oslo", "days": {"any of": [0, "absent"]}}, "{\"sky\":\"sleet\",\"celsius\":-3}"]]}, {"says": ["sleet", "-3"]}]},
{"name": "an integer", "tools": ["set_timer"], "question": "Set a timer for 25 minutes, please.",
 "steps": [{"calls": [["set_timer", {"minutes": 25}, "{\"ok\":true}"]]}, {"says": []}]},
{"name": "an integer in words", "tools": ["set_timer"], "question": "Wake me in one hour and a half.",
 "steps": [{"calls": [["set_timer", {"minutes": 90}, "{\"ok\":true}"]]}]},
{"name": "an optional argument", "tools": ["get_weather"], "question": "How will the weather in Lima be in 3 days?",
 "steps": [{"calls": [["get_weather", {"city": "Lima", "days": 3}, "{\"sky\":\"fog\",\"celsius\":17}"]]}, {"says": ["fog", "17"]}]},
{"name": "an enum and a number", "tools": ["set_thermostat"], "question": "Make it 21.5 degrees in the bedroom.",
 "steps": [{"calls": [["set_thermostat", {"room": "bedroom", "celsius": 21.5}, "{\"ok\":true}"]]}]},
{"name": "a boolean", "tools": ["set_light"], "question": "Turn off the light in the kitchen.",
 "steps": [{"calls": [["set_light", {"room": "kitchen", "on": false}, "{\"ok\":true}"]]}]},
{"name": "an array of strings", "tools": ["add_to_list"], "question": "Put milk, bread and eggs on the shopping list.",
 "steps": [{"calls": [["add_to_list", {"items": ["milk", "bread", "eggs"]}, "{\"items\":3}"]]}]},
{"name": "an array of numbers", "tools": ["sum"], "question": "Add up 12, 7.5 and 100 with the tool.",
 "steps": [{"calls": [["sum", {"numbers": [12, 7.5, 100]}, "119.5"]]}, {"says": ["119.5"]}]},
{"name": "a nested object", "tools": ["create_event"], "question": "Create the event \"Dinner\" on 2027-03-05 in the city of Lyon.",
 "steps": [{"calls": [["create_event", {"title": "Dinner", "date": "2027-03-05", "place": {"city": "Lyon"}}, "{\"ok\":true}"]]}]},
{"name": "a nested object left out", "tools": ["create_event"], "question": "Create the event \"Dentist\" on 2027-01-20. I do not know the place yet.",
 "steps": [{"calls": [["create_event", {"title": "Dentist", "date": "2027-01-20"}, "{\"ok\":true}"]]}]},
{"name": "null or an integer", "tools": ["play_music"], "question": "Play the song \"Yesterday\" and leave the volume as it is.",
 "steps": [{"calls": [["play_music", {"title": "Yesterday", "volume": null}, "{\"ok\":true}"]]}]},
{"name": "a pattern", "tools": ["call_number"], "question": "Please call the number 5551234.",
 "steps": [{"calls": [["call_number", {"number": "5551234"}, "{\"ok\":true}"]]}]},
{"name": "quotes and braces in a string", "tools": ["send_message"], "question": "Send Ann exactly this text: he said \"use {a: 1}, not [b]\"",
 "steps": [{"calls": [["send_message", {"to": "Ann", "text": "he said \"use {a: 1}, not [b]\""}, "{\"ok\":true}"]]}]},
{"name": "not only ASCII", "tools": ["get_weather"], "question": "Quel temps fait-il à Besançon ?",
 "steps": [{"calls": [["get_weather", {"city": "Besançon", "days": {"any of": [0, "absent"]}}, "{\"sky\":\"neige\",\"celsius\":-1}"]]}, {"says": ["neige", "-1"]}]},
{"name": "one of two tools", "tools": ["get_weather", "current_time"], "question": "Is it raining in Bergen?",
 "steps": [{"calls": [["get_weather", {"city": "Bergen", "days": {"any of": [0, "absent"]}}, "{\"sky\":\"rain\",\"celsius\":8}"]]}, {"says": ["yes", "rain"]}]},
{"name": "one of fifteen tools", "tools": "all", "question": "What does a share of AAPL cost?",
 "steps": [{"calls": [["stock_price", {"symbol": "AAPL"}, "{\"dollars\":187.25}"]]}, {"says": ["187.25"]}]},
{"name": "near relatives", "tools": ["sum", "multiply"], "question": "How much is 17.5 times 312? Use a tool.",
 "steps": [{"calls": [["multiply", {"a": {"any of": [17.5, 312]}, "b": {"any of": [312, 17.5]}}, "5460"]]}, {"says": ["5460", "5,460"]}]},
{"name": "two calls at once", "tools": ["get_weather"], "question": "Compare the weather in Cairo and in Quito now.",
 "steps": [{"calls": [["get_weather", {"city": "Cairo", "days": {"any of": [0, "absent"]}}, "{\"celsius\":33}"], ["get_weather", {"city": "Quito", "days": {"any of": [0, "absent"]}}, "{\"celsius\":14}"]]}, {"says": ["33"]}]},
{"name": "two tools at once", "tools": ["set_light", "set_timer"], "question": "Turn on the light in the bathroom, and set a timer for 5 minutes.",
 "steps": [{"calls": [["set_light", {"room": "bathroom", "on": true}, "{\"ok\":true}"], ["set_timer", {"minutes": 5}, "{\"ok\":true}"]]}, {"says": []}]},
{"name": "one after the other", "tools": ["find_person", "call_number", "send_message"], "question": "Look up Bob's telephone number, then call him.",
 "steps": [{"calls": [["find_person", {"name": "Bob"}, "{\"number\":\"447700900123\"}"]]}, {"calls": [["call_number", {"number": "447700900123"}, "{\"ok\":true}"]]}, {"says": []}]},
{"name": "a result that is an error", "tools": ["find_person"], "question": "What is Zoe's telephone number?",
 "steps": [{"calls": [["find_person", {"name": "Zoe"}, "{\"error\":\"not found\"}"]]}, {"says": ["not", "n't", "no "]}]},
{"name": "no tool is needed", "tools": ["get_weather", "current_time"], "question": "What is the capital of France?",
 "steps": [{"says": ["Paris"]}]},
{"name": "no tool fits", "tools": ["set_timer", "set_light"], "question": "Write one sentence about the sea.",
 "steps": [{"says": []}]},
{"name": "a greeting among fifteen tools", "tools": "all", "question": "Hello!",
 "steps": [{"says": []}]}
])json";

Json parsed(const char* text) {
  auto json = parse_json(text, "cases of toolcheck");
  BEZEL_CHECK(json);
  return *std::move(json);
}

Json declaration(const Json& tools, const std::string& name) {
  Json function = {{"name", name}};
  function.update(tools.at(name));
  return {{"type", "function"}, {"function", std::move(function)}};
}

ToolCase case_from(const Json& tools, const Json& j) {
  ToolCase c{
      j.at("name").get<std::string>(), j.at("question").get<std::string>(), Json::array(), {}};
  if (j.at("tools").is_array()) {
    for (const Json& name : j.at("tools"))
      c.tools.push_back(declaration(tools, name.get<std::string>()));
  } else {
    for (const auto& [name, tool] : tools.items()) c.tools.push_back(declaration(tools, name));
  }
  for (const Json& s : j.at("steps")) {
    Step step;
    if (s.contains("calls"))
      for (const Json& call : s["calls"])
        step.calls.push_back({call[0].get<std::string>(), call[1], call[2].get<std::string>()});
    if (s.contains("says")) step.says = s["says"].get<std::vector<std::string>>();
    c.steps.push_back(std::move(step));
  }
  return c;
}

// The arguments as a model that is right would write them.
Json written(const Json& expected) {
  Json out = Json::object();
  for (const auto& [key, value] : expected.items()) {
    const bool choice = value.is_object() && value.contains("any of");
    if (!choice)
      out[key] = value;
    else if (value["any of"].back() != Json("absent"))
      out[key] = value["any of"].front();
  }
  return out;
}

}  // namespace

std::vector<Turn> ToolCase::turns_before(std::size_t n) const {
  std::vector<Turn> turns = {{"user", question}};
  int calls = 0;
  for (std::size_t i = 0; i < n; ++i) {
    Turn answer{"assistant", ""};
    std::vector<Turn> results;
    for (const ExpectedCall& c : steps[i].calls) {
      const std::string id = fmt::format("call_{}", calls++);
      answer.calls.push_back({id, c.name, dump_json(written(c.arguments))});
      results.push_back({.role = "tool", .text = c.result, .call_id = id});
    }
    turns.push_back(std::move(answer));
    turns.insert(turns.end(), results.begin(), results.end());
  }
  return turns;
}

const std::vector<ToolCase>& tool_cases() {
  static const std::vector<ToolCase> cases = [] {
    const Json tools = parsed(kTools);
    std::vector<ToolCase> out;
    for (const Json& j : parsed(kCases)) out.push_back(case_from(tools, j));
    return out;
  }();
  return cases;
}

}  // namespace bezel::app
