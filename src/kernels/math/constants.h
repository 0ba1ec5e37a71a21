// Constants of exp, tanh and gelu_tanh (docs/numerics.md, "Functions"). Minimax fits by the Remez
// exchange, rounded to float32; macros-free and without functions, so that every table may include
// it.
#pragma once

namespace bezel::math {

// exp(x) = 2^n * (1 + s), n = round(x / ln 2), r = x - n ln 2, s = r + r^2 (c2 + c3 r + c4 r^2 +
// ...).
inline constexpr float kExpLow = -87.0F;  // below: +0
inline constexpr float kExpHigh = 88.0F;  // above: exp(88)
inline constexpr float kLog2E = 0x1.715476p+0F;
inline constexpr float kLn2High = 0x1.62e4p-1F;  // n * kLn2High is exact
inline constexpr float kLn2Low = 0x1.7f7d1cp-20F;
inline constexpr float kRoundMagic = 0x1.8p+23F;  // adding it rounds to an integer in the low bits
inline constexpr float kExpC2 = 0x1.fffffcp-2F;
inline constexpr float kExpC3 = 0x1.55549p-3F;
inline constexpr float kExpC4 = 0x1.5558fcp-5F;
inline constexpr float kExpC5 = 0x1.123b68p-7F;
inline constexpr float kExpC6 = 0x1.6a21a8p-10F;

// tanh(x) = x + x z (t0 + t1 z + t2 z^2 + t3 z^3 + t4 z^4), z = x^2, below kTanhSwitch; above it
// 1 - 2 / (exp(2 x) + 1).
inline constexpr float kTanhSwitch = 0.625F;
inline constexpr float kTanhT0 = -0x1.55552ap-2F;
inline constexpr float kTanhT1 = 0x1.110546p-3F;
inline constexpr float kTanhT2 = -0x1.b7fbfp-5F;
inline constexpr float kTanhT3 = 0x1.507918p-6F;
inline constexpr float kTanhT4 = -0x1.6e41eap-8F;

// gelu_tanh(x) = x/2 (1 + tanh(x (g0 + g1 x^2))), g0 = sqrt(2 / pi), g1 = 0.044715 g0.
inline constexpr float kGeluG0 = 0x1.988454p-1F;
inline constexpr float kGeluG1 = 0x1.2444f2p-5F;

}  // namespace bezel::math
