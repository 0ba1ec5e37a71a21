// What both readers need to check a tensor's description before anyone touches its bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "bezel/result.h"
#include "formats/tensor_file.h"

namespace bezel {

// Most tensors and metadata keys in one file; real models have some thousands.
inline constexpr std::uint64_t kMaxTensors = 1U << 17U;
inline constexpr std::uint64_t kMaxKeys = 1U << 16U;
inline constexpr std::size_t kMaxName = 512;  // bytes of a tensor's or key's name

// Names are shown to people and looked up: 1 to kMaxName bytes of UTF-8 without control characters.
bool is_plain_name(std::string_view name);
// The bytes that a tensor needs: an Error when a dimension is not positive, the product overflows,
// or a row does not consist of whole blocks. 1 to 4 dimensions.
Result<std::uint64_t> tensor_bytes(DType type, const std::vector<std::int64_t>& shape);
// An Error unless `data` starts where the type's scalars may start in memory.
Status check_alignment(DType type, const std::byte* data);
// An Error when two tensors share a name or a byte.
Status check_disjoint(const TensorFile& file);
// Puts the tensor before an error: "FILE: tensor NAME".
Error about_tensor(Error error, const std::string& path, std::string_view name);

}  // namespace bezel
