// OpenAI's responses: what a request says, apart from how it is answered.
#pragma once
#include <string>
#include <vector>

#include "server/api/ask.h"
#include "server/api/fields.h"
#include "server/api/openai/store.h"

namespace bezel::api {

struct ResponseCall {
  Call call;                // its turns begin with the instructions, if there are any
  std::vector<Turn> turns;  // the conversation without them, to go on from
  bool keep = true;
  Json echo = Json::object();  // fields of the request that its response repeats
};

ResponseCall read_response_call(const Json& body, const Engine& engine, const ResponseStore& store,
                                std::optional<Error>& error);

}  // namespace bezel::api
