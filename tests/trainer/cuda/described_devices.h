#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tunesmith::trainer {

struct DescribedDevice {
  std::string name;  // "H100"
  int64_t compute_capability = 0;
  std::string json;  // what cuDNN is told of it
};

// H100 SXM (sm_90), A100 SXM (sm_80), RTX 4090 (sm_89).
const std::vector<DescribedDevice>& DescribedDevices();

}  // namespace tunesmith::trainer
