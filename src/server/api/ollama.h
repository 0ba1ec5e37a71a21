// Ollama's own API: chat, generate, and what it tells about models.
#pragma once
#include "server/api/ask.h"
#include "server/api/fields.h"

namespace bezel::api {

std::string ollama_error(const Error& error, int status);
void ollama_chat(const House& house, const Json& body, const ExchangePtr& exchange);
void ollama_generate(const House& house, const Json& body, const ExchangePtr& exchange);
Json ollama_tags(const House& house);
Json ollama_ps(const House& house);
Json ollama_show(const House& house);

}  // namespace bezel::api
