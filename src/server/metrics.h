// Numbers for Prometheus.
#pragma once
#include <string>

#include "bezel/service.h"

namespace bezel {

// The text format, version 0.0.4.
std::string metrics_text(const ServiceLoad& load, int connections);

}  // namespace bezel
