#include "server/api/openai/store.h"

#include <algorithm>
#include <utility>

namespace bezel::api {

namespace {

std::size_t bytes_of(const KeptResponse& r) {
  std::size_t n = sizeof r + r.id.size() + r.json.size();
  for (const Turn& t : r.turns) {
    n += sizeof t + t.text.size() + t.thought.size() + t.call_id.size();
    for (const ToolCall& c : t.calls)
      n += sizeof c + c.id.size() + c.name.size() + c.arguments.size();
  }
  return n;
}

}  // namespace

void ResponseStore::put(KeptResponse response) {
  const std::size_t bytes = bytes_of(response);
  if (bytes > kMostBytes) return;
  auto kept = std::make_shared<const KeptResponse>(std::move(response));
  const std::lock_guard lock(mutex_);
  while (!entries_.empty() && (entries_.size() >= kMostResponses || bytes_ + bytes > kMostBytes)) {
    bytes_ -= entries_.front().bytes;
    entries_.pop_front();
  }
  entries_.push_back({bytes, std::move(kept)});
  bytes_ += bytes;
}

std::shared_ptr<const KeptResponse> ResponseStore::find(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  for (const Entry& e : entries_)
    if (e.response->id == id) return e.response;
  return nullptr;
}

bool ResponseStore::forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& e) { return e.response->id == id; });
  if (at == entries_.end()) return false;
  bytes_ -= at->bytes;
  entries_.erase(at);
  return true;
}

}  // namespace bezel::api
