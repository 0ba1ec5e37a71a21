// Arithmetic as people write it.
#pragma once
#include <string>
#include <string_view>

#include "bezel/result.h"

namespace bezel {

// The value of an expression in double precision, 15 digits: + - * / % ^ (right to left), brackets,
// pi, e, and sqrt, abs, round, floor, ceil, exp, ln, log (base 10), sin, cos, tan, min, max. An
// Error that says at which character it is wrong; brackets go 100 deep.
Result<std::string> calculate(std::string_view expression);

}  // namespace bezel
