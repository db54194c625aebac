#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "trainer/model_io/tensor_names.h"

namespace tunesmith::trainer {

// OK when `found` holds the `expected` tensors in their shapes and nothing else; else
// INVALID_ARGUMENT that lists every missing, unexpected or wrongly shaped tensor. `where` names the
// file or directory, `config` what the expectation comes from.
absl::Status CheckTensors(std::string_view where, std::string_view config,
                          const std::vector<NamedShape>& expected,
                          const std::map<std::string, std::vector<int64_t>>& found);

}  // namespace tunesmith::trainer
