// A file in parts over several connections: each part goes on from where its connection was cut.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <vector>

#include "hub/http/curl.h"

namespace bezel::hub {

namespace {

using Clock = std::chrono::steady_clock;

struct Transfer {
  class Fetch* fetch = nullptr;
  std::unique_ptr<CURL, CurlClose> curl;
  HeaderLines lines;
  CurlList list;
  std::uint64_t first = 0, at = 0, last = 0;  // [first, last) is wanted, `at` comes next
  std::uint64_t began = 0;                    // `at` when this connection was made
  bool whole = false;                         // asked without a range
  bool checked = false;                       // the answer is the range that was asked for
  bool busy = false;                          // in the multi handle
  std::string url;                            // that was asked
  Clock::time_point not_before;
};

// "bytes 5-9/20" says that bytes [first, ...) of `size` follow.
bool is_range(const std::string& text, std::uint64_t first, std::uint64_t size) {
  std::uint64_t a = 0, b = 0, total = 0;
  const char* end = text.data() + text.size();
  if (text.rfind("bytes ", 0) != 0) return false;
  const auto x = std::from_chars(text.data() + 6, end, a);
  if (x.ec != std::errc{} || x.ptr == end || *x.ptr != '-') return false;
  const auto y = std::from_chars(x.ptr + 1, end, b);
  if (y.ec != std::errc{} || y.ptr == end || *y.ptr != '/') return false;
  const auto z = std::from_chars(y.ptr + 1, end, total);
  return z.ec == std::errc{} && z.ptr == end && a == first && b >= a && total == size;
}

class Fetch {
 public:
  Fetch(const Http& http, const PartSource& source, const PartSink& sink, int connections)
      : http_(http), source_(source), sink_(sink), url_(source.url) {
    transfers_.resize(static_cast<std::size_t>(std::max(connections, 1)));
    for (Transfer& t : transfers_) {
      t.fetch = this;
      t.curl.reset(curl_easy_init());
    }
  }
  ~Fetch() {
    for (Transfer& t : transfers_) stop(t);
  }
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  Status run() {
    if (!multi_) return no_memory();
    for (;;) {
      if (http_.cancelled()) return network_error(CURLE_ABORTED_BY_CALLBACK, url_);
      if (restart_) BEZEL_DO(start_over());
      BEZEL_TRY(const bool any, start_transfers());
      if (!any) return Ok{};
      int running = 0;
      if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) return no_memory();
      BEZEL_DO(collect());
      sink_.tick();
      if (curl_multi_poll(multi_.get(), nullptr, 0, 20, nullptr) != CURLM_OK) return no_memory();
    }
  }

 private:
  static Error no_memory() { return {Errc::NoMemory, "no memory is left for a connection", ""}; }

  static std::size_t take(char* data, std::size_t size, std::size_t n, void* self) {
    auto& t = *static_cast<Transfer*>(self);
    return t.fetch->store(t, data, size * n) ? size * n : 0;
  }

  bool store(Transfer& t, const char* data, std::size_t n) {
    if (!t.checked && !check_answer(t)) return false;
    if (n > t.last - t.at) {
      error_ = Error{Errc::BadFile, "the server sends more than the file's length", ""};
      return false;
    }
    if (!sink_.store(t.at, data, n)) {
      error_ = sink_.failure();
      return false;
    }
    t.at += n;
    failures_ = 0;
    return true;
  }

  // The answer must be the range; a server that knows none is asked for the whole file.
  bool check_answer(Transfer& t) {
    long status = 0;
    curl_easy_getinfo(t.curl.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status == 206 && !t.whole) {
      const auto at = t.lines.values.find("content-range");
      t.checked = at != t.lines.values.end() && is_range(at->second, t.at, source_.size);
      if (!t.checked)
        error_ =
            Error{Errc::BadFile,
                  fmt::format("the server answers with another part than the one asked for "
                              "(wanted: from {} of {} bytes; it says: {})",
                              t.at, source_.size,
                              at == t.lines.values.end() ? "nothing" : at->second.substr(0, 60)),
                  ""};
      return t.checked;
    }
    if (status == 200 && (t.whole || (t.at == 0 && t.last == source_.size))) {
      t.checked = true;
      return true;
    }
    if (status == 200) restart_ = true;
    return false;  // an error's page: its status decides
  }

  void stop(Transfer& t) {
    if (t.busy) curl_multi_remove_handle(multi_.get(), t.curl.get());
    t.busy = false;
  }

  Status start_over() {
    restart_ = false;
    whole_ = true;
    if (++restarts_ > 100) return Error{Errc::Io, "the server breaks off again and again", ""};
    for (Transfer& t : transfers_) {
      stop(t);
      t.first = t.at = t.last = 0;
    }
    sink_.start_over();
    return Ok{};
  }

  // Whether anything is under way or waits for its time.
  Result<bool> start_transfers() {
    bool any = false;
    for (Transfer& t : transfers_) {
      if (!t.busy && t.at == t.last && !(whole_ && any)) {
        if (!sink_.next(t.first, t.last)) {
          t.first = t.at = t.last = 0;
          continue;
        }
        t.at = t.first;
        t.not_before = {};
      }
      any = any || t.busy || t.at < t.last;
      if (t.busy || t.at == t.last || Clock::now() < t.not_before) continue;
      if (!start(t)) return no_memory();
    }
    return any;
  }

  bool start(Transfer& t) {
    CURL* curl = t.curl.get();
    if (curl == nullptr) return false;
    curl_easy_reset(curl);
    t.lines.values.clear();
    t.checked = false;
    t.whole = whole_;
    t.began = t.at;
    t.url = url_;
    t.list = prepare(curl, http_, url_, t.lines);
    // Only where no token is on the way may libcurl follow by itself.
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, http_.gets_token(url_) ? 0L : 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 8L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &t);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, &t);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    if (!t.whole)
      curl_easy_setopt(curl, CURLOPT_RANGE, fmt::format("{}-{}", t.at, t.last - 1).c_str());
    t.busy = curl_multi_add_handle(multi_.get(), curl) == CURLM_OK;
    return t.busy;
  }

  Status collect() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* t = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
      const CURLcode code = message->data.result;
      stop(*t);
      if (error_.what.empty()) BEZEL_DO(ended(*t, code));
      if (!error_.what.empty()) return error_;
    }
    return Ok{};
  }

  // One connection has ended.
  Status ended(Transfer& t, CURLcode code) {
    if (t.at == t.last) {
      sink_.done(t.first, t.last);
      return Ok{};
    }
    if (restart_) return Ok{};
    long status = 0;
    curl_easy_getinfo(t.curl.get(), CURLINFO_RESPONSE_CODE, &status);
    const bool good = status == 200 || status == 206;
    if (t.whole && t.at > 0) restart_ = true;  // without ranges there is no going on
    const bool passing = good || status == 429 || status >= 500 || status == 0;
    if (status == 0 && !worth_a_retry(code)) return network_error(code, url_);
    if (!passing && t.url != url_) return Ok{};  // another connection has got a new address since
    if (++failures_ >= http_.options().tries * static_cast<int>(transfers_.size()))
      return status == 0 || good ? network_error(code == CURLE_OK ? CURLE_PARTIAL_FILE : code, url_)
                                 : refused(status);
    if (!passing) return renew(status);
    if (t.at == t.began) wait_before_next(t);
    return Ok{};
  }

  Error refused(long status) const {
    return {Errc::Io, fmt::format("{} answers with status {}", origin_of(url_), status), ""};
  }

  // Signed addresses run out: ask the hub for a new one.
  Status renew(long status) {
    const bool may =
        status == 401 || status == 403 || status == 410 || (status >= 300 && status < 400);
    if (!may || !source_.renew || ++renewals_ > 100) return refused(status);
    BEZEL_TRY(url_, source_.renew());
    return Ok{};
  }

  void wait_before_next(Transfer& t) const {
    const auto wait = t.lines.values.find("retry-after");
    const int turns = failures_ / static_cast<int>(transfers_.size());
    t.not_before = Clock::now() +
                   http_.pause_before(turns + 1, wait == t.lines.values.end() ? "" : wait->second);
  }

  const Http& http_;
  const PartSource& source_;
  const PartSink& sink_;
  std::string url_;
  std::unique_ptr<CURLM, CurlMultiClose> multi_{curl_multi_init()};
  std::deque<Transfer> transfers_;
  Error error_;
  bool restart_ = false, whole_ = false;
  int failures_ = 0, restarts_ = 0, renewals_ = 0;
};

}  // namespace

Status fetch_parts(const Http& http, const PartSource& source, const PartSink& sink,
                   int connections) {
  Fetch fetch(http, source, sink, connections);
  return fetch.run();
}

}  // namespace bezel::hub
