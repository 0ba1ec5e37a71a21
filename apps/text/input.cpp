#include "input.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/file.h"

namespace bezel::app {

namespace {

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Lines of standard input, without their '\n'.
class Lines {
 public:
  Lines() = default;
  ~Lines() { std::free(buffer_); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  // False at the end. The view holds until the next call.
  bool next(std::string_view& line) {
    errno = 0;
    const ssize_t n = ::getline(&buffer_, &capacity_, stdin);
    if (n < 0) {
      if (std::feof(stdin) == 0) error_ = errno != 0 ? errno : EIO;
      return false;
    }
    line = {buffer_, static_cast<std::size_t>(n)};
    if (line.back() == '\n') line.remove_suffix(1);
    return true;
  }
  int error() const { return error_; }  // why reading ended before the end; 0 when it did not

 private:
  int error_ = 0;
  char* buffer_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace

int for_each_line(const std::function<int(std::string_view, const std::string&)>& each) {
  Lines lines;
  std::string_view line;
  for (std::size_t n = 1; lines.next(line); ++n)
    if (const int status = each(line, fmt::format("line {}", n)); status != kDone) return status;
  if (const int error = lines.error(); error != 0)
    return fail({Errc::Io, fmt::format("cannot read the file: {}", std::strerror(error)),
                 "standard input"});
  return kDone;
}

Result<OpenTokenizer> open_tokenizer(const std::string& path, bool with_file) {
  OpenTokenizer out;
  std::string json;
  if (ends_with(path, ".json") && !is_directory(path)) json = path;
  if (!with_file && is_directory(path) && is_file(path + "/tokenizer.json"))
    json = path + "/tokenizer.json";
  if (!json.empty()) {
    BEZEL_TRY(out.tokenizer, Tokenizer::load_json(json));
    return out;
  }
  BEZEL_TRY(out.file, open_tensor_file(path));
  BEZEL_TRY(out.tokenizer, Tokenizer::load(out.file));
  return out;
}

}  // namespace bezel::app
