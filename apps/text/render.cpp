// bezel render: a conversation as the prompt that the model reads.
#include "text/chat/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "input.h"
#include "text/prompt.h"

namespace bezel::app {

namespace {

struct RenderFlags {
  std::string path, style;
  bool cured = false, ids = false, jsonl = false;
};

struct Renderer {
  PromptStyle style = PromptStyle::Gemma4Large;
  std::unique_ptr<Tokenizer> tokenizer;  // only for a model
};

Result<Renderer> open_renderer(const RenderFlags& f) {
  Renderer r;
  if (f.path.empty() && f.style.empty())
    return Error{Errc::BadInput, "name a MODEL or a template with --template", ""};
  if (f.path.empty() && f.ids) return Error{Errc::BadInput, "--ids needs a MODEL", ""};
  if (!f.path.empty()) {
    BEZEL_TRY(OpenTokenizer opened, open_tokenizer(f.path, true));
    const auto& tensors = opened.file.tensors;
    const bool per_layer = std::any_of(tensors.begin(), tensors.end(), [](const Tensor& t) {
      return t.name.find("per_layer_token_embd") != std::string::npos ||
             t.name.find("embed_tokens_per_layer") != std::string::npos;
    });
    const StyleChoice choice =
        choose_style(*opened.tokenizer, opened.file.chat_template, per_layer);
    if (!choice.warning.empty() && f.style.empty()) note(choice.warning);
    r.style = choice.style;
    r.tokenizer = std::move(opened.tokenizer);
  }
  if (f.style == "large") r.style = PromptStyle::Gemma4Large;
  if (f.style == "small") r.style = PromptStyle::Gemma4Small;
  if (f.style == "gemma3") r.style = PromptStyle::Gemma3;
  return r;
}

Result<chat::Pieces> rendered(const RenderFlags& f, const Renderer& r, std::string_view text,
                              const std::string& where) {
  BEZEL_TRY(Json request, parse_json(text, where));
  const JsonGuard guard(request);
  BEZEL_TRY(chat::Conversation conversation, chat::conversation_from(request));
  if (f.cured) {
    BEZEL_TRY(conversation, chat::cured(std::move(conversation), r.style));
  }
  return chat::render(conversation, r.style);
}

// One line: {"prompt": ...}, {"ids": [...]} or {"error": ...}.
std::string answer_line(const RenderFlags& f, const Renderer& r, std::string_view line,
                        const std::string& where) {
  const auto answer = [&]() -> Result<Json> {
    BEZEL_TRY(const chat::Pieces prompt, rendered(f, r, line, where));
    if (!f.ids) return Json{{"prompt", prompt.joined()}};
    BEZEL_TRY(const auto ids, prompt.ids(*r.tokenizer));
    return Json{{"ids", ids}};
  }();
  return dump_json(answer ? *answer : Json{{"error", answer.error().text()}});
}

int render(const RenderFlags& f) {
  auto opened = open_renderer(f);
  if (!opened) return fail(opened.error());
  const Renderer& r = *opened;
  if (f.jsonl)
    return for_each_line([&](std::string_view line, const std::string& where) {
      return output().write(answer_line(f, r, line, where) + "\n") ? int{kDone} : int{kFailed};
    });
  auto input = read_file("-", kMaxInputBytes);
  if (!input) return fail(input.error());
  auto prompt = rendered(f, r, *input, "standard input");
  if (!prompt) return fail(prompt.error());
  if (!f.ids) {
    output().write(prompt->joined());
    return kDone;
  }
  auto ids = prompt->ids(*r.tokenizer);
  if (!ids) return fail(ids.error());
  output().write(fmt::format("{}\n", fmt::join(*ids, " ")));
  return kDone;
}

}  // namespace

void add_render(CLI::App& app, Action& action) {
  auto f = std::make_shared<RenderFlags>();
  CLI::App* c = app.add_subcommand("render", "A conversation as the prompt the model reads");
  c->footer(
      "Standard input is {\"messages\": [...], \"tools\": [...], \"add_generation_prompt\": true,\n"
      "\"kwargs\": {\"enable_thinking\": true, \"preserve_thinking\": false}} with messages and "
      "tools as\n"
      "OpenAI's chat API has them. Without --cured the prompt is that of Google's template, with "
      "its\n"
      "defects and errors; --cured is what `bezel run` and `bezel chat` use. With --jsonl every "
      "line is\n"
      "a request, and its answer {\"prompt\": ...}, {\"ids\": [...]} or {\"error\": ...}.\n\n"
      "Examples:\n"
      "  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}' | bezel render --template "
      "small\n"
      "  bezel render model.gguf --cured --ids < request.json\n");
  add_model(*c, "MODEL", f->path, "model (file, folder or name), or a tokenizer.json")
      ->type_name("");
  c->add_option("--template", f->style, "large, small or gemma3; else the model's")
      ->type_name("NAME")
      ->check(CLI::IsMember(std::vector<std::string>{"large", "small", "gemma3"}));
  c->add_flag("--cured", f->cured, "without the template's defects");
  c->add_flag("--ids", f->ids, "token ids; needs MODEL");
  c->add_flag("--jsonl", f->jsonl, "a request a line");
  c->callback([f, &action] { action = [f] { return render(*f); }; });
}

}  // namespace bezel::app
