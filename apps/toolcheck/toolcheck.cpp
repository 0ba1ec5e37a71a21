// bezel toolcheck: whether calls of tools arrive as they should, and how often they are right.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ask.h"
#include "base/progress.h"
#include "cases.h"
#include "common.h"
#include "judge.h"
#include "talk.h"

namespace bezel::app {

namespace {

struct ToolCheckFlags {
  std::string only;
  int repeat = 1;
  bool json = false, list = false, verbose = false;
  ModelFlags with;
  SamplingFlags sampling;
  ThinkFlags think;
};

constexpr int kLongestAnswer = 256;  // tokens, without -n

struct Tally {
  int good = 0, of = 0;
  void add(bool ok) { good += ok ? 1 : 0, ++of; }
  void add(const Tally& other) { good += other.good, of += other.of; }
  std::string text() const { return of == 0 ? "" : fmt::format("{}/{}", good, of); }
  std::string percent() const { return of == 0 ? "" : fmt::format("{:.0f} %", 100.0 * good / of); }
};
constexpr const char* kColumns[] = {"valid", "streamed", "tool", "right", "made_to_call"};
// valid: answers whose form is right; streamed: pairs of answers that are one; tool, right: as the
// model pleased; made to call: right when a call was required.
struct Row {
  Tally valid, streamed, tool, right, made;
  std::vector<const Tally*> all() const { return {&valid, &streamed, &tool, &right, &made}; }
  void add(const Row& r) {
    valid.add(r.valid), streamed.add(r.streamed), tool.add(r.tool);
    right.add(r.right), made.add(r.made);
  }
};

bool equal(const Heard& a, const Heard& b) {
  return same_answer(a.turn, b.turn) && a.done.ids == b.done.ids;
}

class Check {
 public:
  Check(const ToolCheckFlags& flags, Engine& engine, Request rules, bool native)
      : flags_(flags), engine_(engine), rules_(std::move(rules)), native_(native) {}

  // All steps of a case with one seed; false when interrupted.
  Result<bool> run(const ToolCase& c, std::uint64_t seed, Row& row) {
    BEZEL_TRY(const Judge judge, Judge::open(c.tools));
    rules_.sampling.seed = seed;
    for (std::size_t i = 0; i < c.steps.size(); ++i) {
      where_ = fmt::format("{}, step {}, seed {}", c.name, i + 1, seed);
      const Ask question{c.turns_before(i), c.tools, false, flags_.think.think,
                         flags_.think.budget};
      if (!step(judge, c.steps[i], question, row)) return false;
    }
    return true;
  }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  bool step(const Judge& judge, const Step& step, Ask question, Row& row) {
    const auto whole = asked(judge, question, row), streamed = asked(judge, question, row);
    if (InterruptGuard::flag().load()) return false;
    const bool both = whole && streamed;
    row.streamed.add(both && streamed->same && equal(*whole, *streamed));
    if (both && !(streamed->same && equal(*whole, *streamed)))
      problem("streamed, the answer is another one: " + line_of(streamed->turn));
    row.tool.add(both && right_tools(step, streamed->turn));
    const bool is_right = both && right(step, streamed->turn);
    row.right.add(is_right);
    if (both && !is_right) wrong("", streamed->turn);
    if (step.calls.empty()) return true;
    question.required = true;
    const auto made = asked(judge, question, row);
    if (InterruptGuard::flag().load()) return false;
    const bool made_right = made && right(step, made->turn);
    row.made.add(made_right);
    if (made && !made_right) wrong(" when made to call", made->turn);
    return true;
  }

  std::optional<Heard> asked(const Judge& judge, const Ask& question, Row& row) {
    auto heard = ask(engine_, question, native_, rules_);
    if (InterruptGuard::flag().load()) return std::nullopt;
    std::string what = heard ? "" : heard.error().text();
    // Calls in a text that nothing held are the model's own affair.
    if (heard && (native_ || question.required)) what = judge.problem(*heard);
    const bool ended = heard && heard->done.reason == DoneReason::EndToken;
    if (what.empty() && question.required && ended && heard->turn.calls.empty())
      what = "a call was required, and none came: " + line_of(heard->turn);
    row.valid.add(what.empty());
    if (!what.empty()) problem(what);
    if (!heard) return std::nullopt;
    return *std::move(heard);
  }

  void problem(const std::string& what) {
    problems_.push_back(where_ + ": " + what);
    note("not as it must be: " + one_line(problems_.back()));
  }
  void wrong(const char* how, const Turn& answer) const {
    if (flags_.verbose)
      note(one_line(fmt::format("wrong{}: {}: {}", how, where_, line_of(answer))));
  }

  const ToolCheckFlags& flags_;
  Engine& engine_;
  Request rules_;
  bool native_;
  std::string where_;
  std::vector<std::string> problems_;
};

void write_table(const std::vector<std::pair<std::string, Row>>& rows, const Row& all) {
  const auto line = [](const std::string& name, const std::vector<std::string>& cells) {
    output().write(fmt::format("{:<34} {:>9} {:>9} {:>9} {:>9} {:>13}\n", name, cells[0], cells[1],
                               cells[2], cells[3], cells[4]));
  };
  line("case", {"valid", "streamed", "tool", "right", "made to call"});
  const auto row = [&](const std::string& name, const Row& r, bool percent) {
    std::vector<std::string> cells;
    for (const Tally* t : r.all()) cells.push_back(percent ? t->percent() : t->text());
    line(name, cells);
  };
  for (const auto& [name, r] : rows) row(name, r, false);
  row("all", all, false);
  row("", all, true);
}

Json json_of(const Row& row) {
  Json out = Json::object();
  for (std::size_t i = 0; i < std::size(kColumns); ++i)
    out[kColumns[i]] = {{"good", row.all()[i]->good}, {"of", row.all()[i]->of}};
  return out;
}

std::vector<const ToolCase*> chosen(const std::string& only) {
  std::vector<const ToolCase*> out;
  for (const ToolCase& c : tool_cases())
    if (c.name.find(only) != std::string::npos) out.push_back(&c);
  return out;
}

int report(const ToolCheckFlags& f, const Check& check, std::uint64_t first_seed, bool native,
           const std::vector<std::pair<std::string, Row>>& rows) {
  Row all;
  for (const auto& [name, row] : rows) all.add(row);
  if (f.json) {
    Json out = {{"calls", native ? "native" : "json"}, {"seed", first_seed}, {"repeat", f.repeat}};
    for (const auto& [name, row] : rows) {
      Json one = {{"name", name}};
      one.update(json_of(row));
      out["cases"].push_back(std::move(one));
    }
    out["all"] = json_of(all);
    out["problems"] = check.problems();
    output().write(dump_json(out) + "\n");
  } else {
    write_table(rows, all);
  }
  const bool held = all.valid.good == all.valid.of && all.streamed.good == all.streamed.of;
  return held ? kDone : kFailed;
}

int tool_check(const ToolCheckFlags& f) {
  const auto cases = chosen(f.only);
  if (cases.empty())
    return fail({Errc::BadInput, "no case has this in its name; --list shows them", f.only});
  if (f.list) {
    for (const ToolCase* c : cases) output().write(fmt::format("{}: {}\n", c->name, c->question));
    return kDone;
  }
  if (f.with.options.model_path.empty())
    return fail({Errc::BadInput, "name a MODEL, or see the cases with --list", ""});
  auto engine = Engine::load(f.with.options);
  if (!engine) return fail(engine.error());
  auto rules = f.sampling.request(**engine);
  if (!rules) return fail(rules.error());
  rules->sampling.seed = f.sampling.seed.value_or(1);
  if (rules->max_tokens == 0) rules->max_tokens = kLongestAnswer;
  rules->cancel = &InterruptGuard::flag();
  const bool native = native_calls(**engine, cases.front()->tools);
  if (!native) note("note: this model's template has no tools; calls are JSON in its text");

  const InterruptGuard guard;
  const std::uint64_t seed = rules->sampling.seed;
  Check check(f, **engine, *std::move(rules), native);
  std::vector<std::pair<std::string, Row>> rows;
  Progress bar("asking", "cases", cases.size() * static_cast<std::uint64_t>(f.repeat));
  std::uint64_t done = 0;
  for (const ToolCase* c : cases) {
    rows.emplace_back(c->name, Row());
    for (int i = 0; i < f.repeat; ++i) {
      const auto went_on = check.run(*c, seed + static_cast<std::uint64_t>(i), rows.back().second);
      if (!went_on) return fail(went_on.error());
      if (!*went_on) return kInterrupted;
      bar.update(++done);
    }
  }
  return report(f, check, seed, native, rows);
}

}  // namespace

void add_toolcheck(CLI::App& app, Action& action) {
  auto f = std::make_shared<ToolCheckFlags>();
  CLI::App* c =
      app.add_subcommand("toolcheck", "Ask a model to call tools, and count what is right");
  c->footer(
      "Every case declares tools and asks a question, once streamed and once not with the same "
      "seed,\n"
      "and once so that a call must come. The columns, good answers of all:\n"
      "  valid         calls of declared tools with arguments that fit, no marker in a text\n"
      "  streamed      the pieces joined are the whole, and both answers are the same\n"
      "  tool, right   the right tools; with right arguments, or results used, or none called\n"
      "  made to call  right arguments when a call is required\n"
      "The first two do not depend on the model: exit status 0 when they hold, 1 when they do "
      "not.\n"
      "Answers are 256 tokens long at most unless -n says otherwise; the seed is 1.\n\n"
      "Examples:\n"
      "  bezel toolcheck model.gguf\n"
      "  bezel toolcheck model.gguf --repeat 5 --think --thought-budget 500 -n 1000\n"
      "  bezel toolcheck model.gguf --only array --verbose\n"
      "  bezel toolcheck model.gguf --greedy --json > report.json\n"
      "  bezel toolcheck --list\n");
  add_model(*c, "MODEL", f->with.options.model_path)->type_name("");
  c->add_option("--repeat", f->repeat, "ask N times, with seeds one after the other")
      ->type_name("N")
      ->check(range(1, 10000));
  c->add_option("--only", f->only, "the cases with this in their name")->type_name("TEXT");
  c->add_flag("--list", f->list, "show the cases and their questions, ask nothing");
  c->add_flag("--json", f->json, "one JSON object instead of the table");
  c->add_flag("-v,--verbose", f->verbose, "wrong answers on standard error");
  f->think.add(*c);
  f->sampling.add(*c);
  f->with.add(*c);
  c->callback([f, &action] { action = [f] { return tool_check(*f); }; });
}

}  // namespace bezel::app
