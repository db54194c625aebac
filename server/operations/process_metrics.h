#pragma once

#include "server/operations/metrics.h"

namespace tunesmith::server {

// Sets what Prometheus' own clients tell of a process (memory, files, start), under their names.
void CollectProcess(Metrics& metrics);

}  // namespace tunesmith::server
