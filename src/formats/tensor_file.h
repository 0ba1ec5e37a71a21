// A model on disk, whichever way it is stored: named tensors that point into mapped files, and
// metadata. One interface for GGUF (one file or split) and Hugging Face folders.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "bezel/result.h"
#include "formats/dtype.h"

namespace bezel {

// Shape is row-major, outermost first, as in PyTorch: a GGUF `ne` of [in, out] is [out, in] here.
// `data` lies inside the mapping, has exactly the bytes that shape and type need, and starts at a
// multiple of the size of the type's largest scalar (4 for F32 and I32, 2 for F16, BF16 and
// blocks).
struct Tensor {
  std::string name;
  DType type = DType::F32;
  std::vector<std::int64_t> shape;  // 1 to 4 dimensions, each >= 1
  std::span<const std::byte> data;

  std::int64_t n_values() const;
  std::string shape_text() const;  // "[2048, 1536]"
};

// GGUF metadata. Arrays of numbers are stored widened; arrays of strings are views into the file.
using MetaArray =
    std::variant<std::vector<std::int64_t>, std::vector<double>, std::vector<std::string_view>>;
using MetaValue =
    std::variant<bool, std::int64_t, std::uint64_t, double, std::string_view, MetaArray>;

// Which kind of file it came from decides who reads the configuration.
enum class FileKind { Gguf, HuggingFace };

class TensorFile {
 public:
  TensorFile() = default;
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;
  ~TensorFile() {
    JsonGuard::empty(config);
    JsonGuard::empty(generation_config);
  }

  FileKind kind = FileKind::Gguf;
  std::string path;                                    // what the user named
  std::vector<Tensor> tensors;                         // in file order; names are unique
  std::map<std::string, MetaValue, std::less<>> meta;  // GGUF keys; empty for Hugging Face
  Json config;                                         // config.json; null for GGUF
  Json generation_config;                              // generation_config.json, null when absent
  std::string tokenizer_json_path;  // empty when the folder has none, or for GGUF
  std::string chat_template;  // of the GGUF or the folder (.jinja, tokenizer_config.json), or empty
  std::uint64_t file_bytes = 0;                         // all parts
  std::vector<std::shared_ptr<const MappedFile>> maps;  // keep everything above alive

  const Tensor* find(std::string_view name) const;
  // Gives the memory of a tensor's mapped pages back; reading them again fetches them anew.
  void let_go(std::span<const std::byte> data) const;
  bool has(std::string_view key) const { return meta.find(key) != meta.end(); }

  // Typed metadata: absent keys give `fallback`; a value of another kind, or out of [lo, hi], an
  // Error that names the key. Integers of any width and bools convert to int.
  Result<std::int64_t> meta_int(std::string_view key, std::int64_t fallback, std::int64_t lo,
                                std::int64_t hi) const;
  Result<double> meta_float(std::string_view key, double fallback) const;
  Result<std::string> meta_text(std::string_view key, std::string fallback) const;
  // A scalar or an array of n integers, widened to n values; every one in [lo, hi].
  Result<std::vector<std::int64_t>> meta_ints(std::string_view key, std::size_t n,
                                              std::int64_t fallback, std::int64_t lo,
                                              std::int64_t hi) const;
  // The numbers of an array of any length; none when the key is absent.
  Result<std::vector<std::int64_t>> meta_int_list(std::string_view key, std::int64_t lo,
                                                  std::int64_t hi) const;

  void index();  // builds the name lookup; called by the readers

 private:
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

// GGUF v3 in memory. Checks every count, length, offset, shape and overlap against the bytes before
// use; tensors of types that Bezel cannot read are an Error naming tensor and type.
Result<TensorFile> parse_gguf(std::shared_ptr<const MappedFile> file);
// As above on plain bytes (for tests and fuzzing): nothing is kept alive, `bytes` must outlive it.
Result<TensorFile> parse_gguf(std::span<const std::byte> bytes, const std::string& path);
// safetensors in memory: appends its tensors, by ascending place in the file, to `into`. A scalar
// (no dimensions) gets the shape [1].
Status parse_safetensors(std::span<const std::byte> bytes, const std::string& path,
                         TensorFile& into);

// Opens a .gguf file (with all parts when its name ends in -00001-of-0000N.gguf), a Hugging Face
// folder (config.json + model.safetensors or model.safetensors.index.json), or one .safetensors
// file (whose config.json and other companions are read from its folder where they exist).
Result<TensorFile> open_tensor_file(const std::string& path);

// Streams a .safetensors file: declare all tensors, then write their data in the same order.
// F32 and I32 only. Nothing stays behind unless finish() succeeds.
class SafetensorsWriter {
 public:
  struct Slot {
    std::string name;
    DType type;
    std::vector<std::int64_t> shape;
  };
  static Result<std::unique_ptr<SafetensorsWriter>> create(const std::string& path,
                                                           std::vector<Slot> slots);
  // Appends to slot `i`; slots may be filled in any order and in pieces.
  void append(std::size_t i, const void* data, std::size_t n_bytes);
  Status finish();  // an Error when a slot is not exactly full, or the disk refused

 private:
  SafetensorsWriter() = default;
  std::unique_ptr<AtomicFile> file_;
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> offset_, filled_, size_;
};

}  // namespace bezel
