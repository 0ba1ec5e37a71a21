#include "hub/find/peek.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "base/json.h"

namespace bezel::hub {

namespace {

constexpr std::size_t kHead = std::size_t{64} << 10U;

// Little-endian values one after another; past the end there are zeros and ok() is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  std::uint64_t number(std::size_t size) {
    std::uint64_t v = 0;
    const std::string_view here = take(size);
    for (std::size_t i = here.size(); i-- > 0;) v = (v << 8U) | static_cast<unsigned char>(here[i]);
    return v;
  }
  std::string_view text() { return take(number(8)); }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view out = bytes_.substr(0, static_cast<std::size_t>(size));
    bytes_.remove_prefix(out.size());
    return out;
  }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

// Bytes of a GGUF value type without a length of its own; 0: text, array or unknown.
std::size_t size_of(std::uint64_t type) {
  constexpr std::array<std::size_t, 13> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kSizes.size() ? kSizes.at(static_cast<std::size_t>(type)) : 0;
}

std::string file_type_name(std::uint64_t type) {
  struct Named {
    std::uint64_t type;
    const char* name;
  };
  constexpr std::array kNames{
      Named{0, "F32"},     Named{1, "F16"},     Named{2, "Q4_0"},    Named{3, "Q4_1"},
      Named{7, "Q8_0"},    Named{8, "Q5_0"},    Named{9, "Q5_1"},    Named{10, "Q2_K"},
      Named{11, "Q3_K_S"}, Named{12, "Q3_K_M"}, Named{13, "Q3_K_L"}, Named{14, "Q4_K_S"},
      Named{15, "Q4_K_M"}, Named{16, "Q5_K_S"}, Named{17, "Q5_K_M"}, Named{18, "Q6_K"},
      Named{25, "IQ4_NL"}, Named{30, "IQ4_XS"}, Named{32, "BF16"}};
  for (const Named& n : kNames)
    if (n.type == type) return n.name;
  return "";
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

constexpr std::uint64_t kText = 8, kArray = 9;

// One key and its value; false when what follows cannot be read.
bool read_key(Reader& in, Peek& out) {
  const std::string_view key = in.text();
  const std::uint64_t type = in.number(4);
  if (!in.ok()) return false;
  if (type == kText) {
    const std::string_view value = in.text();
    if (!in.ok()) return false;
    if (key == "general.architecture") out.architecture = value;
    if (key == "general.name" || key == "general.finetune") {
      if (!out.title.empty()) out.title += ' ';
      out.title += value;
    }
    return true;
  }
  if (type == kArray) {
    const std::uint64_t inner = in.number(4), n = in.number(8);
    if (n > kHead) return false;
    if (inner == kText) {
      for (std::uint64_t i = 0; i < n && in.ok(); ++i) (void)in.text();
    } else {
      (void)in.take(n * size_of(inner));
      if (size_of(inner) == 0) return false;
    }
    return in.ok();
  }
  if (size_of(type) == 0) return false;
  const std::uint64_t value = in.number(size_of(type));
  if (!in.ok()) return false;
  if (key == "general.file_type") out.type = file_type_name(value);
  if (ends_with(key, ".block_count") && value < 10000) out.layers = static_cast<int>(value);
  return true;
}

}  // namespace

Peek peek_file(const std::string& path) {
  Peek out;
  struct Close {
    void operator()(std::FILE* f) const { (void)std::fclose(f); }
  };
  if (!is_file(path)) return out;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rb"));
  if (!file) return out;
  std::string head(kHead, '\0');
  head.resize(std::fread(head.data(), 1, head.size(), file.get()));
  Reader in(head);
  if (in.take(4) != "GGUF" || in.number(4) < 2) return out;
  (void)in.number(8);
  const std::uint64_t keys = in.number(8);
  if (!in.ok()) return out;
  out.is_model = true;
  for (std::uint64_t i = 0; i < keys && read_key(in, out); ++i) {
  }
  return out;
}

Peek peek_folder(const std::string& folder) {
  Peek out;
  const auto text = read_file(folder + "/config.json", 1U << 20U);
  if (!text) return out;
  auto json = parse_json(*text, folder);
  if (!json || !json->is_object()) return out;
  const JsonGuard guard(*json);
  const auto get = [&](const char* key) -> std::string {
    const auto value = json_get<std::string>(*json, key, "");
    return value ? *value : "";
  };
  out.architecture = get("model_type");
  if (out.architecture == "gemma3_text") out.architecture = "gemma3";
  if (out.architecture == "gemma4_unified" || out.architecture == "gemma4_text")
    out.architecture = "gemma4";
  std::string type = get("torch_dtype");
  if (type.empty()) type = get("dtype");
  out.type = type == "bfloat16"  ? "BF16"
             : type == "float16" ? "F16"
             : type == "float32" ? "F32"
                                 : "";
  const auto inner = json->find("text_config");
  const Json& config = inner != json->end() && inner->is_object() ? *inner : *json;
  const auto layers = json_get<std::int64_t>(config, "num_hidden_layers", 0);
  if (layers && *layers > 0 && *layers < 10000) out.layers = static_cast<int>(*layers);
  out.is_model =
      is_file(folder + "/model.safetensors") || is_file(folder + "/model.safetensors.index.json");
  return out;
}

}  // namespace bezel::hub
