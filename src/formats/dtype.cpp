#include "formats/dtype.h"

#include <fmt/format.h>

#include "base/check.h"

namespace bezel {

namespace {

constexpr Format kFormats[] = {
    {DType::F32, "F32", 0, 1, 4},
    {DType::F16, "F16", 1, 1, 2},
    {DType::BF16, "BF16", 30, 1, 2},
    {DType::Q4_0, "Q4_0", 2, 32, sizeof(BlockQ4_0)},
    {DType::Q4_1, "Q4_1", 3, 32, sizeof(BlockQ4_1)},
    {DType::Q5_0, "Q5_0", 6, 32, sizeof(BlockQ5_0)},
    {DType::Q5_1, "Q5_1", 7, 32, sizeof(BlockQ5_1)},
    {DType::Q8_0, "Q8_0", 8, 32, sizeof(BlockQ8_0)},
    {DType::Q2_K, "Q2_K", 10, 256, sizeof(BlockQ2_K)},
    {DType::Q3_K, "Q3_K", 11, 256, sizeof(BlockQ3_K)},
    {DType::Q4_K, "Q4_K", 12, 256, sizeof(BlockQ4_K)},
    {DType::Q5_K, "Q5_K", 13, 256, sizeof(BlockQ5_K)},
    {DType::Q6_K, "Q6_K", 14, 256, sizeof(BlockQ6_K)},
    {DType::IQ4_NL, "IQ4_NL", 20, 32, sizeof(BlockIQ4_NL)},
    {DType::IQ4_XS, "IQ4_XS", 23, 256, sizeof(BlockIQ4_XS)},
    {DType::I32, "I32", -1, 1, 4},
    {DType::U8, "U8", -1, 1, 1},
};

constexpr bool in_order() {
  int i = 0;
  for (const Format& f : kFormats) {
    if (static_cast<int>(f.type) != i++) return false;
  }
  return i == static_cast<int>(DType::U8) + 1;
}
static_assert(in_order(), "kFormats has one row for each DType, in its order");

// Names of GGUF types that Bezel does not read, for the error message.
const char* foreign_name(std::uint32_t id) {
  switch (id) {
    case 9:
      return "Q8_1";
    case 15:
      return "Q8_K";
    case 16:
      return "IQ2_XXS";
    case 17:
      return "IQ2_XS";
    case 18:
      return "IQ3_XXS";
    case 19:
      return "IQ1_S";
    case 21:
      return "IQ3_S";
    case 22:
      return "IQ2_S";
    case 24:
      return "I8";
    case 25:
      return "I16";
    case 26:
      return "I32";
    case 27:
      return "I64";
    case 28:
      return "F64";
    case 29:
      return "IQ1_M";
    case 34:
      return "TQ1_0";
    case 35:
      return "TQ2_0";
    case 39:
      return "MXFP4";
    case 40:
      return "NVFP4";
    default:
      return nullptr;
  }
}

}  // namespace

const Format& format(DType type) {
  const auto i = static_cast<std::size_t>(type);
  BEZEL_DCHECK(i < std::size(kFormats));
  return kFormats[i];
}

Result<DType> dtype_from_gguf(std::uint32_t id) {
  std::string known;
  for (const Format& f : kFormats) {
    if (f.gguf_id < 0) continue;
    if (static_cast<std::uint32_t>(f.gguf_id) == id) return f.type;
    known += known.empty() ? f.name : std::string(", ") + f.name;
  }
  const char* name = foreign_name(id);
  return Error{Errc::Unsupported,
               fmt::format("type {} (number {}) is not one Bezel reads; use a file in one of {}",
                           name != nullptr ? name : "unknown", id, known),
               ""};
}

std::size_t row_bytes(DType type, std::size_t n) {
  const Format& f = format(type);
  const auto block = static_cast<std::size_t>(f.block_weights);
  BEZEL_CHECK(n % block == 0);
  return n / block * static_cast<std::size_t>(f.block_bytes);
}

float f32_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (bits >> 10U) & 31U, fraction = bits & 0x3FFU;
  std::uint32_t u;
  if (exponent == 31) {  // infinity, NaN
    u = sign | 0x7F800000U | fraction << 13U;
  } else if (exponent == 0) {  // zero, subnormal: fraction * 2^-24, exact
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    std::memcpy(&u, &magnitude, sizeof u);
    u |= sign;
  } else {
    u = sign | (exponent + 112U) << 23U | fraction << 13U;
  }
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

std::uint16_t f16_from_f32(float x) {
  std::uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  const std::uint32_t sign = (u >> 16U) & 0x8000U, magnitude = u & 0x7FFFFFFFU;
  std::uint32_t h;
  if (magnitude > 0x7F800000U) {
    h = 0x7E00U;  // NaN
  } else if (magnitude >= 0x47800000U) {
    h = 0x7C00U;  // 2^16 and more
  } else if (magnitude >= 0x38800000U) {
    // Normal. Rounding up may carry into the exponent, and from the largest value to infinity.
    h = (magnitude - 0x38000000U + 0xFFFU + ((magnitude >> 13U) & 1U)) >> 13U;
  } else if (magnitude < 0x33000000U) {
    h = 0;  // below half of the smallest subnormal
  } else {
    const std::uint32_t shift = 126U - (magnitude >> 23U);  // 14 .. 24
    const std::uint32_t fraction = (magnitude & 0x7FFFFFU) | 0x800000U;
    const std::uint32_t kept = fraction >> shift, rest = fraction & ((1U << shift) - 1U);
    const std::uint32_t half = 1U << (shift - 1U);
    h = kept + (rest > half || (rest == half && (kept & 1U) != 0) ? 1U : 0U);
  }
  return static_cast<std::uint16_t>(sign | h);
}

std::uint16_t bf16_from_f32(float x) {
  std::uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  if ((u & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(u >> 16U | 0x40U);  // NaN
  return static_cast<std::uint16_t>((u + 0x7FFFU + ((u >> 16U) & 1U)) >> 16U);
}

}  // namespace bezel
