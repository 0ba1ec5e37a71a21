// The tables that are compiled in, one per isa/*.cpp; dispatch.cpp lists and chooses them.
#pragma once
#include "kernels/kernels.h"

namespace bezel {

extern const KernelTable kScalarTable;
#if defined(__x86_64__)
extern const KernelTable kAvx2Table;
extern const KernelTable kAvxVnniTable;
extern const KernelTable kAvx512Table;
extern const KernelTable kAvx512VnniTable;
#endif

}  // namespace bezel
