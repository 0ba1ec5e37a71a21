#include "base/fp_env.h"

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace bezel {

#if defined(__x86_64__) || defined(__i386__)

// MXCSR: all exceptions masked, round to nearest even, flush-to-zero (bit 15) and
// denormals-are-zero (bit 6) off: its value at reset.
namespace {
constexpr unsigned kMxcsr = 0x1F80;
}

FpEnv::FpEnv() : saved_(_mm_getcsr()) {
  _mm_setcsr(kMxcsr);
}
FpEnv::~FpEnv() {
  _mm_setcsr(static_cast<unsigned>(saved_));
}

#elif defined(__aarch64__)

// FPCR zero: round to nearest even, no flush to zero (FZ, FZ16), no default NaN, no traps.
namespace {
void set_fpcr(std::uint64_t value) {
  asm volatile("msr fpcr, %0" : : "r"(value) : "memory");
}
std::uint64_t fpcr() {
  std::uint64_t value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
}  // namespace

FpEnv::FpEnv() : saved_(fpcr()) {
  set_fpcr(0);
}
FpEnv::~FpEnv() {
  set_fpcr(saved_);
}

#else

FpEnv::FpEnv() : saved_(static_cast<std::uint64_t>(std::fegetround())) {
  std::fesetround(FE_TONEAREST);
}
FpEnv::~FpEnv() {
  std::fesetround(static_cast<int>(saved_));
}

#endif

}  // namespace bezel
