// Bump arena for one forward pass: everything taken inside a frame is given back when it ends.
#pragma once
#include <cstddef>
#include <memory>

#include "base/view.h"

namespace bezel {

// Engine thread only. Sized once from the model and the largest batch; asking for more than that
// is our bug, so it aborts instead of growing. The constructor may throw std::bad_alloc.
class Scratch {
 public:
  explicit Scratch(std::size_t size_bytes);

  class Frame {
   public:
    explicit Frame(Scratch& s) : s_(s), mark_(s.used_) {}
    ~Frame() { s_.used_ = mark_; }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

   private:
    Scratch& s_;
    std::size_t mark_;
  };
  [[nodiscard]] Frame frame() { return Frame(*this); }

  // Uninitialised [rows, cols]; every row starts 64-byte aligned.
  Mat mat(int rows, int cols);
  // Uninitialised bytes, 64-byte aligned.
  std::byte* bytes(std::size_t n);
  // Bytes that mat(rows, cols) takes.
  static std::size_t mat_bytes(std::size_t rows, std::size_t cols);

  std::size_t peak_bytes() const { return peak_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::size_t size_, used_ = 0, peak_ = 0;
  std::unique_ptr<std::byte[], Free> data_;
};

}  // namespace bezel
