// From a decoded request to the engine and back to the client.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "bezel/service.h"
#include "server/http/server.h"

namespace bezel::api {

class ResponseStore;

// What the handler of a request reaches.
struct Context {
  Service* service = nullptr;
  std::string model;  // its name for clients
  std::shared_ptr<ResponseStore> responses;
  std::shared_ptr<const void> use;  // keeps the model loaded
  bool unloads = false;             // the model is let go after this request
};

using ExchangePtr = std::shared_ptr<http::Exchange>;

int status_of(const Error& error);
// An error in an API's own shape.
using ErrorShape = std::string (*)(const Error& error, int status);
void refuse(http::Exchange& exchange, const Error& error, ErrorShape shape);

// Writes the answer to one request; its jobs are numbered from 0. Engine thread, once submitted.
class Writer {
 public:
  Writer(ExchangePtr exchange, ErrorShape shape) : exchange_(std::move(exchange)), shape_(shape) {}
  virtual ~Writer() = default;
  virtual bool event(int job, const Event& event) = 0;  // false: stop
  virtual void done(int job, Reply reply) = 0;
  virtual void all_done() = 0;
  // An error after the stream has begun, in this API's form; the stream ends behind it.
  virtual std::string late_error(const std::string& body) const = 0;

 protected:
  // Streams: begins with the first piece, so that an error before it can have a status of its own.
  bool write(std::string_view piece);
  void end();
  void respond(const Json& body);
  const char* type_ = "text/event-stream";

 private:
  friend void ask(const Context& context, std::vector<Job> jobs,
                  const std::shared_ptr<Writer>& writer);
  void begin();
  void fail(const Error& error);
  bool ended(int job, Result<Reply> reply) noexcept;
  std::mutex mutex_;  // fail() may come from the thread that submits
  ExchangePtr exchange_;
  ErrorShape shape_;
  std::shared_ptr<const void> use_;  // of the model, until the answer's end
  int left_ = 0;
  bool begun_ = false, failed_ = false;
};

// Submits the jobs; they are cancelled when the client leaves or one of them fails.
void ask(const Context& context, std::vector<Job> jobs, const std::shared_ptr<Writer>& writer);

}  // namespace bezel::api
