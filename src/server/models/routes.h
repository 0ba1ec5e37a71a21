// The models themselves over HTTP: which are here, which is loaded, fetching and removing them.
#pragma once
#include <string>

#include "server/api/ask.h"
#include "server/models/loader.h"
#include "server/models/pulls.h"

namespace bezel {

// What the handlers reach. Null: there is the first model alone.
struct ModelsContext {
  Loader* loader = nullptr;
  ModelStore* store = nullptr;
  Pulls* pulls = nullptr;
  std::string first;       // the first model's name; empty: there is none
  std::string first_path;  // its file or folder
  std::int64_t since = 0;  // when this server began
};

Json openai_models(const ModelsContext& context);
// Whether this server has the model, with what OpenAI's API says of it in `out`.
bool openai_model(const ModelsContext& context, const std::string& name, Json& out);
Json ollama_tags(const ModelsContext& context);
Json ollama_ps(const ModelsContext& context);

void ollama_show(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange);
void ollama_pull(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange);
void ollama_delete(const ModelsContext& context, const Json& body,
                   const api::ExchangePtr& exchange);
void ollama_copy(const ModelsContext& context, const Json& body, const api::ExchangePtr& exchange);

}  // namespace bezel
