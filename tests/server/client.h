// A plain HTTP client over real sockets, that can also misbehave.
#pragma once
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace bezel::test {

class Client {
 public:
  explicit Client(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval wait = {60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (const int error = connect(to); error != 0)
      throw std::runtime_error(fmt::format("cannot connect: {}", std::strerror(error)));
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // Sends nothing more.
  void end() { ::shutdown(fd_, SHUT_WR); }
  // False when the other side has closed.
  bool send(const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }
  // Until `end` has come (it is part of the result), or the other side closes.
  std::string read_until(const std::string& end) {
    char bytes[4096];
    while (true) {
      const std::size_t at = have_.find(end);
      if (!end.empty() && at != std::string::npos) return take(at + end.size());
      const ssize_t n = receive(bytes, sizeof bytes);
      if (n <= 0) return take(have_.size());
      have_.append(bytes, static_cast<std::size_t>(n));
    }
  }
  std::string read_all() { return read_until(""); }
  // n bytes, fewer when the other side closes.
  std::string read(std::size_t n) {
    char bytes[4096];
    while (have_.size() < n) {
      const ssize_t got = receive(bytes, sizeof bytes);
      if (got <= 0) break;
      have_.append(bytes, static_cast<std::size_t>(got));
    }
    return take(std::min(n, have_.size()));
  }

 private:
  // A process that was stopped and goes on, or whose timer rings, is interrupted: here, in send()
  // and in receive(). Gives what went wrong, or 0.
  int connect(const sockaddr_in& to) const {
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return 0;
    if (errno != EINTR) return errno;
    pollfd connected = {fd_, POLLOUT, 0};  // it goes on by itself
    while (::poll(&connected, 1, -1) < 0 && errno == EINTR) {
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
  }
  ssize_t receive(char* bytes, std::size_t n) const {
    ssize_t got = 0;
    do got = ::recv(fd_, bytes, n, 0);
    while (got < 0 && errno == EINTR);
    return got;
  }
  std::string take(std::size_t n) {
    std::string out = have_.substr(0, n);
    have_.erase(0, n);
    return out;
  }
  int fd_;
  std::string have_;
};

struct Response {
  int status = 0;
  std::string head, body;
};

// The bytes of a request; `more`: whole header lines.
inline std::string request(const std::string& method, const std::string& path,
                           const std::string& body = "", const std::string& more = "") {
  return fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}", method,
                     path, body.size(), more, body);
}

// Reads one answer, chunks joined.
inline Response read_response(Client& client) {
  Response r;
  r.head = client.read_until("\r\n\r\n");
  if (r.head.size() > 12) r.status = std::atoi(r.head.substr(9, 3).c_str());
  const std::size_t at = r.head.find("Content-Length: ");
  if (at != std::string::npos) {
    r.body = client.read(std::stoul(r.head.substr(at + 16)));
    return r;
  }
  while (true) {
    const std::string line = client.read_until("\r\n");
    if (line.size() < 3) return r;
    std::size_t size = 0;
    try {
      size = std::stoul(line, nullptr, 16);
    } catch (const std::exception&) {
      throw std::runtime_error(fmt::format("no size of a chunk: {} behind {}", line, r.head));
    }
    r.body += client.read(size);
    if (client.read(2).size() < 2 || size == 0) return r;
  }
}

inline Response ask(std::uint16_t port, const std::string& bytes) {
  Client client(port);
  client.send(bytes);
  return read_response(client);
}

}  // namespace bezel::test
