// bezel run: one answer to standard output.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "common.h"
#include "talk.h"
#include "text/constrained.h"

namespace bezel::app {

namespace {

constexpr std::uint64_t kMaxPromptBytes = 256U << 20U;

struct RunFlags {
  std::string prompt, system, tools, tool_choice = "auto";
  ThinkFlags think;
  ModelFlags with;
  SamplingFlags sampling;
  ConstraintFlags constraint;
  bool one_call = false, raw = false, markers = false, show_markers = false, jsonl = false,
       stats = false, quiet = false;
  int logprobs = -1;
};

const char* reason_text(DoneReason reason) {
  switch (reason) {
    case DoneReason::EndToken:
      return "end";
    case DoneReason::StopText:
      return "stop";
    case DoneReason::MaxTokens:
      return "length";
    case DoneReason::ContextFull:
      return "context";
    case DoneReason::Cancelled:
      return "cancelled";
  }
  return "";
}

std::string stats_text(const Done& d) {
  const auto rate = [](double n, double seconds) { return seconds > 0 ? n / seconds : 0; };
  const std::string drafts =
      d.drafted > 0 ? fmt::format(" ({} of {} drafts right)", d.accepted, d.drafted) : "";
  return fmt::format(
      "prompt {} tokens ({} reused), {:.1f} tok/s; answer {} tokens, {:.1f} tok/s{}; {}",
      d.prompt_tokens, d.reused_tokens, rate(d.prompt_tokens - d.reused_tokens, d.prompt_seconds),
      d.ids.size(), rate(static_cast<double>(d.ids.size()), d.answer_seconds), drafts,
      reason_text(d.reason));
}

Json json_of(const ToolCall& call) {
  auto arguments = parse_json(call.arguments, call.name);
  return {{"name", call.name}, {"arguments", arguments ? *arguments : Json(call.arguments)}};
}

Json json_of(const TextPiece& piece, int logprobs) {
  Json line = {{"id", piece.id}, {"text", piece.text}};
  if (piece.id < 0) line["id"] = nullptr;
  if (logprobs < 0 || piece.id < 0) return line;
  line["logprob"] = piece.logprob;
  if (logprobs > 0) {
    line["best"] = Json::array();
    for (const TokenLogprob& b : piece.best)
      line["best"].push_back({{"id", b.id}, {"logprob", b.logprob}});
  }
  return line;
}

// Writes events as they come; a bar while the prompt is read.
class Printer {
 public:
  explicit Printer(const RunFlags& flags) : flags_(flags) {}

  bool operator()(const Event& event) {
    if (const auto* read = std::get_if<PromptProgress>(&event)) {
      if (!bar_ && read->done < read->total)
        bar_ = std::make_unique<Progress>("reading the prompt", "tokens",
                                          static_cast<std::uint64_t>(read->total));
      if (bar_) bar_->update(static_cast<std::uint64_t>(read->done));
      return true;
    }
    bar_.reset();
    if (const auto* thought = std::get_if<ThoughtPiece>(&event)) {
      if (!flags_.jsonl) thoughts_.write(thought->text);
      return !flags_.jsonl || write_line({{"thought", thought->text}});
    }
    thoughts_.end();
    if (const auto* call = std::get_if<CallPiece>(&event)) return add(*call);
    const auto& piece = std::get<TextPiece>(event);
    if (flags_.jsonl) {
      output().write(dump_json(json_of(piece, flags_.logprobs)) + "\n");
    } else {
      if (!piece.text.empty()) line_open_ = piece.text.back() != '\n';
      output().write(piece.text);
    }
    return output().flush();
  }

  void finish(const Done& done) {
    bar_.reset();
    thoughts_.end();
    if (flags_.jsonl) {
      const bool calls = called_ && done.reason == DoneReason::EndToken;
      output().write(dump_json({{"done", calls ? "tool_calls" : reason_text(done.reason)},
                                {"prompt_tokens", done.prompt_tokens},
                                {"answer_tokens", done.ids.size()},
                                {"prompt_seconds", done.prompt_seconds},
                                {"answer_seconds", done.answer_seconds}}) +
                     "\n");
    } else if (line_open_) {
      output().write("\n");
    }
    output().flush();
  }

 private:
  // Calls are a line of JSON each.
  bool add(const CallPiece& piece) {
    if (!piece.name.empty()) call_ = {"", piece.name, ""};
    call_.arguments += piece.arguments;
    if (!piece.complete) return true;
    called_ = true;
    if (flags_.jsonl) return write_line({{"call", json_of(call_)}});
    if (line_open_) output().write("\n");
    line_open_ = false;
    return write_line(json_of(call_));
  }
  static bool write_line(const Json& json) {
    output().write(dump_json(json) + "\n");
    return output().flush();
  }

  const RunFlags& flags_;
  std::unique_ptr<Progress> bar_;
  ThoughtPrinter thoughts_;
  ToolCall call_;
  bool line_open_ = false, called_ = false;
};

// Flags that would have no effect together with others.
Status check(const RunFlags& f) {
  const bool choice = f.tool_choice != "auto" || f.one_call;
  if (f.raw && (f.think.think || !f.tools.empty() || choice || !f.system.empty()))
    return Error{Errc::BadInput,
                 "a raw prompt is no conversation: --system, --think and --tools have no meaning",
                 "--raw"};
  if (f.show_markers &&
      (choice || (f.think.think && (f.constraint.json || !f.constraint.source().empty()))))
    return Error{Errc::BadInput,
                 "the answer is not taken apart then: no --tool-choice, no --one-call, no form of "
                 "the answer behind a thought",
                 "--show-markers"};
  return Ok{};
}

// The prompt as it is, or as a conversation whose answer is taken apart.
Result<Done> answer(const RunFlags& f, Engine& engine, Request& request, Printer& printer) {
  std::string text = f.prompt;
  if (text == "-") {
    BEZEL_TRY(text, read_file("-", kMaxPromptBytes));
  }
  if (f.raw) {
    request.prompt = engine.raw_prompt(text, f.markers);
    return engine.generate(request, std::ref(printer));
  }
  std::vector<Turn> turns;
  if (!f.system.empty()) turns.push_back({"system", f.system});
  turns.push_back({"user", std::move(text)});
  Talk talk;
  f.think.apply(talk);
  if (!f.tools.empty()) {
    BEZEL_TRY(talk.tools, read_tools(f.tools));
  }
  talk.parallel = !f.one_call;
  if (f.tool_choice == "none") {
    talk.calls = Talk::Calls::None;
  } else if (f.tool_choice != "auto") {
    talk.calls = Talk::Calls::Required;
    if (f.tool_choice != "required") talk.allowed = {f.tool_choice};
  }
  if (f.show_markers) {
    BEZEL_TRY(request.prompt, engine.chat_prompt(turns, talk));
    return engine.generate(request, std::ref(printer));
  }
  BEZEL_TRY(Reply reply, engine.reply(turns, talk, request, std::ref(printer)));
  return std::move(reply.done);
}

int run(const RunFlags& f) {
  if (const Status status = check(f); !status) return fail(status.error());
  auto constraint = f.constraint.read();
  if (!constraint) return fail(constraint.error());
  auto engine = Engine::load(f.with.options);
  if (!engine) return fail(engine.error());
  const EngineInfo& info = (*engine)->info();
  if (!f.quiet) {
    note_context(info);
    if (!f.raw && !info.template_note.empty()) note("note: " + info.template_note);
  }
  auto request = f.sampling.request(**engine);
  if (!request) return fail(request.error());
  request->constraint = *std::move(constraint);
  request->logprobs = f.logprobs;
  request->show_markers = f.show_markers;
  request->cancel = &InterruptGuard::flag();

  const InterruptGuard guard;
  Printer printer(f);
  auto done = answer(f, **engine, *request, printer);
  if (!done) return fail(done.error());
  printer.finish(*done);
  note_stored((*engine)->store_prefixes());
  if (f.stats) note(stats_text(*done));
  if (done->reason == DoneReason::ContextFull && !f.quiet)
    note(fmt::format("the answer stops here: the context of {} tokens is full", info.context));
  // An answer that could not be written is cancelled, too: that is no interrupt.
  const bool interrupted = InterruptGuard::flag().load();
  return done->reason == DoneReason::Cancelled && interrupted ? kInterrupted : kDone;
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto f = std::make_shared<RunFlags>();
  CLI::App* c = app.add_subcommand("run", "Answer one prompt on standard output");
  c->footer(
      "The answer is streamed to standard output; everything else goes to standard error.\n"
      "Ctrl-C stops the answer (exit status 130).\n\n"
      "Examples:\n"
      "  bezel run model.gguf \"Name three rivers in Asia.\" --seed 1\n"
      "  bezel run model.gguf - < letter.txt\n"
      "  bezel run model.gguf --think --tools tools.json \"Is it raining in Oslo?\"\n"
      "  bezel run model.gguf --schema person.json \"Invent a person.\"\n"
      "  bezel run base-model.gguf --raw -n 100 \"Once upon a time\"\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  c->add_option("PROMPT", f->prompt, "the prompt, or - to read it from standard input")
      ->required()
      ->type_name("");
  c->add_flag("--raw", f->raw, "no chat template: the model goes on with the text itself");
  c->add_flag("--markers", f->markers, "with --raw: control tokens written in the prompt count");
  c->add_flag("--show-markers", f->show_markers, "show control tokens in the answer");
  c->add_option("--system", f->system, "system text")->type_name("TEXT");
  f->think.add(*c);
  c->add_option("--tools", f->tools,
                "tools the model may call (JSON, as OpenAI's chat API has them); calls are printed")
      ->type_name("FILE");
  c->add_option("--tool-choice", f->tool_choice,
                "auto, none, required, or the name of the tool to call")
      ->type_name("WHICH");
  c->add_flag("--one-call", f->one_call, "at most one call");
  c->add_flag("--jsonl", f->jsonl, "one JSON object a token, and one at the end");
  c->add_option("--logprobs", f->logprobs,
                "with --jsonl: log-probabilities, and those of the N best")
      ->type_name("N")
      ->check(range(0, 1000));
  c->add_flag(
      "--no-lookup", [f](std::int64_t) { f->with.options.lookup = false; },
      "do not try ids that stood in the text before (same answer, other speed)");
  c->add_flag("--stats", f->stats, "speed on standard error at the end");
  c->add_flag("-q,--quiet", f->quiet, "no notes on standard error");
  f->constraint.add(*c);
  f->sampling.add(*c);
  f->with.add(*c);
  f->with.add_cache(*c);
  c->callback([f, &action] { action = [f] { return run(*f); }; });
}

}  // namespace bezel::app
