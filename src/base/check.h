// Our own mistakes abort with file and line; wrong input never comes here.
#pragma once

namespace bezel {
[[noreturn]] void check_failed(const char* file, int line, const char* condition);
}  // namespace bezel

// Always on: once per operation, never in an inner loop.
#define BEZEL_CHECK(cond) ((cond) ? (void)0 : ::bezel::check_failed(__FILE__, __LINE__, #cond))
// Only in builds without NDEBUG: for inner loops.
#ifdef NDEBUG
#define BEZEL_DCHECK(cond) ((void)0)
#else
#define BEZEL_DCHECK(cond) BEZEL_CHECK(cond)
#endif
