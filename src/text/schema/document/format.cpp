// Formats as automata. A format that is not here is refused: hostname, because names that begin
// with "xn--" must follow the tables of IDNA.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "text/automaton/regex.h"
#include "text/schema/document/node.h"

namespace bezel::schema {

namespace {

constexpr const char* kDate =
    R"((?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|)"
    R"(02-(?:0[1-9]|1\d|2[0-8]))|)"
    R"((?:\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29))";
constexpr const char* kByte = R"((?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5]))";
constexpr const char* kUnreserved = R"([A-Za-z0-9\-._~])";

std::string ipv4() {
  return fmt::format("{0}(?:\\.{0}){{3}}", kByte);
}

// Eight groups of 16 bits; "::" stands for at least one group of zeros.
std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string tail = fmt::format("(?:{0}:{0}|{1})", h, ipv4());  // the last 32 bits
  std::string all = fmt::format("(?:{}:){{6}}{}", h, tail);
  all += fmt::format("|::(?:{}:){{5}}{}", h, tail);
  for (int after = 4; after >= 0; --after)  // groups between "::" and the last 32 bits
    all += fmt::format("|(?:(?:{0}:){{0,{1}}}{0})?::(?:{0}:){{{2}}}{3}", h, 4 - after, after, tail);
  all += fmt::format("|(?:(?:{0}:){{0,5}}{0})?::{0}|(?:(?:{0}:){{0,6}}{0})?::", h);
  return all;
}

std::string uri(bool reference) {
  const std::string pct = "%[0-9A-Fa-f]{2}";
  const std::string sub = "[!$&'()*+,;=]";
  const std::string pchar = fmt::format("(?:{}|{}|{}|[:@])", kUnreserved, pct, sub);
  const std::string nocolon = fmt::format("(?:{}|{}|{}|@)+", kUnreserved, pct, sub);
  const std::string future = fmt::format("[vV][0-9A-Fa-f]+\\.(?:{}|{}|:)+", kUnreserved, sub);
  const std::string host =
      fmt::format("(?:\\[(?:{}|{})\\]|(?:{}|{}|{})*)", ipv6(), future, kUnreserved, pct, sub);
  const std::string authority =
      fmt::format("(?:(?:{}|{}|{}|:)*@)?{}(?::\\d*)?", kUnreserved, pct, sub, host);
  const std::string abempty = fmt::format("(?:/{}*)*", pchar);
  const std::string absolute = fmt::format("/(?:{0}+(?:/{0}*)*)?", pchar);
  const std::string tail = fmt::format("(?:\\?(?:{0}|[/?])*)?(?:#(?:{0}|[/?])*)?", pchar);
  const std::string full = fmt::format("[A-Za-z][A-Za-z0-9+.\\-]*:(?://{}{}|{}|{}+(?:/{}*)*)?{}",
                                       authority, abempty, absolute, pchar, pchar, tail);
  if (!reference) return full;
  return fmt::format("{}|(?://{}{}|{}|{}(?:/{}*)*)?{}", full, authority, abempty, absolute, nocolon,
                     pchar, tail);
}

std::string duration() {
  const char* time = R"((?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)))";
  return fmt::format(R"(P(?:\d+W|(?:\d+D|\d+M(?:\d+D)?|\d+Y(?:\d+M(?:\d+D)?)?){0}?|{0}))", time);
}

std::string email() {
  const char* domain =
      "[A-Za-z0-9](?:[A-Za-z0-9\\-]*[A-Za-z0-9])?(?:\\.[A-Za-z0-9](?:[A-Za-z0-9\\-]*[A-Za-z0-9])?)"
      "*";
  const char* atom = R"([A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)";
  return fmt::format(R"((?:{0}(?:\.{0})*|"(?:[ !#-\[\]-~]|\\[ -~])*")@(?:{1}|\[{2}\]|)"
                     R"(\[[Ii][Pp][Vv]6:(?:{3})\]))",
                     atom, domain, ipv4(), ipv6());
}

const std::map<std::string, std::string>& patterns() {
  static const std::map<std::string, std::string> all = {
      {"date", kDate},
      {"duration", duration()},
      {"email", email()},
      {"ipv4", ipv4()},
      {"ipv6", ipv6()},
      {"uuid", "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"},
      {"uri", uri(false)},
      {"uri-reference", uri(true)},
      {"json-pointer", "(?:/(?:[^~/]|~[01])*)*"},
      {"relative-json-pointer", "(?:0|[1-9]\\d*)(?:#|(?:/(?:[^~/]|~[01])*)*)"},
  };
  return all;
}

Dfa must(std::string_view pattern) {
  auto made = dfa_of_regex(pattern, true);
  return made ? *std::move(made) : Dfa{};
}

// A time of day with its offset from UTC. The second 60 is there only where UTC is at 23:59, so
// before it the automaton keeps which minute of the day it is.
class TimeOfDay {
 public:
  Dfa make(bool with_date) {
    if (with_date) {
      dfa_ = must(fmt::format("{}[Tt]", kDate));
      const auto last = static_cast<std::uint32_t>(
          std::find_if(dfa_.states.begin(), dfa_.states.end(),
                       [](const Dfa::State& s) { return s.accept != 0; }) -
          dfa_.states.begin());
      dfa_.states[last].accept = 0;
      clock(last);
    } else {
      dfa_.states.emplace_back();
      clock(0);
    }
    for (Dfa::State& s : dfa_.states)
      std::sort(s.edges.begin(), s.edges.end(),
                [](const CodeEdge& a, const CodeEdge& b) { return a.lo < b.lo; });
    return std::move(dfa_);
  }

 private:
  std::uint32_t fresh() {
    dfa_.states.emplace_back();
    return static_cast<std::uint32_t>(dfa_.states.size() - 1);
  }
  void link(std::uint32_t from, char lo, char hi, std::uint32_t to) {
    dfa_.states[from].edges.push_back(
        {static_cast<std::uint32_t>(lo), static_cast<std::uint32_t>(hi), to});
  }
  std::uint32_t next(std::uint32_t from, char lo, char hi) {
    const std::uint32_t to = fresh();
    link(from, lo, hi, to);
    return to;
  }

  void clock(std::uint32_t start) {
    const std::uint32_t ordinary = fresh();  // behind hh:mm:ss
    fraction(ordinary, [&](std::uint32_t at) {
      end_ = fresh();
      dfa_.states[end_].accept = 1;
      link(at, 'Z', 'Z', end_);
      link(at, 'z', 'z', end_);
      const std::uint32_t sign = fresh();
      link(at, '+', '+', sign);
      link(at, '-', '-', sign);
      const std::uint32_t low = next(sign, '0', '1'), high = next(sign, '2', '2');
      const std::uint32_t hour = next(low, '0', '9');
      link(high, '0', '3', hour);
      link(next(next(hour, ':', ':'), '0', '5'), '0', '9', end_);
    });
    const std::uint32_t second = fresh();  // behind the first digit of an ordinary second
    link(second, '0', '9', ordinary);
    leap_.assign(1440, 0);
    for (int tens = 0; tens < 3; ++tens) {
      const auto digit = static_cast<char>('0' + tens);
      const std::uint32_t t = next(start, digit, digit);
      for (int ones = 0; ones < (tens < 2 ? 10 : 4); ++ones) {
        const auto low = static_cast<char>('0' + ones);
        minutes(next(next(t, low, low), ':', ':'), tens * 10 + ones, second);
      }
    }
  }

  void minutes(std::uint32_t from, int hour, std::uint32_t second) {
    for (int tens = 0; tens < 6; ++tens) {
      const auto digit = static_cast<char>('0' + tens);
      const std::uint32_t t = next(from, digit, digit);
      for (int ones = 0; ones < 10; ++ones) {
        const auto low = static_cast<char>('0' + ones);
        const std::uint32_t at = next(next(t, low, low), ':', ':');
        link(at, '0', '5', second);
        link(next(at, '6', '6'), '0', '0', leap((hour * 60 + tens * 10 + ones + 1) % 1440));
      }
    }
  }

  // `add`: digits of a fraction may stand between `at` and what it adds.
  template <class Add>
  void fraction(std::uint32_t at, const Add& add) {
    add(at);
    const std::uint32_t digits = next(next(at, '.', '.'), '0', '9');
    link(digits, '0', '9', digits);
    const auto edges = dfa_.states[at].edges;
    for (const CodeEdge& e : edges)
      if (e.lo != '.') dfa_.states[digits].edges.push_back(e);
  }

  // Behind second 60 of a minute of the day, where UTC is `ahead` minutes of local time behind.
  std::uint32_t leap(int ahead) {
    auto& known = leap_[static_cast<std::size_t>(ahead)];
    if (known != 0) return known;
    const std::uint32_t start = fresh();
    known = start;
    fraction(start, [&](std::uint32_t at) {
      if (ahead == 0) {
        link(at, 'Z', 'Z', end_);
        link(at, 'z', 'z', end_);
      }
      offset(at, '+', ahead);
      offset(at, '-', (1440 - ahead) % 1440);
    });
    return start;
  }
  void offset(std::uint32_t at, char sign, int minutes) {
    link(at, sign, sign, written(fmt::format("{:02}:{:02}", minutes / 60, minutes % 60)));
  }
  // The state from which exactly this text leads to the end; one for every text.
  std::uint32_t written(const std::string& text) {
    if (text.empty()) return end_;
    if (const auto at = written_.find(text); at != written_.end()) return at->second;
    const std::uint32_t rest = written(text.substr(1)), state = fresh();
    link(state, text[0], text[0], rest);
    return written_[text] = state;
  }

  Dfa dfa_;
  std::uint32_t end_ = 0;
  std::vector<std::uint32_t> leap_;
  std::map<std::string, std::uint32_t> written_;
};

}  // namespace

std::shared_ptr<const Dfa> format_automaton(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const Dfa>> made;
  const std::lock_guard lock(mutex);
  if (const auto at = made.find(name); at != made.end()) return at->second;
  Dfa dfa;
  if (name == "time" || name == "date-time") {
    dfa = TimeOfDay().make(name == "date-time");
    trim(dfa);
  } else if (const auto at = patterns().find(name); at != patterns().end()) {
    dfa = must(at->second);
  } else {
    return nullptr;
  }
  return made[name] = std::make_shared<const Dfa>(std::move(dfa));
}

}  // namespace bezel::schema
