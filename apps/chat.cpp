// bezel chat: a conversation in the terminal, or with a script on standard input.
#include "bezel/chat.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "common.h"
#include "talk.h"

namespace bezel::app {

namespace {

constexpr const char* kHelp =
    "/help          this list\n"
    "/clear         forget the conversation, keep the system text\n"
    "/system [TEXT] show the system text, or set it (- : none)\n"
    "/save FILE     write the conversation to a file\n"
    "/load FILE     go on with a saved conversation\n"
    "/stats         tokens, speed and memory\n"
    "/compact       replace the conversation by a summary that the model writes\n"
    "/think on|off  whether the model thinks before it answers\n"
    "/tools         the tools the model may call\n"
    "/quit          end, as does Ctrl-D\n"
    "A line that ends in \\ goes on in the next; \"\"\" begins and ends a text of several lines.\n"
    "Ctrl-C stops an answer.";

struct ChatFlags {
  std::string system, load;
  ModelFlags with;
  SamplingFlags sampling;
  ThinkFlags think;
  ToolFlags tools;
};

enum class Read { Line, End, Interrupted };

// Lines of standard input; on a terminal with a prompt. Ctrl-C at the prompt drops the line.
class Input {
 public:
  Input() : terminal_(::isatty(STDIN_FILENO) == 1) {}
  bool terminal() const { return terminal_; }

  // A line in answer to a question; empty when there is none. Only on a terminal.
  std::string answer(const std::string& question) {
    std::string line;
    return terminal_ && read_line(line, question.c_str()) == Read::Line ? line : "";
  }

  // What the person says next: a line, lines joined by a trailing \, or a """ block.
  Read next(std::string& text) {
    text.clear();
    std::string line;
    if (const Read r = read_line(line, "> "); r != Read::Line) return r;
    if (line.rfind("\"\"\"", 0) == 0) return block(line.substr(3), text);
    while (!line.empty() && line.back() == '\\') {
      line.pop_back();
      text += line + "\n";
      const Read r = read_line(line, ". ");
      if (r == Read::Interrupted) return r;
      if (r == Read::End) return Read::Line;
    }
    text += line;
    return Read::Line;
  }

 private:
  Read block(std::string line, std::string& text) {
    while (true) {
      if (const std::size_t end = line.find("\"\"\""); end != std::string::npos) {
        text += line.substr(0, end);
        return Read::Line;
      }
      if (!text.empty() || !line.empty()) text += line + "\n";
      const Read r = read_line(line, ". ");
      if (r == Read::Interrupted) return r;
      if (r == Read::End) return Read::Line;
    }
  }

  Read read_line(std::string& line, const char* prompt) {
    if (terminal_) {
      std::fputs(prompt, stderr);
      std::fflush(stderr);
    }
    while (true) {
      if (const std::size_t end = buffer_.find('\n'); end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Read::Line;
      }
      char bytes[4096];
      const ssize_t n = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (n < 0 && errno == EINTR) {
        if (!InterruptGuard::flag().load()) continue;
        InterruptGuard::clear();
        buffer_.clear();
        return Read::Interrupted;
      }
      if (n <= 0) break;
      buffer_.append(bytes, static_cast<std::size_t>(n));
    }
    if (buffer_.empty()) return Read::End;
    line = std::move(buffer_);
    buffer_.clear();
    return Read::Line;
  }

  bool terminal_;
  std::string buffer_;
};

class Session {
 public:
  Session(Engine& engine, Request rules, Input& input, ToolBox& tools, bool allow_tools)
      : engine_(engine),
        chat_(engine),
        rules_(std::move(rules)),
        input_(input),
        tools_(tools),
        allow_tools_(allow_tools) {
    if (!tools.empty()) chat_.talk().tools = tools.declarations();
  }

  Chat& chat() { return chat_; }
  bool failed() const { return failed_; }

  // False ends the chat.
  bool handle(const std::string& text) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) return true;
    if (text[0] == '/') return command(text);
    ask(text);
    return output().flush();
  }

 private:
  bool command(const std::string& text) {
    const std::size_t space = text.find_first_of(" \t");
    const std::string name = text.substr(0, space);
    std::string rest = space == std::string::npos ? "" : text.substr(space + 1);
    while (!rest.empty() && (rest.back() == ' ' || rest.back() == '\r')) rest.pop_back();
    if (name == "/quit" || name == "/exit") return false;
    if (name == "/help") {
      note(kHelp);
    } else if (name == "/clear") {
      chat_.clear();
      note("The conversation is forgotten.");
    } else if (name == "/system") {
      set_system(rest);
    } else if (name == "/save" || name == "/load") {
      file_command(name == "/save", rest);
    } else if (name == "/stats") {
      stats();
    } else if (name == "/compact") {
      compact();
    } else if (name == "/think") {
      think(rest);
    } else if (name == "/tools") {
      note(tools_.empty() ? "There are no tools; --builtin-tools, --folder and --mcp give some."
                          : fmt::format("{}", fmt::join(tools_.names(), "\n")));
    } else {
      complain({Errc::BadInput, fmt::format("there is no command {}; /help lists them", name), ""});
    }
    return true;
  }

  void set_system(const std::string& text) {
    if (!text.empty()) chat_.set_system(text == "-" ? "" : text);
    note(chat_.system().empty() ? "There is no system text." : "System text: " + chat_.system());
  }

  void think(const std::string& how) {
    if (!how.empty() && how != "on" && how != "off")
      return complain({Errc::BadInput, "say /think on or /think off", ""});
    if (!how.empty()) chat_.talk().think = how == "on";
    note(chat_.talk().think ? "The model thinks before it answers." : "The model answers at once.");
  }

  void file_command(bool save, const std::string& path) {
    if (path.empty()) return complain({Errc::BadInput, "a file name is missing", ""});
    const Status status = save ? chat_.save(path) : chat_.load(path);
    if (!status) return complain(status.error());
    note(fmt::format("{} {} ({} turns).", save ? "Saved" : "Loaded", path, chat_.turns().size()));
  }

  bool print(const Event& event) {
    if (const auto* read = std::get_if<PromptProgress>(&event)) {
      if (!bar_ && read->done < read->total)
        bar_ = std::make_unique<Progress>("reading", "tokens",
                                          static_cast<std::uint64_t>(read->total));
      if (bar_) bar_->update(static_cast<std::uint64_t>(read->done));
      return true;
    }
    bar_.reset();
    if (const auto* thought = std::get_if<ThoughtPiece>(&event)) {
      thoughts_.write(thought->text);
      return true;
    }
    thoughts_.end();
    if (const auto* piece = std::get_if<TextPiece>(&event)) output().write(piece->text);
    return output().flush();
  }

  // Shows a call, and makes it when it is allowed.
  Result<std::string> call(const ToolCall& call) {
    output().flush();
    const std::string what = one_line(fmt::format("{}{}", call.name, call.arguments));
    const Error refused{Errc::Cancelled, "the user did not allow this call", ""};
    if (allow_tools_) {
      note("[calls " + what + "]");
    } else {
      const std::string said =
          input_.answer(fmt::format("[the model wants to call {}: y(es), a(lways), n(o)] ", what));
      if (said == "a" || said == "always") allow_tools_ = true;
      if (!allow_tools_ && said != "y" && said != "yes") {
        note("[not called: " + what + "]");
        return refused;
      }
    }
    Result<std::string> result = tools_.call(call, &InterruptGuard::flag());
    if (!result) note("[" + one_line(result.error().text()) + "]");
    return result;
  }

  void ask(const std::string& text) {
    InterruptGuard::clear();
    Chat::CallTool call_tool;
    if (!tools_.empty()) call_tool = [this](const ToolCall& c) { return call(c); };
    auto done = chat_.ask(
        text, rules_, [this](const Event& e) { return print(e); }, call_tool);
    bar_.reset();
    thoughts_.end();
    InterruptGuard::clear();
    if (!done) {
      const bool long_chat = done.error().code == Errc::TooLarge && !chat_.turns().empty();
      complain(done.error());
      if (long_chat) note("/compact or /clear make room.");
      return;
    }
    output().write("\n");
    last_ = *done;
    if (done->reason == DoneReason::Cancelled) note("[stopped]");
    if (done->reason == DoneReason::ContextFull)
      note("[the context is full: the answer stops here]");
    if (done->reason == DoneReason::MaxTokens) note("[the longest answer allowed by --max-tokens]");
    tokens_left();
  }

  void tokens_left() {
    const auto used = chat_.used_tokens();
    if (!used) return complain(used.error());
    const int context = engine_.info().context;
    note(fmt::format("[{} of {} tokens used, {} left]", *used, context,
                     std::max(0, context - *used)));
  }

  void stats() {
    tokens_left();
    const EngineInfo& i = engine_.info();
    note(fmt::format("model {} {}, kernels {}, {} threads, {} beside the mapped {}", i.family,
                     i.variant, i.isa, i.threads, size_text(i.memory.anonymous()),
                     size_text(i.memory.mapped)));
    if (!last_) return;
    const auto rate = [](double n, double s) { return s > 0 ? n / s : 0; };
    note(fmt::format(
        "last prompt {} tokens ({} reused), {:.1f} tok/s; answer {} tokens, {:.1f} tok/s",
        last_->prompt_tokens, last_->reused_tokens,
        rate(last_->prompt_tokens - last_->reused_tokens, last_->prompt_seconds), last_->ids.size(),
        rate(static_cast<double>(last_->ids.size()), last_->answer_seconds)));
  }

  void compact() {
    InterruptGuard::clear();
    const auto result = chat_.compact(rules_, [this](const Event& e) { return print(e); });
    bar_.reset();
    thoughts_.end();
    InterruptGuard::clear();
    output().write("\n");
    output().flush();
    if (!result) return complain(result.error());
    if (result->dropped > 0)
      note(fmt::format("[the {} oldest exchanges were too long to be summarised and are left out]",
                       result->dropped));
    note(fmt::format("[compacted from {} to {} tokens]", result->before, result->after));
  }

  void complain(const Error& error) {
    fail(error);
    failed_ = failed_ || !input_.terminal();  // on a terminal the person has seen it
  }

  Engine& engine_;
  Chat chat_;
  Request rules_;
  Input& input_;
  ToolBox& tools_;
  bool allow_tools_;
  ThoughtPrinter thoughts_;
  bool failed_ = false;
  std::optional<Done> last_;
  std::unique_ptr<Progress> bar_;
};

int chat(const ChatFlags& f) {
  auto engine = Engine::load(f.with.options);
  if (!engine) return fail(engine.error());
  auto rules = f.sampling.request(**engine);
  if (!rules) return fail(rules.error());
  rules->cancel = &InterruptGuard::flag();
  auto tools = f.tools.open();
  if (!tools) return fail(tools.error());
  Input input;
  Session session(**engine, *std::move(rules), input, *tools, f.tools.allow);
  f.think.apply(session.chat().talk());
  session.chat().set_system(f.system);
  if (!f.load.empty())
    if (const Status status = session.chat().load(f.load); !status) return fail(status.error());
  note_context((*engine)->info());
  if (!(*engine)->info().template_note.empty()) note("note: " + (*engine)->info().template_note);
  if (input.terminal()) note("/help lists the commands, Ctrl-D ends.");

  const InterruptGuard guard;
  std::string text;
  while (true) {
    const Read read = input.next(text);
    if (read == Read::End) break;
    if (read == Read::Interrupted) {
      note("\n(Ctrl-D or /quit ends the chat)");
      continue;
    }
    if (!session.handle(text)) break;
  }
  note_stored((*engine)->store_prefixes());
  return session.failed() ? kFailed : kDone;
}

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto f = std::make_shared<ChatFlags>();
  CLI::App* c = app.add_subcommand("chat", "Talk with a model in the terminal");
  c->footer(std::string("In the chat:\n") + kHelp +
            "\n\nExamples:\n"
            "  bezel chat model.gguf\n"
            "  bezel chat model.gguf --think --builtin-tools --folder ~/notes\n"
            "  bezel chat model.gguf --mcp \"npx -y @modelcontextprotocol/server-time\"\n"
            "  bezel chat model.gguf --system \"Answer in French.\" --temp 0.7 --ctx 16384\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  c->add_option("--system", f->system, "system text")->type_name("TEXT");
  c->add_option("--load", f->load, "go on with a saved conversation")->type_name("FILE");
  f->think.add(*c);
  f->tools.add(*c);
  f->sampling.add(*c);
  f->with.add(*c);
  f->with.add_cache(*c);
  c->callback([f, &action] { action = [f] { return chat(*f); }; });
}

}  // namespace bezel::app
