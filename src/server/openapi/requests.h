// The bodies of requests.
#pragma once
#include "base/json.h"
#include "bezel/engine.h"

namespace bezel::schema {

Json chat();
Json completions(const EngineInfo& info);
Json responses();
Json embeddings(const EngineInfo& info);
Json messages(bool counting);
Json ollama_chat();
Json ollama_generate();
Json one_model();
Json pull();
Json copy();
Json tokenize();
Json saved_chat();
Json detokenize(const EngineInfo& info);

}  // namespace bezel::schema
