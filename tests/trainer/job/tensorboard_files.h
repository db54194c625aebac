#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tunesmith/v1/tensorboard.pb.h"

namespace tunesmith::trainer {

// The event files of a run, in the order of their names.
std::vector<std::string> TensorBoardFiles(const std::string& run_directory);

// All records of a file, whose checksums must be right.
std::vector<v1::TensorBoardEvent> ReadTensorBoardFile(const std::string& path);

// A curve's values by step.
std::map<int64_t, float> CurveOf(const std::vector<v1::TensorBoardEvent>& events,
                                 const std::string& tag);

}  // namespace tunesmith::trainer
