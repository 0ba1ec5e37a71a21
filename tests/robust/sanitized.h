// Whether a sanitizer watches this build: it takes time, and memory of its own.
#pragma once
#include <initializer_list>
#include <vector>

namespace bezel::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSanitized = false;
#endif

// What results are compared over; with a sanitizer the last alone: it watches memory, and other
// builds compare.
template <class T>
std::vector<T> compared(std::initializer_list<T> all) {
  return kSanitized ? std::vector<T>{*(all.end() - 1)} : std::vector<T>(all);
}

}  // namespace bezel::test
