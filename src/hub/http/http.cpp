#include "hub/http/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <thread>

#include "hub/http/curl.h"
#include "hub/name.h"

namespace bezel::hub {

namespace {

constexpr int kMostRedirects = 8;
constexpr std::size_t kMostHeaders = 200;
constexpr int kLongestPauseMs = 60'000;

std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK || text == nullptr) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

std::unique_ptr<CURLU, CurlClose> parsed(const std::string& url) {
  std::unique_ptr<CURLU, CurlClose> out(curl_url());
  if (out && curl_url_set(out.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) out.reset();
  return out;
}

std::string host_of(const std::string& url) {
  const auto u = parsed(url);
  return u ? part(u.get(), CURLUPART_HOST) : url;
}

// Where a redirect leads, absolute; empty: nowhere.
std::string joined(const std::string& base, const std::string& location) {
  const auto u = parsed(base);
  if (!u || location.empty()) return "";
  if (curl_url_set(u.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) return "";
  return part(u.get(), CURLUPART_URL);
}

struct Body {
  std::string* into;
  std::uint64_t most;
  bool too_long = false;
};

std::size_t take_body(char* data, std::size_t size, std::size_t n, void* self) {
  auto& body = *static_cast<Body*>(self);
  const std::size_t bytes = size * n;
  if (bytes > body.most - std::min<std::uint64_t>(body.most, body.into->size())) {
    body.too_long = true;
    return 0;
  }
  body.into->append(data, bytes);
  return bytes;
}

int check_cancel(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const Http*>(self)->cancelled() ? 1 : 0;
}

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// As the curl program does it; the library alone does not look at these variables.
void set_certificates(CURL* curl) {
  const auto set = [curl](const char* name, CURLoption option) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return false;
    curl_easy_setopt(curl, option, value);
    return true;
  };
  if (set("CURL_CA_BUNDLE", CURLOPT_CAINFO)) return;
  set("SSL_CERT_DIR", CURLOPT_CAPATH);
  set("SSL_CERT_FILE", CURLOPT_CAINFO);
}

Error cancelled_error() {
  return {Errc::Cancelled, "interrupted; what is here is kept, the next pull goes on from it", ""};
}

}  // namespace

std::string origin_of(const std::string& url) {
  const auto u = parsed(url);
  if (!u) return "";
  const std::string scheme = part(u.get(), CURLUPART_SCHEME);
  if (scheme != "https" && scheme != "http") return "";
  return fmt::format("{}://{}:{}", scheme, lower(part(u.get(), CURLUPART_HOST)),
                     part(u.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

bool is_loopback_url(const std::string& url) {
  const std::string host = lower(host_of(url));
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  return host.rfind("127.", 0) == 0 && host.find_first_not_of("0123456789.") == std::string::npos;
}

std::string url_encoded(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// ---- what all requests share

std::size_t HeaderLines::take(char* data, std::size_t size, std::size_t n, void* self) {
  auto& values = static_cast<HeaderLines*>(self)->values;
  std::string_view line(data, size * n);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  if (line.rfind("HTTP/", 0) == 0) values.clear();
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos && values.size() < kMostHeaders) {
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    values[lower(line.substr(0, colon))] = value;
  }
  return size * n;
}

CurlList prepare(CURL* curl, const Http& http, const std::string& url, HeaderLines& into) {
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
                   url.rfind("https://", 0) == 0 ? "https" : "http,https");
  set_certificates(curl);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "bezel");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(http.options().stalled_seconds));
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &HeaderLines::take);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &into);
  // Sizes and ranges are those of the file as it lies there.
  curl_slist* list = curl_slist_append(nullptr, "Accept-Encoding: identity");
  if (http.gets_token(url))
    list = curl_slist_append(list, ("Authorization: Bearer " + http.options().token).c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  return CurlList(list);
}

bool worth_a_retry(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

Error network_error(CURLcode code, const std::string& url) {
  const std::string host = host_of(url);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return {Errc::Io, fmt::format("the host {} cannot be found; is there a network?", host), ""};
    case CURLE_COULDNT_CONNECT:
      return {Errc::Io, fmt::format("{} cannot be reached; is there a network?", host), ""};
    case CURLE_OPERATION_TIMEDOUT:
      return {Errc::Io, fmt::format("{} does not answer; try again later", host), ""};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {Errc::Io,
              fmt::format("{} shows a certificate that this machine does not trust", host), ""};
    case CURLE_SSL_CACERT_BADFILE:
      return {Errc::Io,
              "the certificates of this machine cannot be read; look at the variables "
              "CURL_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR",
              ""};
    case CURLE_ABORTED_BY_CALLBACK:
      return cancelled_error();
    default:
      return {Errc::Io, fmt::format("talking to {} failed: {}", host, curl_easy_strerror(code)),
              ""};
  }
}

// ---- requests

struct Http::Handle {
  std::unique_ptr<CURL, CurlClose> curl{curl_easy_init()};
};

Http::Http(HttpOptions options) : options_(std::move(options)) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)started;
  handle_ = std::make_unique<Handle>();
}

Http::~Http() = default;

bool Http::gets_token(const std::string& url) const {
  if (options_.token.empty()) return false;
  const std::string origin = origin_of(url);
  return !origin.empty() && origin == origin_of(options_.endpoint) &&
         (origin.rfind("https://", 0) == 0 || is_loopback_url(url));
}

std::chrono::milliseconds Http::pause_before(int n, const std::string& retry_after) const {
  std::int64_t ms = std::int64_t{options_.first_pause_ms} << std::min(n - 1, 6);
  int seconds = 0;
  const auto [end, error] =
      std::from_chars(retry_after.data(), retry_after.data() + retry_after.size(), seconds);
  if (error == std::errc{} && seconds > 0) ms = std::max<std::int64_t>(ms, seconds * 1000LL);
  return std::chrono::milliseconds(std::min<std::int64_t>(ms, kLongestPauseMs));
}

Status Http::pause(int n, const std::string& retry_after) const {
  const std::chrono::milliseconds pause = pause_before(n, retry_after);
  const auto until = std::chrono::steady_clock::now() + pause;
  while (std::chrono::steady_clock::now() < until) {
    if (cancelled()) return cancelled_error();
    std::this_thread::sleep_for(std::min(pause, std::chrono::milliseconds(20)));
  }
  return Ok{};
}

Result<Reply> Http::once(const std::string& url, bool head, std::uint64_t max_bytes) {
  if (origin_of(url).empty())
    return Error{Errc::BadInput, "expected the address of an HTTP server", url.substr(0, 200)};
  CURL* curl = handle_->curl.get();
  if (curl == nullptr) return Error{Errc::NoMemory, "no memory is left for a connection", ""};
  curl_easy_reset(curl);
  Reply reply;
  HeaderLines lines;
  Body body{&reply.body, max_bytes};
  const CurlList list = prepare(curl, *this, url, lines);
  curl_easy_setopt(curl, CURLOPT_NOBODY, head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &check_cancel);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
  const CURLcode code = curl_easy_perform(curl);
  if (body.too_long)
    return Error{Errc::TooLarge,
                 fmt::format("{} answers more than {} bytes", host_of(url), max_bytes), ""};
  if (code != CURLE_OK) {
    Error error = network_error(code, url);
    if (worth_a_retry(code)) error.code = Errc::Busy;  // with_tries() puts that right
    return error;
  }
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
  reply.headers = std::move(lines.values);
  reply.url = url;
  if (is_redirect(reply.status)) reply.location = joined(url, reply.header("location"));
  return reply;
}

Result<Reply> Http::with_tries(const std::string& url, bool head, std::uint64_t max_bytes) {
  for (int n = 1;; ++n) {
    auto reply = once(url, head, max_bytes);
    const bool again =
        reply ? reply->status == 429 || reply->status >= 500 : reply.error().code == Errc::Busy;
    if (!again) return reply;
    if (n >= options_.tries) {
      if (reply) return reply;
      Error error = reply.error();
      error.code = Errc::Io;
      return error;
    }
    BEZEL_DO(pause(n, reply ? reply->header("retry-after") : ""));
  }
}

Result<Reply> Http::followed(const std::string& first, bool head, std::uint64_t max_bytes) {
  std::string url = first;
  for (int n = 0; n <= kMostRedirects; ++n) {
    BEZEL_TRY(Reply reply, with_tries(url, head, max_bytes));
    if (!is_redirect(reply.status)) return reply;
    if (reply.location.empty())
      return Error{Errc::Io, fmt::format("{} sends us on to no usable address", host_of(url)), ""};
    if (url.rfind("https://", 0) == 0 && reply.location.rfind("https://", 0) != 0)
      return Error{Errc::Io,
                   fmt::format("{} sends us on to an address without encryption", host_of(url)),
                   ""};
    if (head &&
        (origin_of(url) != origin_of(reply.location) || !reply.header("x-linked-etag").empty()))
      return reply;
    url = reply.location;
  }
  return Error{Errc::Io, fmt::format("{} sends us in a circle", host_of(first)), ""};
}

Result<Reply> Http::get(const std::string& url, std::uint64_t max_bytes) {
  return followed(url, false, max_bytes);
}

Result<Reply> Http::head(const std::string& url) {
  return followed(url, true, 0);
}

}  // namespace bezel::hub
