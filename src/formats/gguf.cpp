// GGUF version 3, little endian: header, metadata, tensor descriptions, padding, data.
// Memory while parsing is bounded by the file and by fixed limits: every count is compared with the
// bytes that are left before anything is allocated for it, texts stay in the file, and numbers of
// all arrays together are at most kMaxElements (widened to 8 bytes, texts to 16).
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <type_traits>

#include "formats/place.h"
#include "formats/tensor_file.h"

namespace bezel {

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian numbers");

namespace {

constexpr std::uint64_t kMaxElements = 1U << 24U;

enum class ValueType : std::uint32_t {
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  F32,
  Bool,
  Text,
  Array,
  U64,
  I64,
  F64
};

// Bounds-checked reading of untrusted bytes.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  template <class T>
  bool read(T& value) {
    if (left() < sizeof value) return false;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return true;
  }
  bool read_text(std::string_view& text) {
    std::uint64_t n = 0;
    if (!read(n) || n > left()) return false;
    text = {reinterpret_cast<const char*>(bytes_.data()) + position_, static_cast<std::size_t>(n)};
    position_ += text.size();
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

// A tensor's description before its place is known to be good.
struct Described {
  Tensor tensor;
  std::uint64_t offset, bytes;
};

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& path)
      : bytes_(bytes), path_(path), at_(bytes) {}

  Result<TensorFile> parse() {
    out_.kind = FileKind::Gguf;
    out_.path = path_;
    out_.file_bytes = bytes_.size();
    BEZEL_DO(header());
    for (std::uint64_t i = 0; i < n_keys_; ++i) BEZEL_DO(key_and_value());
    for (std::uint64_t i = 0; i < n_tensors_; ++i) BEZEL_DO(describe());
    BEZEL_DO(place());
    out_.index();
    BEZEL_TRY(out_.chat_template, out_.meta_text("tokenizer.chat_template", ""));
    return std::move(out_);
  }

 private:
  Error bad(std::string what) const { return {Errc::BadFile, std::move(what), path_}; }
  Error ends_early(const char* in) const {
    return bad(fmt::format("the file ends in the middle of {}, at byte {}; download it again", in,
                           at_.position()));
  }

  Status header();
  Status key_and_value();
  Result<MetaValue> value(std::string_view key, ValueType type);
  Result<MetaArray> array(std::string_view key);
  template <class T, class Wide>
  Result<MetaArray> numbers(std::string_view key, std::uint64_t n);
  Result<MetaArray> texts(std::uint64_t n);
  Status describe();
  Status place();

  std::span<const std::byte> bytes_;
  const std::string& path_;
  Cursor at_;
  std::uint64_t n_tensors_ = 0, n_keys_ = 0, n_elements_ = 0;
  std::vector<Described> described_;
  TensorFile out_;
};

Status Parser::header() {
  char magic[4] = {};
  std::uint32_t version = 0;
  if (!at_.read(magic) || std::string_view(magic, 4) != "GGUF") {
    return bad("not a GGUF file: it does not begin with the letters GGUF");
  }
  if (!at_.read(version)) return ends_early("the header");
  if (version != 0 && (version & 0xFFFFU) == 0) {
    return Error{Errc::Unsupported,
                 "expected a little-endian GGUF file, found a big-endian one; convert it again",
                 path_};
  }
  if (version != 3) {
    return Error{Errc::Unsupported,
                 fmt::format("expected GGUF version 3, found version {}; convert the model again "
                             "with a current tool",
                             version),
                 path_};
  }
  if (!at_.read(n_tensors_) || !at_.read(n_keys_)) return ends_early("the header");
  // The shortest entry: a key's length and name, type, value; a name, dimensions, type, offset.
  constexpr std::uint64_t kLeastKey = 8 + 1 + 4 + 1, kLeastTensor = 8 + 1 + 4 + 8 + 4 + 8;
  if (n_keys_ > kMaxKeys || n_keys_ > at_.left() / kLeastKey) {
    return bad(fmt::format("the file says it has {} keys, more than it can hold", n_keys_));
  }
  if (n_tensors_ > kMaxTensors || n_tensors_ > at_.left() / kLeastTensor) {
    return bad(fmt::format("the file says it has {} tensors, more than it can hold", n_tensors_));
  }
  described_.reserve(static_cast<std::size_t>(n_tensors_));
  return Ok{};
}

Status Parser::key_and_value() {
  std::string_view key;
  std::uint32_t type = 0;
  if (!at_.read_text(key)) return ends_early("the metadata");
  if (!is_plain_name(key)) return bad("a metadata key is empty, too long or not readable text");
  if (!at_.read(type)) return ends_early("the metadata");
  if (type > static_cast<std::uint32_t>(ValueType::F64)) {
    return bad(fmt::format("the key {} has a value of the unknown type {}", key, type));
  }
  BEZEL_TRY(MetaValue v, value(key, static_cast<ValueType>(type)));
  if (!out_.meta.emplace(std::string(key), std::move(v)).second) {
    return bad(fmt::format("the key {} occurs twice", key));
  }
  return Ok{};
}

// Reads a T and gives it as a Wide.
template <class T, class Wide>
bool read_wide(Cursor& at, MetaValue& out) {
  T value{};
  if (!at.read(value)) return false;
  out = static_cast<Wide>(value);
  return true;
}

Result<MetaValue> Parser::value(std::string_view key, ValueType type) {
  if (type == ValueType::Array) {
    BEZEL_TRY(MetaArray a, array(key));
    return MetaValue(std::move(a));
  }
  MetaValue out;
  bool ok = false;
  std::uint8_t flag = 0;
  std::string_view text;
  switch (type) {
    case ValueType::U8:
      ok = read_wide<std::uint8_t, std::int64_t>(at_, out);
      break;
    case ValueType::I8:
      ok = read_wide<std::int8_t, std::int64_t>(at_, out);
      break;
    case ValueType::U16:
      ok = read_wide<std::uint16_t, std::int64_t>(at_, out);
      break;
    case ValueType::I16:
      ok = read_wide<std::int16_t, std::int64_t>(at_, out);
      break;
    case ValueType::U32:
      ok = read_wide<std::uint32_t, std::int64_t>(at_, out);
      break;
    case ValueType::I32:
      ok = read_wide<std::int32_t, std::int64_t>(at_, out);
      break;
    case ValueType::U64:
      ok = read_wide<std::uint64_t, std::uint64_t>(at_, out);
      break;
    case ValueType::I64:
      ok = read_wide<std::int64_t, std::int64_t>(at_, out);
      break;
    case ValueType::F32:
      ok = read_wide<float, double>(at_, out);
      break;
    case ValueType::F64:
      ok = read_wide<double, double>(at_, out);
      break;
    case ValueType::Bool:
      ok = at_.read(flag);
      out = flag != 0;
      break;
    case ValueType::Text:
      ok = at_.read_text(text);
      out = text;
      break;
    case ValueType::Array:
      break;
  }
  if (!ok) return ends_early("the metadata");
  return out;
}

Result<MetaArray> Parser::array(std::string_view key) {
  std::uint32_t type = 0;
  std::uint64_t n = 0;
  if (!at_.read(type) || !at_.read(n)) return ends_early("the metadata");
  if (n > kMaxElements - n_elements_) {
    return bad(
        fmt::format("the array under the key {} says it has {} elements; all arrays of a file "
                    "together may have {}",
                    key, n, kMaxElements));
  }
  n_elements_ += n;
  switch (static_cast<ValueType>(type)) {
    case ValueType::Bool:
    case ValueType::U8:
      return numbers<std::uint8_t, std::int64_t>(key, n);
    case ValueType::I8:
      return numbers<std::int8_t, std::int64_t>(key, n);
    case ValueType::U16:
      return numbers<std::uint16_t, std::int64_t>(key, n);
    case ValueType::I16:
      return numbers<std::int16_t, std::int64_t>(key, n);
    case ValueType::U32:
      return numbers<std::uint32_t, std::int64_t>(key, n);
    case ValueType::I32:
      return numbers<std::int32_t, std::int64_t>(key, n);
    case ValueType::U64:
      return numbers<std::uint64_t, std::int64_t>(key, n);
    case ValueType::I64:
      return numbers<std::int64_t, std::int64_t>(key, n);
    case ValueType::F32:
      return numbers<float, double>(key, n);
    case ValueType::F64:
      return numbers<double, double>(key, n);
    case ValueType::Text:
      return texts(n);
    case ValueType::Array:
      return bad(fmt::format("the key {} has an array of arrays", key));
  }
  return bad(fmt::format("the key {} has an array of the unknown type {}", key, type));
}

template <class T, class Wide>
Result<MetaArray> Parser::numbers(std::string_view key, std::uint64_t n) {
  if (n > at_.left() / sizeof(T)) return ends_early("the metadata");
  std::vector<Wide> values(static_cast<std::size_t>(n));
  for (Wide& v : values) {
    T raw{};
    at_.read(raw);
    if constexpr (std::is_same_v<T, std::uint64_t>) {
      if (raw > static_cast<std::uint64_t>(INT64_MAX)) {
        return bad(
            fmt::format("the array under the key {} holds {}, more than 2^63 - 1", key, raw));
      }
    }
    v = static_cast<Wide>(raw);
  }
  return MetaArray(std::move(values));
}

Result<MetaArray> Parser::texts(std::uint64_t n) {
  if (n > at_.left() / sizeof(std::uint64_t)) return ends_early("the metadata");
  std::vector<std::string_view> values(static_cast<std::size_t>(n));
  for (std::string_view& v : values) {
    if (!at_.read_text(v)) return ends_early("the metadata");
  }
  return MetaArray(std::move(values));
}

Status Parser::describe() {
  std::string_view name;
  std::uint32_t n_dims = 0, type = 0;
  if (!at_.read_text(name)) return ends_early("the list of tensors");
  if (!is_plain_name(name)) return bad("a tensor's name is empty, too long or not readable text");
  const auto wrong = [&](Error e) { return about_tensor(std::move(e), path_, name); };
  if (!at_.read(n_dims)) return ends_early("the list of tensors");
  if (n_dims < 1 || n_dims > 4) {
    return wrong(bad(fmt::format("expected 1 to 4 dimensions, found {}", n_dims)));
  }
  Described d{};
  d.tensor.name = name;
  d.tensor.shape.resize(n_dims);
  for (std::uint32_t i = n_dims; i-- > 0;) {  // the file has the innermost first
    if (!at_.read(d.tensor.shape[i])) return ends_early("the list of tensors");
  }
  if (!at_.read(type) || !at_.read(d.offset)) return ends_early("the list of tensors");
  auto known = dtype_from_gguf(type);
  if (!known) return wrong(known.error());
  d.tensor.type = *known;
  auto bytes = tensor_bytes(d.tensor.type, d.tensor.shape);
  if (!bytes) return wrong(bytes.error());
  d.bytes = *bytes;
  described_.push_back(std::move(d));
  return Ok{};
}

// Gives every tensor its bytes: inside the data section, aligned, apart from all others.
Status Parser::place() {
  BEZEL_TRY(const std::int64_t alignment, out_.meta_int("general.alignment", 32, 8, 65536));
  const auto align = static_cast<std::uint64_t>(alignment);
  if (!std::has_single_bit(align)) {
    return bad(
        fmt::format("expected a power of two under the key general.alignment, found {}", align));
  }
  const std::uint64_t start = (at_.position() + align - 1) / align * align;
  const std::uint64_t size = bytes_.size() - std::min<std::uint64_t>(start, bytes_.size());
  for (Described& d : described_) {
    const auto wrong = [&](std::string what) {
      return about_tensor(bad(std::move(what)), path_, d.tensor.name);
    };
    if (d.offset % align != 0) {
      return wrong(
          fmt::format("expected an offset that is a multiple of {}, found {}", align, d.offset));
    }
    if (d.offset > size || d.bytes > size - d.offset) {
      return wrong(
          fmt::format("expected {} bytes at offset {}, but the data has {} bytes; the file is "
                      "not complete, download it again",
                      d.bytes, d.offset, size));
    }
    d.tensor.data = bytes_.subspan(static_cast<std::size_t>(start + d.offset),
                                   static_cast<std::size_t>(d.bytes));
    if (auto ok = check_alignment(d.tensor.type, d.tensor.data.data()); !ok) {
      return about_tensor(ok.error(), path_, d.tensor.name);
    }
    out_.tensors.push_back(std::move(d.tensor));
  }
  return check_disjoint(out_);
}

}  // namespace

Result<TensorFile> parse_gguf(std::span<const std::byte> bytes, const std::string& path) {
  return Parser(bytes, path).parse();
}

Result<TensorFile> parse_gguf(std::shared_ptr<const MappedFile> file) {
  BEZEL_TRY(TensorFile out, parse_gguf(file->bytes(), file->path()));
  out.maps.push_back(std::move(file));
  return out;
}

}  // namespace bezel
