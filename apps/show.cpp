// bezel show: what a model file holds and what it will need; no matrix is read.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/system.h"
#include "common.h"
#include "engine/lookup.h"
#include "engine/plan.h"
#include "formats/tensor_file.h"
#include "model/model.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace bezel::app {

namespace {

struct ShowFlags {
  ModelFlags with;
  bool tensors = false, json = false;
};

struct TypeCount {
  std::uint64_t tensors = 0, values = 0, bytes = 0;
};

// Everything that is shown, found out once for both forms.
struct Facts {
  std::string path, kind;
  std::uint64_t file_bytes = 0, values = 0;
  std::size_t parts = 0;
  std::map<DType, TypeCount> types;
  std::vector<Tensor> tensors;
  std::unique_ptr<Model> model;  // null when the file holds no model
  std::string model_problem;     // why not
  std::unique_ptr<Tokenizer> tokenizer;
  std::string tokenizer_problem;
  std::string template_note;
  std::size_t template_bytes = 0;
  GenerationDefaults generation;
  int context = 0;
  MemoryPlan memory;
};

RunShape shape_of(const ShowFlags& f, const Model& model, bool tokenizer) {
  const EngineOptions& o = f.with.options;
  RunShape shape;
  shape.chunk = std::min(o.chunk > 0 ? o.chunk : default_chunk(model.config().vocab, false),
                         o.context > 0 ? o.context : model.config().context);
  shape.max_read = std::min(1 + Pace::kLongest, shape.chunk);  // as Engine::load, with drafts
  shape.threads = o.threads > 0 ? o.threads : usable_cores();
  shape.kv = dtype_of(o.kv);
  shape.tokenizer = tokenizer;
  shape.back = tokenizer ? kKeptBack : 0;
  shape.packs = shape.floats_as_q8 = o.weights == WeightKind::Q8_0;
  return shape;
}

Status plan_into(Facts& facts, const ShowFlags& f) {
  RunShape shape = shape_of(f, *facts.model, facts.tokenizer != nullptr);
  const int wanted = f.with.options.context, most = facts.model->config().context;
  if (wanted > most)
    return Error{
        Errc::TooLarge,
        fmt::format("--ctx {} is more than the {} that the model was made for", wanted, most), ""};
  facts.context = wanted > 0
                      ? wanted
                      : fitting_context(*facts.model, shape,
                                        default_budget(free_memory_bytes(), facts.file_bytes));
  shape.chunk = std::min(shape.chunk, facts.context);
  shape.max_read = std::min(shape.max_read, shape.chunk);
  if (!shape.packs)
    shape.packs =
        packing_pays(*facts.model, f.with.options, shape, facts.context, free_memory_bytes());
  if (facts.tokenizer != nullptr)
    shape.kept = default_kept(*facts.model, shape, facts.context, free_memory_bytes());
  facts.memory = plan_memory(*facts.model, shape, facts.context);
  return Ok{};
}

Result<Facts> facts_of(const ShowFlags& f) {
  Facts facts;
  facts.path = f.with.options.model_path;
  BEZEL_TRY(TensorFile file, open_tensor_file(facts.path));
  facts.kind = file.kind == FileKind::Gguf ? "GGUF" : "safetensors";
  facts.file_bytes = file.file_bytes;
  facts.parts = file.maps.size();
  facts.tensors = file.tensors;
  facts.template_bytes = file.chat_template.size();
  facts.generation = generation_defaults(file);
  for (const Tensor& t : file.tensors) {
    TypeCount& count = facts.types[t.type];
    ++count.tensors;
    count.values += static_cast<std::uint64_t>(t.n_values());
    count.bytes += t.data.size();
    facts.values += static_cast<std::uint64_t>(t.n_values());
  }
  auto tokenizer = Tokenizer::load(file);
  const std::string chat_template = file.chat_template;
  if (tokenizer) {
    facts.tokenizer = *std::move(tokenizer);
  } else {
    facts.tokenizer_problem = tokenizer.error().text();
  }
  auto model = Model::load(std::move(file));
  if (!model) {
    facts.model_problem = model.error().text();
    return facts;
  }
  facts.model = *std::move(model);
  if (facts.tokenizer)
    facts.template_note =
        choose_style(*facts.tokenizer, chat_template, facts.model->config().ple_dim > 0).warning;
  BEZEL_DO(plan_into(facts, f));
  return facts;
}

// ---- as a table

void line(std::string_view name, const std::string& value) {
  output().write(fmt::format("{:<12} {}\n", name, value));
}

// "22 sliding (window 512, 8 heads of 256, 1 for K/V), 5 global (...)".
std::string layers_text(const Config& c) {
  std::string out = fmt::format("{}:", c.n_layers());
  for (const bool sliding : {true, false}) {
    const LayerConfig* example = nullptr;
    int n = 0;
    for (const LayerConfig& l : c.layers)
      if (l.sliding == sliding) {
        ++n;
        if (example == nullptr) example = &l;
      }
    if (example == nullptr) continue;
    const AttnShape& a = example->attn;
    out += fmt::format("{} {} {}({} heads of {}, {} for keys and values)",
                       out.back() == ':' ? "" : ",", n,
                       sliding ? fmt::format("sliding, window {} ", a.window) : "global ",
                       a.heads_q, a.head_dim, a.heads_kv);
  }
  return out;
}

int borrowing_layers(const Config& c) {
  int n = 0;
  for (int i = 0; i < c.n_layers(); ++i)
    n += c.layers[static_cast<std::size_t>(i)].kv_from != i ? 1 : 0;
  return n;
}

void print_model(const Facts& facts) {
  const Config& c = facts.model->config();
  line("model",
       fmt::format("{} {}, made for {} tokens of context", c.family, c.variant, c.context));
  line("layers", layers_text(c));
  if (const int n = borrowing_layers(c); n > 0)
    line("", fmt::format("{} of them read the keys and values of earlier ones", n));
  int least = c.layers[0].ffn_dim, most = least;
  for (const LayerConfig& l : c.layers) {
    least = std::min(least, l.ffn_dim);
    most = std::max(most, l.ffn_dim);
  }
  line("widths",
       fmt::format("{} model, {} feed-forward, {} vocabulary{}", c.width,
                   least == most ? fmt::format("{}", most) : fmt::format("{} to {}", least, most),
                   c.vocab, c.ple_dim > 0 ? fmt::format(", {} per layer", c.ple_dim) : ""));
  if (c.experts > 0)
    line("experts",
         fmt::format("{}, {} used for a token, width {}", c.experts, c.experts_used, c.expert_dim));
  line("sampling", fmt::format("temperature {}, top-k {}, top-p {}", facts.generation.temperature,
                               facts.generation.top_k, facts.generation.top_p));
}

void print_text_facts(const Facts& facts) {
  if (facts.tokenizer) {
    const Tokenizer& t = *facts.tokenizer;
    line("tokenizer", fmt::format("{}, {} pieces, {} merges, bos {}, eos {}", t.kind(),
                                  t.vocab_size(), t.n_merges(), t.bos(), t.eos()));
  } else {
    line("tokenizer", "none: " + facts.tokenizer_problem);
  }
  std::string chat =
      facts.template_bytes > 0 ? fmt::format("{} bytes", facts.template_bytes) : "none";
  if (!facts.template_note.empty()) chat += "; " + facts.template_note;
  line("template", chat);
}

void print_memory(const Facts& facts) {
  const MemoryPlan& m = facts.memory;
  line("memory", fmt::format("for a context of {} tokens:", facts.context));
  line("", fmt::format("{:>12}  mapped: the files as they lie, shared and reclaimable",
                       size_text(m.mapped)));
  line("", fmt::format("{:>12}  keys and values of a full context", size_text(m.sequence)));
  line("", fmt::format("{:>12}  kept prefixes beside that; a window of sliding layers takes {}",
                       size_text(m.kv - m.sequence), size_text(m.window)));
  line("", fmt::format("{:>12}  intermediate results", size_text(m.scratch)));
  if (m.packed > 0)
    line("", fmt::format("{:>12}  weights packed in memory; their part of the files is let go then",
                         size_text(m.packed)));
  line("",
       fmt::format("{:>12}  tokenizer and program (estimate)", size_text(m.tokenizer + m.base)));
  line("", fmt::format("{:>12}  together, beside what is mapped; free now: {}",
                       size_text(m.anonymous()), size_text(free_memory_bytes())));
}

void print_table(const Facts& facts, bool tensors) {
  line("file", fmt::format("{}, {}, {} in {} part{}", facts.path, facts.kind,
                           size_text(facts.file_bytes), facts.parts, facts.parts == 1 ? "" : "s"));
  if (facts.model) {
    print_model(facts);
  } else {
    line("model", "none: " + facts.model_problem);
  }
  print_text_facts(facts);
  line("weights", fmt::format("{} in {} tensors", facts.values, facts.tensors.size()));
  for (const auto& [type, count] : facts.types)
    line("", fmt::format("{:<7} {:>5} tensors  {:>14} values  {:>11}", format(type).name,
                         count.tensors, count.values, size_text(count.bytes)));
  if (facts.model) print_memory(facts);
  if (!tensors) return;
  output().write("\n");
  for (const Tensor& t : facts.tensors)
    output().write(fmt::format("{:<52} {:<7} {:<22} {}\n", t.name, format(t.type).name,
                               t.shape_text(), size_text(t.data.size())));
}

// ---- as JSON

Json model_json(const Facts& facts) {
  const Config& c = facts.model->config();
  Json layers = Json::array();
  for (const LayerConfig& l : c.layers)
    layers.push_back({{"sliding", l.sliding},
                      {"window", l.attn.window},
                      {"heads", l.attn.heads_q},
                      {"heads_kv", l.attn.heads_kv},
                      {"head_dim", l.attn.head_dim},
                      {"v_is_k", l.v_is_k},
                      {"kv_from", l.kv_from},
                      {"ffn", l.ffn_dim}});
  return {{"family", c.family},
          {"variant", c.variant},
          {"context", c.context},
          {"width", c.width},
          {"vocab", c.vocab},
          {"per_layer_width", c.ple_dim},
          {"experts", c.experts},
          {"experts_used", c.experts_used},
          {"expert_width", c.expert_dim},
          {"logit_cap", c.logit_cap},
          {"suppress", c.suppress},
          {"temperature", facts.generation.temperature},
          {"top_k", facts.generation.top_k},
          {"top_p", facts.generation.top_p},
          {"layers", std::move(layers)}};
}

Json json_of(const Facts& facts, bool tensors) {
  Json out = {
      {"path", facts.path},   {"kind", facts.kind},      {"file_bytes", facts.file_bytes},
      {"parts", facts.parts}, {"weights", facts.values}, {"n_tensors", facts.tensors.size()}};
  for (const auto& [type, count] : facts.types)
    out["types"][format(type).name] = {
        {"tensors", count.tensors}, {"values", count.values}, {"bytes", count.bytes}};
  out["model"] = facts.model ? model_json(facts) : Json(nullptr);
  if (!facts.model) out["model_problem"] = facts.model_problem;
  out["tokenizer"] = nullptr;
  if (facts.tokenizer) {
    const Tokenizer& t = *facts.tokenizer;
    out["tokenizer"] = {{"kind", t.kind()},
                        {"pieces", t.vocab_size()},
                        {"merges", t.n_merges()},
                        {"bos", t.bos()},
                        {"eos", t.eos()}};
  } else {
    out["tokenizer_problem"] = facts.tokenizer_problem;
  }
  out["template_bytes"] = facts.template_bytes;
  out["template_note"] = facts.template_note;
  if (facts.model)
    out["memory"] = {{"context", facts.context},
                     {"mapped", facts.memory.mapped},
                     {"kv", facts.memory.kv},
                     {"sequence", facts.memory.sequence},
                     {"window", facts.memory.window},
                     {"scratch", facts.memory.scratch},
                     {"tokenizer", facts.memory.tokenizer},
                     {"base", facts.memory.base},
                     {"packed", facts.memory.packed},
                     {"anonymous", facts.memory.anonymous()}};
  if (!tensors) return out;
  out["tensors"] = Json::array();
  for (const Tensor& t : facts.tensors)
    out["tensors"].push_back({{"name", t.name},
                              {"type", format(t.type).name},
                              {"shape", t.shape},
                              {"bytes", t.data.size()}});
  return out;
}

int show(const ShowFlags& f) {
  const auto facts = facts_of(f);
  if (!facts) return fail(facts.error());
  if (f.json) {
    output().write(dump_json(json_of(*facts, f.tensors)) + "\n");
  } else {
    print_table(*facts, f.tensors);
  }
  return kDone;
}

}  // namespace

void add_show(CLI::App& app, Action& action) {
  auto f = std::make_shared<ShowFlags>();
  CLI::App* c = app.add_subcommand("show", "What a model file holds and the memory it will need");
  c->footer(
      "Reads no matrix. Memory is that of `bezel run` and `bezel chat` with the same flags; "
      "without\n"
      "--ctx it is for the context that they would choose now.\n\n"
      "Examples:\n"
      "  bezel show model.gguf --ctx 32768\n"
      "  bezel show model.gguf --tensors\n"
      "  bezel show model.gguf --json | jq .memory\n");
  add_model(*c, "MODEL", f->with.options.model_path)->required()->type_name("");
  c->add_flag("--tensors", f->tensors, "list every tensor");
  c->add_flag("--json", f->json, "as one JSON object");
  f->with.add(*c);
  c->callback([f, &action] { action = [f] { return show(*f); }; });
}

}  // namespace bezel::app
