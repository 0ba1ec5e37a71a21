// What is held against an answer of toolcheck: its form, and whether it is right.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "cases.h"
#include "text/constrain/constraint.h"

namespace bezel::app {

struct Answered {
  Turn turn;
  Done done;
};

// Tools of one case, their parameters compiled as a validator apart from what held the answer.
class Judge {
 public:
  static Result<Judge> open(const Json& tools);

  // What is wrong with the form of an answer, or nothing: every call names a declared tool, its
  // arguments fit, written in Gemma's syntax and parsed it is the same call; no marker is in the
  // text or the thought. A call that was cut off is only held to be JSON.
  std::string problem(const Answered& answer) const;

 private:
  std::string problem(const ToolCall& call, bool whole) const;
  bool comes_back(const ToolCall& call) const;

  Json tools_;
  std::map<std::string, constrain::LanguagePtr> parameters_;
};

// Whether the calls name the tools of the step, each as often as it should; or none when none
// should be called.
bool right_tools(const Step& step, const Turn& answer);
// Whether the arguments are right too, or the answer says what it must. Texts are compared without
// case and white space around them.
bool right(const Step& step, const Turn& answer);

// An answer as one line for a person.
std::string line_of(const Turn& answer);

}  // namespace bezel::app
