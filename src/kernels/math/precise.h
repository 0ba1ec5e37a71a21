// exp, log, sine and cosine in double, built from IEEE + - * / only and therefore the same on every
// machine. For tables that are computed once; never in an inner loop.
#pragma once

namespace bezel::math {

// Relative error below 2^-50 for -700 <= x <= 700; other x are our bug.
double precise_exp(double x);
// Relative error below 2^-50 (absolute below 2^-52 near 1) for normal x > 0; others are our bug.
double precise_log(double x);

struct SinCos {
  double sin, cos;
};
// Absolute error below 2^-50 for 0 <= x <= 2^20 (positions to a million); others are our bug.
SinCos precise_sincos(double x);

}  // namespace bezel::math
