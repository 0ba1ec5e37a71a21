#include "hub/net/sha.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cstdio>
#include <filesystem>

#include "base/check.h"

namespace bezel::hub {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

Digest::Digest(Kind kind) : state_(std::make_unique<State>()) {
  BEZEL_CHECK(EVP_DigestInit_ex(state_->context, kind == Kind::Sha256 ? EVP_sha256() : EVP_sha1(),
                                nullptr) == 1);
}

Digest::~Digest() {
  EVP_MD_CTX_free(state_->context);
}

void Digest::add(const void* data, std::size_t n) {
  BEZEL_CHECK(EVP_DigestUpdate(state_->context, data, n) == 1);
}

std::string Digest::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned n = 0;
  BEZEL_CHECK(EVP_DigestFinal_ex(state_->context, bytes.data(), &n) == 1);
  std::string out;
  for (unsigned i = 0; i < n; ++i) out += fmt::format("{:02x}", bytes.at(i));
  return out;
}

Result<std::string> file_digest(const std::string& path, bool git,
                                const std::function<bool(std::uint64_t)>& tick) {
  struct Close {
    void operator()(std::FILE* f) const { (void)std::fclose(f); }
  };
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!file || error) return Error{Errc::Io, "cannot read the file back to check it", path};
  Digest digest(git ? Digest::Kind::Sha1 : Digest::Kind::Sha256);
  if (git) {
    const std::string head = fmt::format("blob {}", size);
    digest.add(head.c_str(), head.size() + 1);
  }
  std::string buffer(std::size_t{1} << 20U, '\0');
  std::uint64_t done = 0;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0;) {
    digest.add(buffer.data(), n);
    done += n;
    if (!tick(done)) return Error{Errc::Cancelled, "interrupted", ""};
  }
  if (std::ferror(file.get()) != 0)
    return Error{Errc::Io, "cannot read the file back to check it", path};
  return digest.hex();
}

}  // namespace bezel::hub
