// Any bytes as a GGUF file: a Result, and everything the result points to may be read.
#include "formats/gguf_builder.h"
#include "formats/tensor_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bezel::AlignedBytes bytes({reinterpret_cast<const char*>(data), size});
  auto file = bezel::parse_gguf(bytes.span(), "fuzz.gguf");
  if (file) bezel::touch(*file);
  return 0;
}
