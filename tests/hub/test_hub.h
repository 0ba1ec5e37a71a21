// A hub of the tests' own on loopback: the repository API, files behind a redirect to a second
// server ("cdn", another port), ranges, and whatever trouble a test asks for.
#pragma once
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/json.h"
#include "hub/net/sha.h"

namespace bezel::test {

struct HubRequest {
  bool cdn = false;
  std::string method, path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
};

struct HubReply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::int64_t length = -1;             // Content-Length; -1: the body's
  std::size_t cut = std::string::npos;  // bytes of the body after which the connection is cut
};

struct HubFile {
  std::string content;
  bool large = true;  // behind a redirect, named by its SHA-256; else a git blob
};

inline std::string sha256_of(const std::string& text) {
  hub::Digest d(hub::Digest::Kind::Sha256);
  d.add(text.data(), text.size());
  return d.hex();
}
inline std::string git_sha1_of(const std::string& text) {
  hub::Digest d(hub::Digest::Kind::Sha1);
  const std::string head = fmt::format("blob {}", text.size());
  d.add(head.c_str(), head.size() + 1);
  d.add(text.data(), text.size());
  return d.hex();
}

class TestHub {
 public:
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
  using Trouble = std::function<void(const HubRequest&, HubReply&)>;

  TestHub() {
    for (Listener* l : {&hub_, &cdn_}) {
      l->fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in at{};
      at.sin_family = AF_INET;
      at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof at;
      ::bind(l->fd, reinterpret_cast<sockaddr*>(&at), size);
      ::listen(l->fd, 128);
      ::getsockname(l->fd, reinterpret_cast<sockaddr*>(&at), &size);
      l->port = ntohs(at.sin_port);
      l->thread = std::thread([this, l] { accept_all(*l); });
    }
  }
  ~TestHub() {
    stopping_ = true;
    for (Listener* l : {&hub_, &cdn_}) {
      ::shutdown(l->fd, SHUT_RDWR);
      l->thread.join();
      ::close(l->fd);
    }
    while (open_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  TestHub(const TestHub&) = delete;
  TestHub& operator=(const TestHub&) = delete;

  std::string url() const { return fmt::format("http://127.0.0.1:{}", hub_.port); }
  std::string cdn_url() const { return fmt::format("http://localhost:{}", cdn_.port); }
  void add(const std::string& repo, const std::string& path, HubFile file) {
    const std::lock_guard lock(mutex_);
    repos_[repo][path] = std::move(file);
  }
  // Sees every reply before it goes out, on the connection's thread.
  void set_trouble(Trouble trouble) {
    const std::lock_guard lock(mutex_);
    trouble_ = std::move(trouble);
  }
  void set_bytes_per_second(std::size_t n) { bytes_per_second_ = n; }
  std::vector<HubRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t n_requests() const { return requests().size(); }
  std::size_t cdn_bytes() const { return cdn_bytes_; }

 private:
  struct Listener {
    int fd = -1, port = 0;
    std::thread thread;
  };

  void accept_all(Listener& l) {
    while (!stopping_) {
      const int fd = ::accept4(l.fd, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      ++open_;
      std::thread([this, fd, cdn = &l == &cdn_] {
        serve(fd, cdn);
        ::close(fd);
        --open_;
      }).detach();
    }
  }

  void serve(int fd, bool cdn) {
    std::string head;
    char c = 0;
    while (head.size() < 65536 && head.find("\r\n\r\n") == std::string::npos &&
           ::recv(fd, &c, 1, 0) == 1)
      head += c;
    HubRequest request;
    request.cdn = cdn;
    std::size_t at = 0, line_number = 0;
    for (std::size_t end; (end = head.find("\r\n", at)) != std::string::npos; at = end + 2) {
      const std::string line = head.substr(at, end - at);
      if (line_number++ == 0) {
        request.method = line.substr(0, line.find(' '));
        const std::size_t begin = line.find(' ') + 1;
        request.path = line.substr(begin, line.find(' ', begin) - begin);
      } else if (const std::size_t colon = line.find(": "); colon != std::string::npos) {
        std::string name = line.substr(0, colon);
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char x) { return static_cast<char>(::tolower(x)); });
        request.headers[name] = line.substr(colon + 2);
      }
    }
    if (request.method.empty()) return;
    Trouble trouble;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      trouble = trouble_;
    }
    HubReply reply = cdn ? from_cdn(request) : from_hub(request);
    if (trouble) trouble(request, reply);
    send_reply(fd, request, reply);
  }

  void send_reply(int fd, const HubRequest& request, const HubReply& reply) {
    if (reply.status == 0) return;  // cut before a word
    std::string head = fmt::format("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (const auto& [name, value] : reply.headers) head += fmt::format("{}: {}\r\n", name, value);
    head += fmt::format(
        "Content-Length: {}\r\n\r\n",
        reply.length >= 0 ? reply.length : static_cast<std::int64_t>(reply.body.size()));
    if (!send_all(fd, head)) return;
    if (request.method == "HEAD") return;
    const std::string body = reply.body.substr(0, reply.cut);
    for (std::size_t at = 0; at < body.size() && !stopping_;) {
      const std::size_t limit = bytes_per_second_;
      const std::size_t n =
          std::min(limit > 0 ? std::max<std::size_t>(limit / 100, 1) : 65536, body.size() - at);
      if (!send_all(fd, body.substr(at, n))) return;
      if (request.cdn) cdn_bytes_ += n;
      at += n;
      if (limit > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (reply.cut != std::string::npos) {
      const linger now{1, 0};  // a reset, not an orderly end
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
  }

  static bool send_all(int fd, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }

  // Bytes [from, to] of what a Range header asks for.
  static void cut_to_range(const HubRequest& request, HubReply& reply) {
    const std::string range = request.header("range");
    const std::size_t size = reply.body.size();
    if (range.rfind("bytes=", 0) != 0) return;
    const std::size_t from = std::stoull(range.substr(6));
    const std::string rest = range.substr(range.find('-') + 1);
    const std::size_t to =
        rest.empty() ? size - 1 : std::min<std::size_t>(std::stoull(rest), size - 1);
    if (from >= size) {
      reply.status = 416;
      reply.body.clear();
      return;
    }
    reply.status = 206;
    reply.headers.emplace_back("Content-Range", fmt::format("bytes {}-{}/{}", from, to, size));
    reply.body = reply.body.substr(from, to - from + 1);
  }

  HubReply from_cdn(const HubRequest& request) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [repo, files] : repos_)
      for (const auto& [path, file] : files)
        if (request.path.rfind("/cdn/" + sha256_of(file.content), 0) == 0) {
          HubReply reply;
          reply.body = file.content;
          reply.headers.emplace_back("ETag", "\"something-else\"");
          reply.headers.emplace_back("Accept-Ranges", "bytes");
          cut_to_range(request, reply);
          return reply;
        }
    return {404, {}, "no such thing"};
  }

  HubReply from_hub(const HubRequest& request) const {
    const std::lock_guard lock(mutex_);
    const std::string path = request.path.substr(0, request.path.find('?'));
    for (const auto& [repo, files] : repos_) {
      const std::string api = "/api/models/" + repo;
      if (path == api || path.rfind(api + "/revision/", 0) == 0)
        return {200, {{"Content-Type", "application/json"}}, info(repo, files)};
      if (path.rfind(api + "/tree/", 0) == 0)
        return {200, {{"Content-Type", "application/json"}}, tree(files)};
      const std::string resolve = "/" + repo + "/resolve/";
      if (path.rfind(resolve, 0) != 0) continue;
      const std::string name = path.substr(path.find('/', resolve.size()) + 1);
      const auto at = files.find(name);
      if (at == files.end()) return {404, {{"X-Error-Code", "EntryNotFound"}}, ""};
      return resolved(request, at->second);
    }
    return {401, {{"X-Error-Code", "RepoNotFound"}}, "{\"error\":\"Repository not found\"}"};
  }

  HubReply resolved(const HubRequest& request, const HubFile& file) const {
    HubReply reply;
    reply.headers.emplace_back("X-Repo-Commit", kCommit);
    if (!file.large) {
      reply.headers.emplace_back("ETag", fmt::format("\"{}\"", git_sha1_of(file.content)));
      reply.body = file.content;
      cut_to_range(request, reply);
      return reply;
    }
    const std::string sum = sha256_of(file.content);
    reply.status = 302;
    reply.headers.emplace_back("X-Linked-Etag", fmt::format("\"{}\"", sum));
    reply.headers.emplace_back("X-Linked-Size", fmt::format("{}", file.content.size()));
    reply.headers.emplace_back("Location", fmt::format("{}/cdn/{}?signature=x", cdn_url(), sum));
    return reply;
  }

  static Json lfs_of(const HubFile& f, const char* key) {
    return {{key, sha256_of(f.content)}, {"size", f.content.size()}, {"pointerSize", 130}};
  }
  static std::string info(const std::string& repo, const std::map<std::string, HubFile>& files) {
    Json siblings = Json::array();
    for (const auto& [path, f] : files) {
      Json one = {
          {"rfilename", path}, {"size", f.content.size()}, {"blobId", git_sha1_of(f.content)}};
      if (f.large) one["lfs"] = lfs_of(f, "sha256");
      siblings.push_back(std::move(one));
    }
    return dump_json({{"_id", "1"},
                      {"id", repo},
                      {"modelId", repo},
                      {"sha", kCommit},
                      {"private", false},
                      {"gated", false},
                      {"disabled", false},
                      {"downloads", 1},
                      {"likes", 1},
                      {"tags", Json::array()},
                      {"siblings", siblings}});
  }
  static std::string tree(const std::map<std::string, HubFile>& files) {
    Json out = Json::array();
    for (const auto& [path, f] : files) {
      Json one = {{"type", "file"},
                  {"path", path},
                  {"size", f.content.size()},
                  {"oid", git_sha1_of(f.content)}};
      if (f.large) one["lfs"] = lfs_of(f, "oid");
      out.push_back(std::move(one));
    }
    return dump_json(out);
  }

  Listener hub_, cdn_;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<std::string, HubFile>> repos_;
  Trouble trouble_;
  std::vector<HubRequest> requests_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> open_{0};
  std::atomic<std::size_t> bytes_per_second_{0}, cdn_bytes_{0};
};

}  // namespace bezel::test
