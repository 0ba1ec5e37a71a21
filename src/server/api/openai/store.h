// Responses that later requests go on from (previous_response_id). In memory, and bounded: the
// oldest are forgotten first, and all of them when the server ends.
#pragma once
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bezel/engine.h"

namespace bezel::api {

struct KeptResponse {
  std::string id;
  std::vector<Turn> turns;  // the conversation with its answer, without instructions
  std::string json;         // as it was answered
};

// Any thread.
class ResponseStore {
 public:
  static constexpr std::size_t kMostResponses = 1024, kMostBytes = std::size_t{64} << 20U;

  // One that is larger than everything that may be kept is not kept.
  void put(KeptResponse response);
  std::shared_ptr<const KeptResponse> find(const std::string& id) const;  // or null
  bool forget(const std::string& id);                                     // whether it was there

 private:
  struct Entry {
    std::size_t bytes = 0;
    std::shared_ptr<const KeptResponse> response;
  };
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;  // oldest first
  std::size_t bytes_ = 0;
};

}  // namespace bezel::api
