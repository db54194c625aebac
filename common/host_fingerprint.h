#pragma once

#include <string>

namespace tunesmith {

// What identifies a host for measurements of its processor: model, processors that this process may use, memory in GiB, and the version of the trainer.
std::string HostFingerprint();

}  // namespace tunesmith
