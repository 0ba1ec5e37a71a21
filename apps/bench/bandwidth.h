// What this machine's memory gives to a plain walk.
#pragma once
#include "kernels/kernels.h"

namespace bezel::app {

// 10^9 bytes a second that all threads together read from memory: the best of five walks through a
// buffer that no cache holds. 0: no memory for it.
double read_bandwidth(const KernelTable& table, int threads);

}  // namespace bezel::app
