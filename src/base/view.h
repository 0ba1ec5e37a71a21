// Borrowed row-major matrices. A view is three words; copying one never copies the data.
#pragma once
#include <cstddef>
#include <span>

#include "base/check.h"

namespace bezel {

template <class T>
struct View {
  T* data = nullptr;
  int rows = 0;
  int cols = 0;
  std::ptrdiff_t stride = 0;  // elements from one row to the next, >= cols

  T* row(int r) const {
    BEZEL_DCHECK(0 <= r && r < rows);
    return data + r * stride;
  }
  std::span<T> row_span(int r) const { return {row(r), static_cast<std::size_t>(cols)}; }
  // NOLINTNEXTLINE(google-explicit-constructor): a Mat is a ConstMat
  operator View<const T>() const { return {data, rows, cols, stride}; }
  // Columns [first, first + n) of every row.
  View columns(int first, int n) const {
    BEZEL_CHECK(0 <= first && 0 <= n && first + n <= cols);
    return {data + first, rows, n, stride};
  }
  // Rows [first, first + n).
  View row_range(int first, int n) const {
    BEZEL_CHECK(0 <= first && 0 <= n && first + n <= rows);
    return {data + first * stride, n, cols, stride};
  }
};
using Mat = View<float>;
using ConstMat = View<const float>;

}  // namespace bezel
