#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace bezel {

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: internal error, please report it: %s does not hold\n", file, line,
               condition);
  std::abort();
}

}  // namespace bezel
