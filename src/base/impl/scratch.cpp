#include "base/scratch.h"

#include <algorithm>
#include <new>

namespace bezel {

namespace {
constexpr std::size_t kAlign = 64;
constexpr std::size_t round_up(std::size_t n) {
  return (n + kAlign - 1) / kAlign * kAlign;
}
}  // namespace

Scratch::Scratch(std::size_t size_bytes)
    : size_(round_up(size_bytes)),
      data_(static_cast<std::byte*>(::operator new[](size_, std::align_val_t{kAlign}))) {}

void Scratch::Free::operator()(std::byte* p) const {
  ::operator delete[](p, std::align_val_t{kAlign});
}

std::byte* Scratch::bytes(std::size_t n) {
  const std::size_t need = round_up(n);
  BEZEL_CHECK(need <= size_ - used_);
  std::byte* p = data_.get() + used_;
  used_ += need;
  peak_ = std::max(peak_, used_);
  return p;
}

std::size_t Scratch::mat_bytes(std::size_t rows, std::size_t cols) {
  return rows * round_up(cols * sizeof(float));
}

Mat Scratch::mat(int rows, int cols) {
  const auto r = static_cast<std::size_t>(rows), c = static_cast<std::size_t>(cols);
  const std::size_t row_bytes = round_up(c * sizeof(float));
  auto* p = reinterpret_cast<float*>(bytes(r * row_bytes));
  return {p, rows, cols, static_cast<std::ptrdiff_t>(row_bytes / sizeof(float))};
}

}  // namespace bezel
