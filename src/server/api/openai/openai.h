// OpenAI's APIs.
#pragma once
#include "server/api/ask.h"
#include "server/api/fields.h"

namespace bezel::api {

std::string openai_error(const Error& error, int status);
void openai_chat(const Context& context, const Json& body, const ExchangePtr& exchange);
void openai_completions(const Context& context, const Json& body, const ExchangePtr& exchange);
void openai_responses(const Context& context, const Json& body, const ExchangePtr& exchange);
// A response that is kept, and forgetting it.
void openai_kept_response(const ResponseStore& store, const std::string& id,
                          const ExchangePtr& exchange);
void openai_forget_response(ResponseStore& store, const std::string& id,
                            const ExchangePtr& exchange);
void openai_embeddings(const Context& context, const Json& body, const ExchangePtr& exchange);

// A list of messages as OpenAI has them, as turns.
std::vector<Turn> openai_messages(const Json& messages, std::optional<Error>& error);
// tools, tool_choice, parallel_tool_calls.
void read_tools(Fields& in, Talk& talk);
// Tools that are functions themselves, with their parameters as `schema`; the chat API has the
// function one level further in. `typed`: each must have the type function.
void read_flat_tools(Fields& in, const char* schema, bool typed, std::optional<Error>& error,
                     Talk& talk);
// Text as it may stand in a JSON string of arguments: what is no JSON object is a mistake.
void check_arguments(Fields& in, const char* key, const std::string& arguments);

}  // namespace bezel::api
