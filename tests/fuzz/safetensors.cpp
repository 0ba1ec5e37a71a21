// Any bytes as a safetensors file: a Status, and everything it listed may be read.
#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bezel::AlignedBytes bytes({reinterpret_cast<const char*>(data), size});
  bezel::TensorFile file;
  if (bezel::parse_safetensors(bytes.span(), "fuzz.safetensors", file)) bezel::touch(file);
  return 0;
}
