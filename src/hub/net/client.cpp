#include "hub/net/client.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "base/json.h"
#include "hub/name.h"

namespace bezel::hub {

namespace {

constexpr std::uint64_t kMostInfo = 32U << 20U;
constexpr std::uint64_t kLargest = std::uint64_t{1} << 50U;  // 1 PB: no file is larger

Error wrong_answer(const std::string& repo, const std::string& what) {
  return {Errc::BadFile,
          fmt::format("the hub's answer about {} is wrong: {}; nothing was fetched", repo, what),
          ""};
}

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text.substr(0, 80))
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return out;
}

// "W/\"abc\"" without its dress.
std::string plain_etag(std::string text) {
  if (text.rfind("W/", 0) == 0) text.erase(0, 2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

bool parse_size(const std::string& text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out <= kLargest;
}

// What is wrong in the list of files.
Error bad(std::string what) {
  return {Errc::BadFile, std::move(what), ""};
}

Result<std::uint64_t> size_in(const Json& object) {
  BEZEL_TRY(const std::int64_t size, json_get<std::int64_t>(object, "size", 0));
  if (size < 0 || static_cast<std::uint64_t>(size) > kLargest)
    return bad(fmt::format("a file of {} bytes", size));
  return static_cast<std::uint64_t>(size);
}

Result<RepoFile> file_from(const Json& json) {
  if (!json.is_object()) return bad("a file is no object");
  RepoFile out;
  BEZEL_TRY(out.path, json_get<std::string>(json, "rfilename", ""));
  if (!is_safe_path(out.path))
    return bad(
        fmt::format("the file name \"{}\" could lead out of the store", printable(out.path)));
  BEZEL_TRY(out.size, size_in(json));
  BEZEL_TRY(out.git_sha1, json_get<std::string>(json, "blobId", ""));
  if (!is_hex(out.git_sha1, 40)) out.git_sha1.clear();
  const auto lfs = json.find("lfs");
  if (lfs == json.end() || !lfs->is_object()) return out;
  BEZEL_TRY(out.sha256, json_get<std::string>(*lfs, "sha256", ""));
  if (lfs->contains("size")) {
    BEZEL_TRY(out.size, size_in(*lfs));
  }
  if (!is_hex(out.sha256, 64))
    return bad(fmt::format("\"{}\" is no SHA-256", printable(out.sha256)));
  return out;
}

Result<RepoInfo> info_from(const std::string& text) {
  auto json = parse_json(text, "");
  if (!json) return bad("it is no JSON");
  const JsonGuard guard(*json);
  if (!json->is_object()) return bad("it is no object");
  RepoInfo out;
  BEZEL_TRY(out.commit, json_get<std::string>(*json, "sha", ""));
  if (!is_hex(out.commit, 40)) return bad("it names no commit");
  const auto files = json->find("siblings");
  if (files == json->end() || !files->is_array()) return bad("it lists no files");
  for (const Json& one : *files) {
    BEZEL_TRY(RepoFile file, file_from(one));
    out.files.push_back(std::move(file));
  }
  return out;
}

}  // namespace

Error Client::refused(const Reply& reply, const std::string& repo, const std::string& what) const {
  const std::string& hub = http_.options().endpoint;
  const std::string code = reply.header("x-error-code");
  const bool has_token = !http_.options().token.empty();
  if (code == "GatedRepo" || (reply.status == 403 && code.empty()))
    return {
        Errc::BadInput,
        fmt::format("{} is gated: sign in at {}/{}, accept its terms, and put a token from "
                    "{}/settings/tokens into the variable HF_TOKEN{}",
                    repo, hub, repo, hub, has_token ? " (the token used now may not read it)" : ""),
        ""};
  if (code == "RevisionNotFound")
    return {Errc::NotFound, fmt::format("{} has no such revision", repo), ""};
  if (code == "EntryNotFound")
    return {Errc::NotFound, fmt::format("{} has no such file: {}", repo, what), ""};
  if (reply.status == 401 || reply.status == 403)
    return {Errc::BadInput,
            fmt::format("the hub does not show {}: it does not exist, or it is private and needs a "
                        "token from {}/settings/tokens in the variable HF_TOKEN{}",
                        repo, hub, has_token ? " (the token used now does not open it)" : ""),
            ""};
  if (reply.status == 404)
    return {Errc::NotFound, fmt::format("the hub has no repository {}; check the name", repo), ""};
  if (reply.status == 429)
    return {Errc::Busy, "the hub says that there were too many requests; try again later", ""};
  return {Errc::Io,
          fmt::format("the hub answers with status {} when asked for {}; try again later",
                      reply.status, what),
          ""};
}

Result<RepoInfo> Client::info(const std::string& repo, const std::string& revision) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true",
                                      http_.options().endpoint, repo, url_encoded(revision));
  BEZEL_TRY(const Reply reply, http_.get(url, kMostInfo));
  if (reply.status != 200) return refused(reply, repo, "its list of files");
  auto out = info_from(reply.body);
  if (!out) return wrong_answer(repo, out.error().text());
  return out;
}

Result<std::string> Client::locate(const std::string& repo, const std::string& commit,
                                   RepoFile& file) {
  const std::string url = fmt::format("{}/{}/resolve/{}/{}", http_.options().endpoint, repo, commit,
                                      url_encoded(file.path));
  BEZEL_TRY(const Reply reply, http_.head(url));
  const bool found = reply.status == 200 || !reply.location.empty();
  if (!found) return refused(reply, repo, file.path);
  const std::string linked = plain_etag(reply.header("x-linked-etag"));
  const std::string etag = linked.empty() ? plain_etag(reply.header("etag")) : linked;
  if (is_hex(etag, 64)) {
    if (!file.sha256.empty() && file.sha256 != etag)
      return wrong_answer(repo, fmt::format("two different checksums of {}", file.path));
    file.sha256 = etag;
  } else if (is_hex(etag, 40) && file.sha256.empty()) {
    file.git_sha1 = etag;
  }
  if (file.sha256.empty() && file.git_sha1.empty())
    return wrong_answer(repo, fmt::format("no checksum of {}", file.path));
  std::string length = reply.header("x-linked-size");
  if (length.empty() && reply.status == 200) length = reply.header("content-length");
  std::uint64_t size = 0;
  if (!length.empty()) {
    if (!parse_size(length, size) || (file.size != 0 && size != file.size))
      return wrong_answer(repo, fmt::format("two different lengths of {}, {} and {} bytes",
                                            file.path, file.size, printable(length)));
    file.size = size;
  }
  return reply.location.empty() ? reply.url : reply.location;
}

}  // namespace bezel::hub
