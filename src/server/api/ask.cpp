#include "server/api/ask.h"

#include <new>
#include <utility>

namespace bezel::api {

int status_of(const Error& error) {
  switch (error.code) {
    case Errc::NotFound:
      return 404;
    case Errc::Busy:
    case Errc::NoMemory:
      return 503;
    case Errc::Io:
    case Errc::Numeric:
    case Errc::BadFile:
      return 500;
    default:
      return 400;
  }
}

void refuse(http::Exchange& exchange, const Error& error, ErrorShape shape) {
  const int status = status_of(error);
  exchange.respond(status, "application/json", shape(error, status),
                   status == 503 ? "Retry-After: 1\r\n" : "");
}

void Writer::begin() {
  if (begun_) return;
  exchange_->begin(200, type_);
  begun_ = true;
}

bool Writer::write(std::string_view piece) {
  begin();
  return exchange_->write(piece);
}

void Writer::end() {
  begin();
  exchange_->end();
}

void Writer::respond(const Json& body) {
  std::string text = dump_json(body);
  begun_ = true;
  exchange_->respond(200, "application/json", std::move(text));
}

void Writer::fail(const Error& error) {
  if (std::exchange(failed_, true) || exchange_ == nullptr) return;
  if (!begun_) return refuse(*exchange_, error, shape_);
  exchange_->write(late_error(shape_(error, status_of(error))));
  exchange_->end();
}

// A job has ended; false: the others need not go on. Where not even an error can be written, the
// connection ends without an answer.
bool Writer::ended(int job, Result<Reply> reply) noexcept {
  const bool last = --left_ == 0;
  try {
    try {
      if (!reply) fail(reply.error());
      if (reply && !failed_) done(job, *std::move(reply));
      if (last && !failed_) all_done();
    } catch (const std::bad_alloc&) {
      fail({Errc::NoMemory, "not enough memory for the answer", ""});
    }
  } catch (const std::exception&) {
    failed_ = true;
    exchange_.reset();
  }
  return !failed_;
}

void ask(const Context& context, std::vector<Job> jobs, const std::shared_ptr<Writer>& writer) {
  struct Tickets {
    std::mutex mutex;
    std::vector<Ticket> all;
    bool stopped = false;
    void stop() {
      const std::lock_guard lock(mutex);
      stopped = true;
      for (const Ticket& t : all) t.cancel();
    }
  };
  const auto tickets = std::make_shared<Tickets>();
  const ExchangePtr exchange = writer->exchange_;
  tickets->all.reserve(jobs.size());
  std::function<void()> gone = [tickets] { tickets->stop(); };
  writer->left_ = static_cast<int>(jobs.size());
  writer->use_ = context.use;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const int n = static_cast<int>(i);
    jobs[i].on_event = [writer, n](const Event& e) {
      const std::lock_guard lock(writer->mutex_);
      return !writer->failed_ && writer->event(n, e);
    };
    jobs[i].on_done = [writer, tickets, n](Result<Reply> reply) {
      const std::lock_guard lock(writer->mutex_);
      if (!writer->ended(n, std::move(reply))) tickets->stop();
    };
    auto ticket = context.service->submit(std::move(jobs[i]));
    if (!ticket) {
      const std::lock_guard lock(writer->mutex_);
      writer->fail(ticket.error());
      tickets->stop();
      break;
    }
    const std::lock_guard lock(tickets->mutex);
    tickets->all.push_back(*ticket);
    if (tickets->stopped) ticket->cancel();
  }
  exchange->on_gone(std::move(gone));
}

}  // namespace bezel::api
