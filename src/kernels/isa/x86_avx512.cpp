// The table of AVX-512 F, BW, DQ and VL (Skylake-X 2017 and later).
#include "kernels/isa/tables.h"
// Order matters: V first, then the algorithms on it, in the order in which they use each other.
// clang-format off
#include "kernels/isa/vec_avx512_inl.h"
#include "kernels/generic/math_inl.h"
#include "kernels/generic/rows_inl.h"
#include "kernels/generic/stored_inl.h"
#include "kernels/generic/product_inl.h"
#include "kernels/generic/attention_inl.h"
#include "kernels/generic/x86_layout_inl.h"
// clang-format on
#include "kernels/quant/q8_avx512_inl.h"

namespace bezel {

const KernelTable kAvx512Table = {
    .name = "avx512",
    .needs = kCpuAvx2 | kCpuAvx512,
    .tile = quant::Q::kTokens,
    .packed_tokens = quant::Q::kMostPacked,
    .quantize_q8 = quantize_q8,
    .expand_q8 = expand_q8,
    .product_q8 = product_q8,
    .expand_packed_q8 = expand_packed_q8,
    .product_packed_q8 = product_packed_q8,
    .expand_f32 = expand_f32,
    .product_f32 = product_f32,
    .sum_squares = sum_squares,
    .scale_weight = scale_weight,
    .add = add,
    .scale = scale,
    .fma_row = fma_row,
    .gelu_mul = gelu_mul,
    .soft_cap = soft_cap,
    .softmax = softmax,
    .rope = rope,
    .attend_segment = attend_segment,
    .join_segment = join_segment,
    .store_kv = store_kv,
};

}  // namespace bezel
