#include "text/constrain/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "text/schema/machine/machine.h"

namespace bezel::constrain {

namespace {

struct Tool {
  std::string head;  // "call:NAME"
  std::shared_ptr<const schema::Program> arguments;
};

struct Parts {
  AnswerRules::Thought thought = AnswerRules::Thought::No;
  AnswerRules::Calls calls = AnswerRules::Calls::None;
  LanguagePtr content;
  std::vector<Tool> tools;
  bool parallel = true;
};

// A thread is a stage, and within it a tool and a place: in its head, or a state of an automaton.
class AnswerMachine final : public Automaton {
 public:
  explicit AnswerMachine(std::shared_ptr<const Parts> parts)
      : parts_(std::move(parts)), arguments_(parts_->tools.size()) {
    if (parts_->content) content_ = parts_->content->automaton();
  }
  bool tracks(State state) const override { return any_of(state, kContent); }

 protected:
  enum Stage : std::uint8_t { kStart, kThought, kText, kContent, kHead, kArguments, kAfter };

  Thread first() override {
    return thread_of({parts_->thought == AnswerRules::Thought::Open ? kThought : kStart, 0, 0});
  }

  void step(Thread thread, std::uint8_t byte, std::vector<Thread>& out) override {
    const Place p = places_[thread];
    switch (p.stage) {
      case kStart:
        start(byte, out);
        break;
      case kThought:
        if (byte < 0xF8) out.push_back(thread);
        if (byte == kThoughtEndMark) out.push_back(thread_of({kBody, 0, 0}));
        break;
      case kText:
        if (byte < 0xF8) out.push_back(thread);
        if (byte == kCallMark) open_call(out);
        break;
      case kContent:
        if (const State to = content_->next(p.at, byte); to != kDead)
          out.push_back(thread_of({kContent, 0, to}));
        break;
      case kHead:
        head(p, byte, out);
        break;
      case kArguments: {
        const State to = arguments_[p.tool]->next(p.at, byte);
        if (to == kDead) break;
        out.push_back(thread_of({kArguments, p.tool, to}));
        break;
      }
      case kAfter:
        if (byte == kCallMark && parts_->parallel) open_call(out);
        break;
      default:
        body(byte, out);
        break;
    }
    if (p.stage == kArguments && byte == kCallEndMark && arguments_[p.tool]->accepts(p.at))
      out.push_back(thread_of({kAfter, 0, 0}));
  }

  Bytes may_of(Thread thread) const override {
    const Place& p = places_[thread];
    Bytes bytes{};
    if (p.stage == kContent) return content_->may(p.at);
    if (p.stage == kArguments) {
      bytes = arguments_[p.tool]->may(p.at);
      set_byte(bytes, kCallEndMark);
      return bytes;
    }
    const std::string* head = p.stage == kHead ? &parts_->tools[p.tool].head : nullptr;
    if (head == nullptr || p.at == head->size()) return kAllBytes;
    set_byte(bytes, static_cast<std::uint8_t>((*head)[p.at]));
    return bytes;
  }

  bool accepting(Thread thread) const override {
    const Place& p = places_[thread];
    const bool may_talk = parts_->calls != AnswerRules::Calls::Required;
    switch (p.stage) {
      case kText:
      case kAfter:
        return true;
      case kContent:
        return content_->accepts(p.at);
      case kStart:
      case kBody:
        return may_talk && (!content_ || content_->accepts(content_->start()));
      default:
        return false;
    }
  }

  FreeText free_of(Thread thread) const override {
    const Place& p = places_[thread];
    FreeText t;
    if (p.stage == kThought || p.stage == kText) {
      t.kind = FreeText::Kind::All;
      t.room = -1;
      t.uniform = false;
    }
    if (p.stage == kContent) t = content_->free_text(p.at);
    if (p.stage == kArguments) t = arguments_[p.tool]->free_text(p.at);
    return t;
  }
  bool waiting(Thread thread) const override {
    const Place& p = places_[thread];
    if (p.stage == kContent) return content_->waits_for_text(p.at);
    return p.stage == kArguments && arguments_[p.tool]->waits_for_text(p.at);
  }
  Thread remembered(Thread thread, const std::string& text) override {
    Place p = places_[thread];
    if (p.stage == kContent) p.at = content_->remember(p.at, text);
    if (p.stage == kArguments) p.at = arguments_[p.tool]->remember(p.at, text);
    return thread_of(p);
  }
  bool knows_key_of(Thread thread) const override {
    const Place& p = places_[thread];
    return p.stage != kContent || content_->knows_key(p.at);
  }

 private:
  static constexpr std::uint8_t kBody = 20;  // behind the thought, before anything else
  struct Place {
    std::uint8_t stage = 0;
    std::uint32_t tool = 0, at = 0;
    auto operator<=>(const Place&) const = default;  // NOLINT(modernize-use-nullptr)
  };
  Thread thread_of(const Place& p) {
    const auto [at, fresh] = threads_.try_emplace(p, static_cast<Thread>(places_.size()));
    if (fresh) places_.push_back(p);
    return at->second;
  }
  bool any_of(State state, std::uint8_t stage) const {
    bool found = false;
    for_each_thread(state, [&](Thread t) { found = found || places_[t].stage == stage; });
    return found;
  }

  void start(std::uint8_t byte, std::vector<Thread>& out) {
    if (byte == kThoughtMark && parts_->thought == AnswerRules::Thought::MayOpen)
      out.push_back(thread_of({kThought, 0, 0}));
    body(byte, out);
  }
  void body(std::uint8_t byte, std::vector<Thread>& out) {
    if (byte == kCallMark && parts_->calls != AnswerRules::Calls::None) open_call(out);
    if (parts_->calls == AnswerRules::Calls::Required) return;
    if (!content_) {
      if (byte < 0xF8) out.push_back(thread_of({kText, 0, 0}));
    } else if (const State to = content_->next(content_->start(), byte); to != kDead) {
      out.push_back(thread_of({kContent, 0, to}));
    }
  }
  void open_call(std::vector<Thread>& out) {
    if (parts_->calls == AnswerRules::Calls::None) return;
    for (std::uint32_t i = 0; i < parts_->tools.size(); ++i)
      out.push_back(thread_of({kHead, i, 0}));
  }
  void head(const Place& p, std::uint8_t byte, std::vector<Thread>& out) {
    const Tool& tool = parts_->tools[p.tool];
    if (p.at < tool.head.size()) {
      if (static_cast<std::uint8_t>(tool.head[p.at]) == byte)
        out.push_back(thread_of({kHead, p.tool, p.at + 1}));
      return;
    }
    auto& automaton = arguments_[p.tool];
    if (!automaton)
      automaton = std::make_unique<schema::Machine>(tool.arguments, schema::Surface::Gemma);
    if (const State to = automaton->next(automaton->start(), byte); to != kDead)
      out.push_back(thread_of({kArguments, p.tool, to}));
  }

  std::shared_ptr<const Parts> parts_;
  std::unique_ptr<Automaton> content_;
  std::vector<std::unique_ptr<Automaton>> arguments_;
  std::vector<Place> places_;
  std::map<Place, Thread> threads_;
};

class AnswerLanguage final : public Language {
 public:
  explicit AnswerLanguage(Parts parts) : parts_(std::make_shared<const Parts>(std::move(parts))) {}
  std::unique_ptr<Automaton> automaton() const override {
    return std::make_unique<AnswerMachine>(parts_);
  }
  bool json() const override { return parts_->content && parts_->content->json(); }

 private:
  std::shared_ptr<const Parts> parts_;
};

// The parameters as an object, which the syntax always writes.
Json object_schema(const Json& function) {
  if (!function.contains("parameters") || function["parameters"].is_null())
    return Json{{"type", "object"}, {"additionalProperties", false}};
  const Json& parameters = function["parameters"];
  if (parameters.is_object() && parameters.contains("type") && parameters["type"] == "object")
    return parameters;
  return Json{{"type", "object"}, {"allOf", Json::array({parameters})}};
}

Result<Tool> tool_of(const Json& entry) {
  const Json& function =
      entry.is_object() && entry.contains("function") ? entry["function"] : entry;
  if (!function.is_object() || !function.contains("name") || !function["name"].is_string())
    return Error{Errc::BadInput, "a tool needs a \"name\"", ""};
  const auto& name = function["name"].get_ref<const std::string&>();
  if (name.empty() || name.find_first_of("{}:\n ") != std::string::npos)
    return Error{Errc::BadInput,
                 fmt::format("the tool name \"{}\" cannot be written in a call", name), ""};
  // the whole parameters stay the root of the document, so that their references are found
  const Json schema = object_schema(function);
  auto program = schema::Program::compile(schema, true);
  if (!program)
    return Error{program.error().code, program.error().what,
                 fmt::format("{}{}{}", name, program.error().where.empty() ? "" : "#",
                             program.error().where)};
  return Tool{fmt::format("call:{}", name), *std::move(program)};
}

}  // namespace

Result<LanguagePtr> answer(const AnswerRules& rules) {
  Parts parts;
  parts.thought = rules.thought;
  parts.calls = rules.calls;
  parts.content = rules.content;
  parts.parallel = rules.parallel;
  if (rules.calls != AnswerRules::Calls::None) {
    for (const Json& entry : rules.tools) {
      BEZEL_TRY(Tool tool, tool_of(entry));
      const bool allowed =
          rules.allowed.empty() || std::find(rules.allowed.begin(), rules.allowed.end(),
                                             tool.head.substr(5)) != rules.allowed.end();
      if (allowed) parts.tools.push_back(std::move(tool));
    }
    if (parts.tools.empty() || parts.tools.size() < rules.allowed.size())
      return Error{Errc::BadInput, "a tool that may be called is not among the declared ones", ""};
  }
  return LanguagePtr(std::make_shared<AnswerLanguage>(std::move(parts)));
}

}  // namespace bezel::constrain
