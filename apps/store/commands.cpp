// bezel list, pull, rm: the models on this machine.
#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "store/model.h"

namespace bezel::app {

namespace {

// ---- list

void print_models(const std::vector<StoredModel>& models) {
  std::size_t name = 4, place = 5;
  for (const StoredModel& m : models) {
    name = std::max(name, one_line(m.name).size());
    place = std::max(place, m.place.size());
  }
  output().write(fmt::format("{:<{}}  {:>9}  {:<7}  {:<{}}  {}\n", "name", name, "size", "type",
                             "place", place, "where"));
  for (const StoredModel& m : models)
    output().write(fmt::format("{:<{}}  {:>9}  {:<7}  {:<{}}  {}\n", one_line(m.name), name,
                               gigabytes(m.bytes), one_line(m.type), m.place, place,
                               one_line(m.path)));
}

int list(bool all, bool json) {
  const auto store = ModelStore::open({.offline = true});
  if (!store) return fail(store.error());
  std::vector<StoredModel> models = (*store)->list();
  const auto foreign = std::remove_if(models.begin(), models.end(), [&](const StoredModel& m) {
    return !all && !m.architecture.empty() && m.architecture != "gemma3" &&
           m.architecture != "gemma4";
  });
  const auto hidden = std::distance(foreign, models.end());
  models.erase(foreign, models.end());
  if (json) {
    Json out = Json::array();
    for (const StoredModel& m : models)
      out.push_back({{"name", m.name},
                     {"path", m.path},
                     {"place", m.place},
                     {"type", m.type},
                     {"architecture", m.architecture},
                     {"layers", m.layers},
                     {"bytes", m.bytes},
                     {"ours", m.ours}});
    output().write(dump_json(out) + "\n");
    return kDone;
  }
  if (!models.empty()) print_models(models);
  if (models.empty())
    note("there are no Gemma models on this machine; `bezel pull e2b` fetches one");
  if (hidden > 0)
    note(fmt::format("{} models of other families are not shown; --all shows them", hidden));
  return kDone;
}

// ---- pull

int pull(const std::string& name, bool offline) {
  const auto store = ModelStore::open({.offline = offline});
  if (!store) return fail(store.error());
  const auto plan = (*store)->plan(name);
  if (!plan) return fail(plan.error());
  if (!offline) note(fmt::format("fetching {}", plan->what));
  const auto pulled = pull_with_progress(**store, name);
  if (!pulled) return fail(pulled.error());
  note(pulled->why);
  output().write(pulled->model.path + "\n");
  return kDone;
}

// ---- rm

int remove(const std::string& name, bool yes) {
  const auto store = ModelStore::open({.offline = true});
  if (!store) return fail(store.error());
  const auto found = (*store)->find(name);
  if (found && found->model.ours && !found->by_alias && !yes) {
    const std::string question =
        fmt::format("Remove {} ({}) at {}?", one_line(found->model.name),
                    gigabytes(found->model.bytes), one_line(found->model.path));
    if (!can_ask())
      return fail({Errc::BadInput,
                   fmt::format("{} is removed only with --yes where there is no terminal to ask on",
                               found->model.name),
                   ""});
    if (!ask(question, false)) {
      note("nothing was removed");
      return kDone;
    }
  }
  const bool that = found && !found->by_alias;  // the very model that was asked about
  const Status removed = (*store)->remove(that ? found->model.name : name);
  if (!removed) return fail(removed.error());
  note("removed " + name);
  return kDone;
}

constexpr const char* kNames =
    "Names: a short one (e2b, e4b, 12b, 26b, 31b, 270m, 1b, 4b, ...) with a type if you like\n"
    "(e2b:q8_0, 12b:qat, 270m:bf16), owner/repo, owner/repo:q4_k_m, owner/repo:file.gguf,\n"
    "hf.co/owner/repo, or the URL of a .gguf file. The list of short names can be replaced: see\n"
    "README.md.\n";

}  // namespace

void add_list(CLI::App& app, Action& action) {
  auto all = std::make_shared<bool>(false), json = std::make_shared<bool>(false);
  CLI::App* c = app.add_subcommand("list", "The models on this machine");
  c->footer(
      "Looks into the Hugging Face cache, Ollama's store, llama.cpp's cache, LM Studio's folder "
      "and\n"
      "Bezel's own, and uses what lies there. Names in the first column are names for every "
      "command.\n");
  c->add_flag("--all", *all, "also models of other families, which Bezel cannot run");
  c->add_flag("--json", *json, "as a JSON array");
  c->callback([all, json, &action] { action = [all, json] { return list(*all, *json); }; });
}

void add_pull(CLI::App& app, Action& action) {
  auto name = std::make_shared<std::string>();
  auto offline = std::make_shared<bool>(false);
  CLI::App* c = app.add_subcommand("pull", "Fetch a model from the Hugging Face hub");
  c->footer(std::string(kNames) +
            "\nThe model lands in the Hugging Face cache, where other tools find it, too. A pull "
            "that was\ncut goes on where it was. Printed is the path. HF_ENDPOINT, HF_TOKEN, "
            "HF_HOME and the\nproxy variables of curl count.\n\n"
            "Examples:\n"
            "  bezel pull e2b\n"
            "  bezel pull ggml-org/gemma-3-270m-it-GGUF:q8_0\n");
  c->add_option("NAME", *name, "the model")->required()->type_name("");
  c->add_flag("--offline", *offline, "try no connection");
  c->callback(
      [name, offline, &action] { action = [name, offline] { return pull(*name, *offline); }; });
}

void add_rm(CLI::App& app, Action& action) {
  auto name = std::make_shared<std::string>();
  auto yes = std::make_shared<bool>(false);
  CLI::App* c = app.add_subcommand("rm", "Remove a model that Bezel pulled");
  c->footer("What other tools have put there is left alone. Asks first.\n");
  c->add_option("NAME", *name, "the model, as `bezel list` names it")->required()->type_name("");
  c->add_flag("-y,--yes", *yes, "do not ask");
  c->callback([name, yes, &action] { action = [name, yes] { return remove(*name, *yes); }; });
}

}  // namespace bezel::app
