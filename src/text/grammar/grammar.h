// Grammars in GBNF, the notation of llama.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bezel/result.h"
#include "text/automaton/syntax.h"

namespace bezel::grammar {

// Rules as one list of symbols: the alternatives of a rule are sequences that end in End.
struct Symbol {
  enum class Kind : std::uint8_t { Set, Rule, End } kind = Kind::End;
  std::uint32_t number = 0;  // of a set or a rule
};
struct Grammar {
  std::vector<Symbol> symbols;
  std::vector<std::vector<std::uint32_t>> rules;  // first symbols of the alternatives
  std::vector<std::string> names;                 // of rules; empty: made for a repetition or group
  std::vector<regex::Ranges> sets;
  std::uint32_t root = 0;
};

// An Error names the line, or the rule: syntax, undefined rules, left recursion, rules without any
// text, more than 100,000 symbols.
Result<Grammar> parse(std::string_view text);
// Looks for left recursion, and takes away alternatives that never end.
Status check(Grammar& grammar);

}  // namespace bezel::grammar
