// HTTP for the hub: requests that follow redirects by our own rules, and parts of files. The one
// place that knows libcurl. The token goes to the hub's own origin and nowhere else, and never over
// plain HTTP to another machine.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bezel/result.h"

namespace bezel::hub {

// Scheme, host and port of a URL, port always given: "https://huggingface.co:443"; empty: no URL.
std::string origin_of(const std::string& url);
bool is_loopback_url(const std::string& url);
std::string url_encoded(const std::string& path);  // slashes stay

struct Reply {
  long status = 0;
  std::map<std::string, std::string> headers;  // names in lower case; the last of several wins
  std::string body;
  std::string url;       // that answered
  std::string location;  // where it sends us; absolute; empty: nowhere

  std::string header(const char* name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
};

struct HttpOptions {
  std::string endpoint;  // the hub; only its origin gets the token
  std::string token;     // may be empty
  const std::atomic<bool>* cancel = nullptr;
  int first_pause_ms = 500;  // between tries; doubles
  int tries = 5;             // of one request, or of a part without a byte of progress
  int stalled_seconds = 30;  // without a byte: tried again
};

class Http {
 public:
  explicit Http(HttpOptions options);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  const HttpOptions& options() const { return options_; }
  // Whether a request to this URL carries the token.
  bool gets_token(const std::string& url) const;
  // Redirects are followed, at most 8, never from https to http. Network errors, 429 and 5xx are
  // tried again. Any other status is a Reply.
  Result<Reply> get(const std::string& url, std::uint64_t max_bytes);
  // As get(), without a body; stops at a redirect that leaves the origin or states X-Linked-Etag.
  Result<Reply> head(const std::string& url);
  bool cancelled() const { return options_.cancel != nullptr && options_.cancel->load(); }
  // How long to wait before try number `n` (1, 2, ...): at least as long as the server asks for.
  std::chrono::milliseconds pause_before(int n, const std::string& retry_after) const;
  // Waits so long.
  Status pause(int n, const std::string& retry_after) const;

 private:
  Result<Reply> once(const std::string& url, bool head, std::uint64_t max_bytes);
  Result<Reply> with_tries(const std::string& url, bool head, std::uint64_t max_bytes);
  Result<Reply> followed(const std::string& url, bool head, std::uint64_t max_bytes);

  HttpOptions options_;
  struct Handle;
  std::unique_ptr<Handle> handle_;
};

// Bytes [first, last) of a file of `size` bytes over several connections.
struct PartSource {
  std::string url;                             // asked with ranges; redirects are followed
  std::function<Result<std::string>()> renew;  // a fresh URL when this one has run out
  std::uint64_t size = 0;
};
struct PartSink {
  // The next range to fetch, at most once each; false: none is left.
  std::function<bool(std::uint64_t& first, std::uint64_t& last)> next;
  // Bytes at an offset; false: cannot be stored (ends everything with `failure`).
  std::function<bool(std::uint64_t at, const char* data, std::size_t n)> store;
  std::function<void(std::uint64_t first, std::uint64_t last)> done;
  // The server knows no ranges: everything comes once more from 0 as a single range.
  std::function<void()> start_over;
  std::function<void()> tick;  // now and then, on this thread
  std::function<Error()> failure;
};
// An Error: a network that stays away, a server that answers something else, Cancelled.
Status fetch_parts(const Http& http, const PartSource& source, const PartSink& sink,
                   int connections);

}  // namespace bezel::hub
