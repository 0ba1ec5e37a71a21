// TLS by OpenSSL. none.h is in its place where OpenSSL is not.
#pragma once
#include <fmt/format.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "base/file.h"
#include "bezel/result.h"

namespace bezel::http {

// A certificate with its key. One thread.
class Secure {
 public:
  using Stream = boost::asio::ssl::stream<boost::beast::tcp_stream&>;

  // Files in PEM: the certificate, with those that signed it behind it, and its key without a
  // password.
  static Result<std::unique_ptr<Secure>> load(const std::string& cert, const std::string& key) {
    using Context = boost::asio::ssl::context;
    constexpr std::size_t kMostBytes = std::size_t{1} << 20U;
    BEZEL_TRY(const std::string cert_text, read_file(cert, kMostBytes));
    BEZEL_TRY(const std::string key_text, read_file(key, kMostBytes));
    std::unique_ptr<Secure> s(new Secure());
    Context& c = s->context_;
    boost::system::error_code ec;
    c.set_options(Context::default_workarounds | Context::no_sslv2 | Context::no_sslv3 |
                      Context::no_tlsv1 | Context::no_tlsv1_1 | Context::no_compression,
                  ec);
    c.set_password_callback([](std::size_t, Context::password_purpose) { return ""; }, ec);
    c.use_certificate_chain(boost::asio::buffer(cert_text), ec);
    if (ec)
      return Error{
          Errc::BadFile,
          fmt::format("this is no certificate in PEM ({}); give one with --cert", ec.message()),
          cert};
    c.use_private_key(boost::asio::buffer(key_text), Context::pem, ec);
    const bool other =
        ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == X509_R_KEY_VALUES_MISMATCH;
    if (ec && !other)
      return Error{Errc::BadFile,
                   fmt::format("this is no private key in PEM without a password ({}); give one "
                               "with --key",
                               ec.message()),
                   key};
    if (ec || SSL_CTX_check_private_key(c.native_handle()) != 1)
      return Error{Errc::BadFile,
                   fmt::format("this key does not belong to the certificate {}", cert), key};
    return s;
  }

  // Shakes hands over `below`, has `talk(stream)` awaited, and says goodbye.
  template <class Talk>
  boost::asio::awaitable<void> run(boost::beast::tcp_stream& below,
                                   std::chrono::seconds handshake_time, Talk talk) {
    using boost::asio::redirect_error;
    using boost::asio::use_awaitable;
    boost::system::error_code ec;
    Stream stream(below, context_);
    below.expires_after(handshake_time);
    co_await stream.async_handshake(Stream::server, redirect_error(use_awaitable, ec));
    if (ec) co_return;
    co_await talk(stream);
    below.expires_after(std::chrono::seconds(2));
    co_await stream.async_shutdown(redirect_error(use_awaitable, ec));
  }

 private:
  Secure() : context_(boost::asio::ssl::context::tls_server) {}
  boost::asio::ssl::context context_;
};

}  // namespace bezel::http
