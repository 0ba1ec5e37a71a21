// The quantised product on AVX-512 with the integer dot product.
#include "kernels/quant/x86/floats_inl.h"
#include "kernels/quant/x86/lanes512_inl.h"
#include "kernels/quant/x86/round512_inl.h"

namespace bezel {
namespace {
namespace quant {

struct Q : Lanes512 {
  static constexpr int kTokens = 12;       // of the widest register tile
  static constexpr int kPartsAtOnce = 1;   // registers of rows in a tile
  static constexpr int kPackedTokens = 8;  // of the widest tile from packed weights
  static constexpr int kMostPacked = 11;   // a tile of twelve is quicker from a panel

  static Int dot(Int acc, Int w, Int x) { return _mm512_dpbusd_epi32(acc, w, x); }
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
