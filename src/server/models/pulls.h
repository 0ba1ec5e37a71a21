// Models that clients have asked to fetch: POST /api/pull, as Ollama has it.
#pragma once
#include <memory>
#include <string>

#include "bezel/store.h"
#include "server/api/ask.h"

namespace bezel {

// Any thread.
class Pulls {
 public:
  // The store must outlive this.
  static std::unique_ptr<Pulls> make(ModelStore& store);
  virtual ~Pulls() = default;  // stop()

  // Fetches a model on a thread of its own and answers with a line of JSON for every piece of
  // news, or with `stream` false with one object at the end. What has come is kept when the client
  // leaves. URLs are refused: only the hub is asked. At most four at a time.
  virtual void start(const std::string& name, bool stream, const api::ExchangePtr& exchange) = 0;
  // Ends what is under way, and waits for that.
  virtual void stop() = 0;
};

}  // namespace bezel
