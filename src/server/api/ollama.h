// Ollama's own API: chat, generate, and what it tells about models.
#pragma once
#include "server/api/ask.h"
#include "server/api/fields.h"

namespace bezel::api {

std::string ollama_error(const Error& error, int status);
void ollama_chat(const Context& context, const Json& body, const ExchangePtr& exchange);
void ollama_generate(const Context& context, const Json& body, const ExchangePtr& exchange);
Json ollama_tags(const Context& context);
Json ollama_ps(const Context& context);
Json ollama_show(const Context& context);

}  // namespace bezel::api
