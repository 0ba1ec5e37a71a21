// In the place of openssl.h where this build has no OpenSSL.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "bezel/result.h"

namespace bezel::http {

class Secure {
 public:
  static Result<std::unique_ptr<Secure>> load(const std::string&, const std::string&) {
    return Error{
        Errc::Unsupported,
        "this build has no TLS: build with OpenSSL (BEZEL_TLS=on), or put a proxy in front", ""};
  }
  template <class Talk>
  boost::asio::awaitable<void> run(boost::beast::tcp_stream&, std::chrono::seconds, Talk) {
    co_return;
  }
};

}  // namespace bezel::http
