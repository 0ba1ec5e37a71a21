// The quantised product on AVX-VNNI: 256-bit registers with the integer dot product.
#include "kernels/quant/x86/floats_inl.h"
#include "kernels/quant/x86/lanes256_inl.h"
#include "kernels/quant/x86/round_inl.h"

namespace bezel {
namespace {
namespace quant {

struct Q : Lanes256 {
  static constexpr int kTokens = 4;        // of the widest register tile
  static constexpr int kPartsAtOnce = 2;   // registers of rows in a tile
  static constexpr int kPackedTokens = 2;  // of the widest tile from packed weights
  static constexpr int kMostPacked = kFewTokens;

  static Int dot(Int acc, Int w, Int x) { return _mm256_dpbusd_avx_epi32(acc, w, x); }
};

}  // namespace quant
}  // namespace
}  // namespace bezel

// Order matters: tokens and the dot first, then what uses them.
// clang-format off
#include "kernels/quant/tokens_inl.h"
#include "kernels/quant/dot_vnni_inl.h"
#include "kernels/quant/product_inl.h"
#include "kernels/quant/x86/packed_inl.h"
// clang-format on
