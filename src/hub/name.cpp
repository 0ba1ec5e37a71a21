#include "hub/name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace bezel::hub {

namespace {

constexpr std::size_t kLongestName = 500;

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Letters, digits, '.', '_', '-'; not "." or "..", and nothing that looks like a flag.
bool is_part(std::string_view text) {
  if (text.empty() || text.size() > 96 || text[0] == '.' || text[0] == '-') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_word_char(c) || c == '.' || c == '_' || c == '-'; });
}

bool starts_with(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

// Five digits; -1: something else.
int part_number(std::string_view text) {
  int out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    out = 10 * out + (c - '0');
  }
  return text.size() == 5 ? out : -1;
}

Error no_name(std::string_view text) {
  return {Errc::BadInput,
          fmt::format("\"{}\" is no model's name; a name is like e2b, e2b:q8_0, owner/repo, "
                      "owner/repo:q4_0 or owner/repo:file.gguf",
                      text.substr(0, 100)),
          ""};
}

// "owner/repo[@revision][:tag or file]".
Result<ModelName> parse_repo(std::string_view text, std::string_view whole) {
  ModelName out;
  out.kind = ModelName::Kind::Repo;
  std::string_view rest;
  if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    rest = text.substr(colon + 1);
    text = text.substr(0, colon);
    if (rest.empty()) return no_name(whole);
  }
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    out.revision = text.substr(at + 1);
    text = text.substr(0, at);
    if (!is_part(out.revision)) return no_name(whole);
  }
  if (!is_repo(text)) return no_name(whole);
  out.repo = text;
  if (is_gguf_name(rest)) {
    if (!is_safe_path(rest)) return no_name(whole);
    out.file = rest;
  } else if (!rest.empty()) {
    if (!is_part(rest)) return no_name(whole);
    out.tag = lower(rest);
  }
  return out;
}

// Of a page or a file on the hub: "owner/repo", "owner/repo/blob/main/file.gguf".
Result<ModelName> parse_hub_url(std::string_view path, std::string_view whole) {
  path = path.substr(0, path.find_first_of("?#"));
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  const std::size_t owner = path.find('/');
  const std::size_t repo = owner == std::string_view::npos ? owner : path.find('/', owner + 1);
  if (repo == std::string_view::npos) return parse_repo(path, whole);
  BEZEL_TRY(ModelName out, parse_repo(path.substr(0, repo), whole));
  std::string_view rest = path.substr(repo + 1);
  const std::size_t kind = rest.find('/');
  const std::string_view word = rest.substr(0, kind);
  if (word != "blob" && word != "resolve" && word != "tree") return no_name(whole);
  if (kind == std::string_view::npos) return out;
  rest = rest.substr(kind + 1);
  const std::size_t revision = rest.find('/');
  out.revision = rest.substr(0, revision);
  if (!is_part(out.revision)) return no_name(whole);
  if (revision == std::string_view::npos || word == "tree") return out;
  out.file = rest.substr(revision + 1);
  if (!is_safe_path(out.file) || !is_gguf_name(out.file)) return no_name(whole);
  return out;
}

Result<ModelName> parse_url(std::string_view text) {
  const std::size_t host = text.find("://") + 3;
  const std::size_t path = text.find('/', host);
  const std::string_view name =
      text.substr(host, path == std::string_view::npos ? path : path - host);
  if (path != std::string_view::npos && (name == "huggingface.co" || name == "hf.co"))
    return parse_hub_url(text.substr(path + 1), text);
  ModelName out;
  out.kind = ModelName::Kind::Url;
  out.url = text;
  const std::string_view clean = text.substr(0, text.find_first_of("?#"));
  out.file = clean.substr(clean.rfind('/') + 1);
  if (path == std::string_view::npos || name.empty() || !is_part(out.file) ||
      !is_gguf_name(out.file))
    return Error{Errc::BadInput, "expected the URL of a .gguf file",
                 std::string(text.substr(0, 200))};
  return out;
}

}  // namespace

Result<ModelName> parse_name(std::string_view text) {
  if (text.empty() || text.size() > kLongestName ||
      std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '\\';
      }))
    return no_name(text);
  if (starts_with(text, "https://") || starts_with(text, "http://")) return parse_url(text);
  for (const std::string_view host : {"hf.co/", "huggingface.co/", "hf://"})
    if (starts_with(text, host)) return parse_hub_url(text.substr(host.size()), text);
  if (text.find("://") != std::string_view::npos) return no_name(text);
  if (text.find('/') != std::string_view::npos) return parse_repo(text, text);
  ModelName out;
  const std::string all = lower(text);
  const bool fits = std::all_of(all.begin(), all.end(), [](char c) {
    return is_word_char(c) || c == '.' || c == '_' || c == '-' || c == ':';
  });
  if (!fits || !is_word_char(all[0]) || all.back() == ':') return no_name(text);
  out.name = all;  // the catalogue knows which colon begins a tag
  return out;
}

bool means_a_path(std::string_view text) {
  return starts_with(text, "/") || starts_with(text, "./") || starts_with(text, "../") ||
         starts_with(text, "~") || text == "." || text == ".." || text == "-" ||
         (text.find(':') == std::string_view::npos &&
          ((is_gguf_name(text) && text.find('/') != std::string_view::npos) ||
           (text.size() > 12 && text.substr(text.size() - 12) == ".safetensors") ||
           (text.size() > 5 && text.substr(text.size() - 5) == ".json")));
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1000) return false;
  for (std::size_t i = 0; i < path.size();) {
    const std::size_t n = utf8_length_at(path, i);
    const auto c = static_cast<unsigned char>(path[i]);
    if (n == 0 || c < 0x20 || c == 0x7F || c == '\\') return false;
    i += n;
  }
  std::size_t at = 0;
  for (;;) {
    const std::size_t slash = path.find('/', at);
    const std::string_view part =
        path.substr(at, slash == std::string_view::npos ? slash : slash - at);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    if (slash == std::string_view::npos) return true;
    at = slash + 1;
  }
}

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_repo(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_part(text.substr(0, slash)) &&
         is_part(text.substr(slash + 1)) && text.find("--") == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool names_tag(std::string_view file, std::string_view tag) {
  if (tag.empty()) return false;
  const std::string all = lower(file);
  const auto inside = [&](std::size_t i) {
    return i < all.size() && (is_word_char(all[i]) || all[i] == '_');
  };
  for (std::size_t at = all.find(tag); at != std::string::npos; at = all.find(tag, at + 1)) {
    const bool longer = inside(at + tag.size());
    if ((at == 0 || !is_word_char(all[at - 1])) && !longer) return true;
  }
  return false;
}

std::string type_in_name(std::string_view file) {
  constexpr std::array kTypes{
      "q4_k_xl", "q4_k_m", "q4_k_s", "q5_k_m", "q5_k_s", "q3_k_xl", "q3_k_l", "q3_k_m", "q3_k_s",
      "q2_k_l",  "q2_k",   "q6_k_l", "q6_k",   "q8_0",   "q4_0",    "q4_1",   "q5_0",   "q5_1",
      "q4_k",    "q5_k",   "q3_k",   "iq4_nl", "iq4_xs", "bf16",    "f16",    "f32"};
  for (const char* type : kTypes)
    if (names_tag(file, type)) {
      std::string out(type);
      for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
      return out;
    }
  return "";
}

bool is_gguf_name(std::string_view file) {
  return file.size() > 5 && lower(file.substr(file.size() - 5)) == ".gguf";
}

std::string Split::name(int n) const {
  return fmt::format("{}-{:05}-of-{:05}{}", stem, n, count, tail);
}

std::optional<Split> split_of(std::string_view file) {
  constexpr std::size_t kEnd = 20;  // "-00001-of-00003.gguf"
  if (!is_gguf_name(file) || file.size() < kEnd) return std::nullopt;
  const std::string_view end = file.substr(file.size() - kEnd);
  Split out;
  out.part = part_number(end.substr(1, 5));
  out.count = part_number(end.substr(10, 5));
  if (end[0] != '-' || end.substr(6, 4) != "-of-" || out.part < 0 || out.count < 0)
    return std::nullopt;
  out.stem = file.substr(0, file.size() - kEnd);
  out.tail = end.substr(15);
  return out;
}

bool is_side_file(std::string_view file) {
  const std::string name = lower(file.substr(file.rfind('/') + 1));
  if (name.find("mmproj") != std::string::npos || starts_with(name, "mtp-") ||
      name.find("imatrix") != std::string::npos)
    return true;
  const auto split = split_of(name);
  return split && split->part != 1;
}

}  // namespace bezel::hub
