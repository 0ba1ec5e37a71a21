// Ollama's own API: chat and generate.
#pragma once
#include <chrono>
#include <optional>

#include "server/api/ask.h"
#include "server/api/fields.h"

namespace bezel::api {

std::string ollama_error(const Error& error, int status);
void ollama_chat(const Context& context, const Json& body, const ExchangePtr& exchange);
void ollama_generate(const Context& context, const Json& body, const ExchangePtr& exchange);
// Of "keep_alive": seconds, or a text like "5m", "1h30m", "300"; below 0: for ever. Nothing when
// the field is not there.
std::optional<std::chrono::seconds> read_keep_alive(const Json& body, std::optional<Error>& error);

}  // namespace bezel::api
