// bezel serve: models over HTTP, for many clients at once.
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

#include "base/file.h"
#include "bezel/service.h"
#include "common.h"
#include "server/front.h"
#include "server/models/loader.h"

namespace bezel::app {

namespace {

struct ServeFlags {
  ModelFlags with;
  std::string host = "127.0.0.1", key_file, name, cert, tls_key;
  std::string asked;  // MODEL, where it was a name
  int port = 8080, parallel = 4, queue = 64, grace = 10, keep_alive = 300;
  bool no_auth = false, only = false;
  const CLI::Option* offline = nullptr;
  std::string chats;  // a file, "off", or empty for the usual place
};

// The key that clients must send; empty: none.
Result<std::string> read_key(const ServeFlags& f) {
  std::string key;
  if (!f.key_file.empty()) {
    BEZEL_TRY(key, read_file(f.key_file, 4096));
    while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
    if (key.empty()) return Error{Errc::BadInput, "the file with the API key is empty", f.key_file};
  } else if (const char* from = std::getenv("BEZEL_API_KEY"); from != nullptr) {
    key = from;
  }
  if (key.empty() && !f.no_auth && !is_loopback(f.host))
    return Error{Errc::BadInput,
                 fmt::format("at {} other machines can reach this server: give an API key with "
                             "--api-key-file or BEZEL_API_KEY, or say --no-auth",
                             f.host),
                 ""};
  if (f.no_auth) key.clear();
  return key;
}

// Where chats are kept unless --chats says otherwise; empty: there is no home.
std::string usual_chats() {
  const char* data = std::getenv("XDG_DATA_HOME");
  const char* home = std::getenv("HOME");
  if (data != nullptr && data[0] == '/') return fmt::format("{}/bezel/chats.db", data);
  return home == nullptr || home[0] != '/' ? ""
                                           : fmt::format("{}/.local/share/bezel/chats.db", home);
}

// Null: chats are not saved. Only a file that was asked for must be there.
Result<std::unique_ptr<ChatStore>> open_chats(const ServeFlags& f) {
  if (f.chats == "off") return std::unique_ptr<ChatStore>();
  const std::string path = f.chats.empty() ? usual_chats() : f.chats;
  if (f.chats.empty() && !path.empty()) {
    std::error_code ignored;  // opening says what is wrong
    const auto folder = std::filesystem::path(path).parent_path();
    if (std::filesystem::create_directories(folder, ignored))
      std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
  }
  auto chats = path.empty() ? Error{Errc::NotFound, "there is no HOME to keep chats in", ""}
                            : ChatStore::open(path);
  if (chats || !f.chats.empty()) return chats;
  note("note: chats are not saved: " + chats.error().text());
  return std::unique_ptr<ChatStore>();
}

std::string name_of(const ServeFlags& f) {
  if (!f.name.empty()) return f.name;
  if (!f.asked.empty() || f.with.options.model_path.empty()) return one_line(f.asked);
  const std::filesystem::path path(f.with.options.model_path);
  const std::string stem =
      path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
  return one_line(stem.empty() ? path.parent_path().filename().string() : stem);
}

// What goes on, on standard error: one line kept up to date on a terminal, else one every ten
// seconds in which something happened. Any thread.
class LoadLine {
 public:
  // Another line, above it.
  void say(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(open_, false)) std::fputs("\r\x1b[K", stderr);
    note(text);
  }
  void show(const ServiceLoad& now) {
    const std::lock_guard lock(mutex_);
    const bool busy = now.running + now.waiting > 0;
    const std::uint64_t done = now.requests - static_cast<std::uint64_t>(now.running + now.waiting);
    const std::string line = fmt::format(
        "{} running, {} waiting; {} done, {} refused; {} tokens read ({} reused), {} written",
        now.running, now.waiting, done, now.refused, now.prompt_tokens, now.reused_tokens,
        now.answer_tokens);
    ++since_;
    if (line == last_ && !(busy && terminal_)) return;
    if (!terminal_ && since_ < 10) return;
    since_ = 0;
    last_ = line;
    std::fprintf(stderr, terminal_ ? "\r%s\x1b[K" : "%s\n", line.c_str());
    open_ = terminal_;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(open_, false)) std::fputc('\n', stderr);
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1, open_ = false;
  int since_ = 0;
  std::string last_;
  std::mutex mutex_;
};

// SIGINT and SIGTERM are waited for, not handled; threads that start later inherit that.
sigset_t block_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGINT);
  ::sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return set;
}

// Null: MODEL and no other.
Result<std::unique_ptr<ModelStore>> open_store(const ServeFlags& f) {
  if (!f.only) return ModelStore::open({.offline = f.offline->count() > 0});
  if (f.with.options.model_path.empty())
    return Error{Errc::BadInput, "--only needs a MODEL to serve", ""};
  return std::unique_ptr<ModelStore>();
}

LoaderOptions loader_options(const ServeFlags& f, ModelStore* store, LoadLine& line) {
  LoaderOptions o;
  o.service.engine = f.with.options;
  o.service.engine.sequences = f.parallel;
  o.service.queue = f.queue;
  o.waiting = f.parallel + f.queue;
  o.first = name_of(f);
  o.store = store;
  o.keep_alive = std::chrono::seconds(f.keep_alive);
  o.stored = note_stored;
  o.told = [&line](const std::string& name, const EngineInfo* info) {
    if (info == nullptr) return line.say(fmt::format("{} is let go", one_line(name)));
    line.say(fmt::format("{} is loaded", one_line(name)));
    if (!info->template_note.empty()) note("note: " + info->template_note);
    note_context(*info);
  };
  return o;
}

// Where it can be reached, on standard output.
void say_address(const ServeFlags& f, const Front& front, const std::optional<LoadedModel>& first,
                 bool with_key) {
  const bool v6 = f.host.find(':') != std::string::npos;
  const std::string at = fmt::format("http{}://{}{}{}:{}", f.cert.empty() ? "" : "s", v6 ? "[" : "",
                                     f.host, v6 ? "]" : "", front.port());
  const char* key = with_key ? ", with an API key" : "";
  if (first) {
    const EngineInfo& info = first->service->engine().info();
    if (!info.template_note.empty()) note("note: " + info.template_note);
    note_context(info);
    output().write(fmt::format("{} at {} ({} at a time, {} tokens each{})\n", first->name, at,
                               info.sequences, info.context, key));
  } else {
    output().write(
        fmt::format("models by name at {} ({} answers at a time{})\n", at, f.parallel, key));
  }
  output().flush();
}

int serve(const ServeFlags& f) {
  const auto key = read_key(f);
  if (!key) return fail(key.error());
  const auto chats = open_chats(f);
  if (!chats) return fail(chats.error());
  const auto store = open_store(f);
  if (!store) return fail(store.error());
  FrontOptions front_options;
  front_options.http.host = f.host;
  front_options.http.port = static_cast<std::uint16_t>(f.port);
  front_options.http.cert = f.cert;
  front_options.http.key = f.tls_key;
  front_options.api_key = *key;
  front_options.model = name_of(f);
  front_options.model_path = f.with.options.model_path;
  front_options.chats = chats->get();
  front_options.store = store->get();
  const sigset_t signals = block_signals();
  // Before the model, which may take minutes.
  auto server = http::Server::open(front_options.http);
  if (!server) return fail(server.error());
  LoadLine line;
  auto loader = Loader::start(loader_options(f, store->get(), line));
  if (!loader) return fail(loader.error());
  auto front = Front::start(**loader, front_options, *std::move(server));
  if (!front) return fail(front.error());
  say_address(f, **front, (*loader)->loaded(), !key->empty());

  const timespec second = {1, 0};
  while (::sigtimedwait(&signals, nullptr, &second) < 0) line.show((*loader)->load());
  line.end();
  note(fmt::format("stopping; answers under way have {} seconds", f.grace));
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second one ends the program at once
  (*front)->stop(std::chrono::seconds(f.grace));
  (*loader)->stop();  // before the front: its answers hold connections
  return kDone;
}

}  // namespace

void add_serve(CLI::App& app, Action& action) {
  auto f = std::make_shared<ServeFlags>();
  CLI::App* c = app.add_subcommand(
      "serve",
      "Serve models over HTTP: OpenAI's, Anthropic's and Ollama's APIs, and a page to chat");
  c->footer(
      "Other models on this machine are loaded when a request names them, one at a time. Without\n"
      "MODEL nothing is loaded until then.\n"
      "It answers to this machine alone unless --host says otherwise; then an API key is needed.\n"
      "Ctrl-C or SIGTERM ends it.\n\n"
      "Examples:\n"
      "  bezel serve e2b\n"
      "  bezel serve model.gguf --port 9000 --parallel 8 --ctx 8192\n"
      "  BEZEL_API_KEY=... bezel serve model.gguf --host 0.0.0.0\n");
  add_model(*c, "MODEL", f->with.options.model_path,
            "the model that answers unless another is named: a file, a folder, or a name",
            &f->asked)
      ->type_name("");
  f->offline = c->get_option("--offline");
  c->add_flag("--only", f->only, "MODEL alone: no other is loaded, fetched or removed");
  c->add_option("--keep-alive", f->keep_alive,
                "seconds that a model loaded by name stays unused (default 300; -1: for ever)")
      ->check(range(-1, 1 << 30))
      ->type_name("S");
  c->add_option("--host", f->host, "address to listen at (default 127.0.0.1)")->type_name("NAME");
  c->add_option("--port", f->port, "port (default 8080; 0: any free one)")
      ->check(range(0, 65535))
      ->type_name("N");
  c->add_option("--api-key-file", f->key_file, "file with the key clients must send")
      ->type_name("FILE");
  c->add_option("--cert", f->cert, "speak TLS: the certificate, and those that signed it (PEM)")
      ->type_name("FILE");
  c->add_option("--key", f->tls_key, "the certificate's private key (PEM, without a password)")
      ->type_name("FILE");
  c->add_flag("--no-auth", f->no_auth, "no key, also where other machines can reach this");
  c->add_option("--name", f->name, "the model's name for clients (default: the file's)")
      ->type_name("NAME");
  c->add_option("--chats", f->chats,
                "file for the page's chats, or off (default ~/.local/share/bezel/chats.db)")
      ->type_name("FILE");
  c->add_option("--parallel", f->parallel, "answers at the same time (default 4)")
      ->check(range(1, 256))
      ->type_name("N");
  c->add_option("--queue", f->queue, "requests that may wait beside them (default 64)")
      ->check(range(0, 65536))
      ->type_name("N");
  c->add_option("--grace", f->grace, "seconds for answers under way at the end (default 10)")
      ->check(range(0, 86400))
      ->type_name("S");
  f->with.add(*c);
  f->with.add_cache(*c);
  c->callback([f, &action] { action = [f] { return serve(*f); }; });
}

}  // namespace bezel::app
