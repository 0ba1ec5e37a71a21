#include "server/api/ask.h"

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

bool Writer::write(std::string_view piece) {
  if (!std::exchange(begun_, true)) exchange_->begin(200, type_);
  return exchange_->write(piece);
}

void Writer::end() {
  if (!std::exchange(begun_, true)) exchange_->begin(200, type_);
  exchange_->end();
}

void Writer::respond(const Json& body) {
  begun_ = true;
  exchange_->respond(200, "application/json", dump_json(body));
}

void Writer::fail(const Error& error) {
  if (std::exchange(failed_, true)) return;
  if (!begun_) return refuse(*exchange_, error, shape_);
  exchange_->write(late_error(shape_(error, status_of(error))));
  exchange_->end();
}

void ask(const House& house, std::vector<Job> jobs, const std::shared_ptr<Writer>& writer) {
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
  writer->left_ = static_cast<int>(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const int n = static_cast<int>(i);
    jobs[i].on_event = [writer, n](const Event& e) {
      const std::lock_guard lock(writer->mutex_);
      return !writer->failed_ && writer->event(n, e);
    };
    jobs[i].on_done = [writer, tickets, n](Result<Reply> reply) {
      const std::lock_guard lock(writer->mutex_);
      if (!reply) {
        writer->fail(reply.error());
        tickets->stop();
      }
      if (reply && !writer->failed_) writer->done(n, *std::move(reply));
      if (--writer->left_ == 0 && !writer->failed_) writer->all_done();
    };
    auto ticket = house.service->submit(std::move(jobs[i]));
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
  writer->exchange_->on_gone([tickets] { tickets->stop(); });
}

}  // namespace bezel::api
