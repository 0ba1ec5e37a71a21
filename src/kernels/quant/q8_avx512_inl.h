// The quantised product on AVX-512 without the integer dot product.
#include "kernels/quant/x86/floats_inl.h"
#include "kernels/quant/x86/lanes512_inl.h"
#include "kernels/quant/x86/round512_inl.h"

namespace bezel {
namespace {
namespace quant {

struct Q : Lanes512 {
  static constexpr int kTokens = 8;        // of the widest register tile
  static constexpr int kPartsAtOnce = 1;   // registers of rows in a tile
  static constexpr int kPackedTokens = 8;  // of the widest tile from packed weights
  static constexpr int kMostPacked = kFewTokens;

  static Int pairs(Int w, Int x) { return _mm512_maddubs_epi16(w, x); }
  static Int widen(Int p) { return _mm512_madd_epi16(p, _mm512_set1_epi16(1)); }
  static Int add16(Int a, Int b) { return _mm512_add_epi16(a, b); }
  static Int abs8(Int a) { return _mm512_abs_epi8(a); }
  static Int with_sign(Int x, Int w) {
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
  }
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
