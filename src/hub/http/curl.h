// What the two users of libcurl share: handles that close themselves, options of every request,
// errors as sentences.
#pragma once
#include <curl/curl.h>

#include <map>
#include <memory>
#include <string>

#include "bezel/result.h"
#include "hub/http/http.h"

namespace bezel::hub {

struct CurlClose {
  void operator()(CURL* c) const { curl_easy_cleanup(c); }
  void operator()(CURLU* u) const { curl_url_cleanup(u); }
  void operator()(curl_slist* l) const { curl_slist_free_all(l); }
};
struct CurlMultiClose {
  void operator()(CURLM* m) const { curl_multi_cleanup(m); }
};
using CurlList = std::unique_ptr<curl_slist, CurlClose>;

// Header lines as they come: a status line begins anew.
struct HeaderLines {
  std::map<std::string, std::string> values;
  static std::size_t take(char* data, std::size_t size, std::size_t n, void* self);
};

// Everything that is the same for every request to `url`; `into` takes its headers. The list must
// live as long as the request.
CurlList prepare(CURL* curl, const Http& http, const std::string& url, HeaderLines& into);
// A request that failed on its way, as a sentence about the host.
Error network_error(CURLcode code, const std::string& url);
// Whether it may go better next time.
bool worth_a_retry(CURLcode code);

}  // namespace bezel::hub
