// What the server speaks, as an OpenAPI 3.1 document: every path, and every field that is read with
// the values it may have. openapi_test compares it with the routes and with the decoders.
#pragma once
#include "base/json.h"
#include "bezel/engine.h"

namespace bezel {

Json openapi(const EngineInfo* loaded);

}  // namespace bezel
