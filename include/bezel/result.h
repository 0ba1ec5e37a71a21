// Errors as values: everything that reads outside data returns Result<T>. Std includes only.
#pragma once
#include <string>
#include <utility>
#include <variant>

namespace bezel {

enum class Errc {
  BadFile,      // a model, tokenizer or text file is not what it must be
  BadInput,     // a request, flag, JSON or prompt is wrong
  Unsupported,  // valid, but this build or this machine cannot do it
  NotFound,     // a file, name or tensor does not exist
  TooLarge,     // does not fit the context, the memory or a stated limit
  Io,           // the operating system refused
  NoMemory,     // an allocation failed
  Cancelled,    // the caller asked to stop
  Busy,         // too much is running already; later it may work
  Numeric,      // NaN or infinity inside the model
};

// One sentence for a person (what was expected, what was found, what to do), and the file, tensor
// or field it was found in. Never points into freed input.
struct Error {
  Errc code = Errc::BadInput;
  std::string what;
  std::string where;

  // "where: what", or `what` alone.
  std::string text() const { return where.empty() ? what : where + ": " + what; }
};

template <class T>
class [[nodiscard]] Result {
 public:
  // Implicit, so that `return value;` and `return Error{...};` both work.
  // NOLINTBEGIN(google-explicit-constructor)
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : v_(std::in_place_index<1>, std::move(error)) {}
  // NOLINTEND(google-explicit-constructor)

  explicit operator bool() const { return v_.index() == 0; }
  T& operator*() & { return std::get<0>(v_); }
  const T& operator*() const& { return std::get<0>(v_); }
  T&& operator*() && { return std::get<0>(std::move(v_)); }
  T* operator->() { return &std::get<0>(v_); }
  const T* operator->() const { return &std::get<0>(v_); }
  const Error& error() const { return std::get<1>(v_); }

 private:
  std::variant<T, Error> v_;
};

struct Ok {};
using Status = Result<Ok>;

}  // namespace bezel

#define BEZEL_CAT2(a, b) a##b
#define BEZEL_CAT(a, b) BEZEL_CAT2(a, b)
// BEZEL_TRY(auto file, open(path));  declares `file`, or returns the error to the caller.
#define BEZEL_TRY(decl, expr)                                                     \
  auto BEZEL_CAT(result_, __LINE__) = (expr);                                     \
  if (!BEZEL_CAT(result_, __LINE__)) return BEZEL_CAT(result_, __LINE__).error(); \
  decl = *std::move(BEZEL_CAT(result_, __LINE__))
// BEZEL_DO(check(x));  returns the error of a Status to the caller.
#define BEZEL_DO(expr)                                                           \
  if (auto BEZEL_CAT(status_, __LINE__) = (expr); !BEZEL_CAT(status_, __LINE__)) \
  return BEZEL_CAT(status_, __LINE__).error()
