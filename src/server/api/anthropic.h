// Anthropic's messages and token counting.
#pragma once
#include "server/api/ask.h"
#include "server/api/fields.h"

namespace bezel::api {

std::string anthropic_error(const Error& error, int status);
void anthropic_messages(const Context& context, const Json& body, const ExchangePtr& exchange);
void anthropic_count(const Context& context, const Json& body, const ExchangePtr& exchange);

}  // namespace bezel::api
