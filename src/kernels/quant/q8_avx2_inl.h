// The quantised product on AVX2.
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
  static constexpr int kMostPacked = 3;    // beyond, a panel is expanded first

  static Int pairs(Int w, Int x) { return _mm256_maddubs_epi16(w, x); }
  static Int widen(Int p) { return _mm256_madd_epi16(p, _mm256_set1_epi16(1)); }
  static Int add16(Int a, Int b) { return _mm256_add_epi16(a, b); }
  static Int abs8(Int a) { return _mm256_abs_epi8(a); }
  static Int with_sign(Int x, Int w) { return _mm256_sign_epi8(x, w); }
};

}  // namespace quant
}  // namespace
}  // namespace bezel

// Order matters: tokens and the dot first, then what uses them.
// clang-format off
#include "kernels/quant/tokens_inl.h"
#include "kernels/quant/dot_pairs_inl.h"
#include "kernels/quant/product_inl.h"
#include "kernels/quant/x86/packed_inl.h"
// clang-format on
