// Floats as they are stored, taken into registers: weights, keys and values.

namespace bezel {
namespace {

struct FromF32 {
  static constexpr int kBytes = 4;
  static Reg load(const std::byte* p) { return V::load(reinterpret_cast<const float*>(p)); }
  static float value(const std::byte* p) {
    float x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
};
struct FromF16 {
  static constexpr int kBytes = 2;
  static Reg load(const std::byte* p) { return V::load_f16(p); }
  static float value(const std::byte* p) {
    std::uint16_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return f32_from_f16(bits);
  }
};
struct FromBF16 {
  static constexpr int kBytes = 2;
  static Reg load(const std::byte* p) { return V::load_bf16(p); }
  static float value(const std::byte* p) {
    const auto high = [&] {
      std::uint16_t bits;
      __builtin_memcpy(&bits, p, sizeof bits);
      return bits;
    }();
    const std::uint32_t bits = static_cast<std::uint32_t>(high) << 16U;
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
  }
};

// Calls fn with the From of a float type.
template <class Fn>
void with_stored(DType type, const Fn& fn) {
  if (type == DType::F32)
    fn(FromF32{});
  else if (type == DType::F16)
    fn(FromF16{});
  else
    fn(FromBF16{});
}

}  // namespace
}  // namespace bezel
