#include "tests/trainer/job/tensorboard_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "common/file.h"
#include "trainer/job/tensorboard.h"

namespace tunesmith::trainer {

std::vector<std::string> TensorBoardFiles(const std::string& run_directory) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(run_directory + "/tensorboard"))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<v1::TensorBoardEvent> ReadTensorBoardFile(const std::string& path) {
  const std::string contents = *ReadFile(path);
  std::vector<v1::TensorBoardEvent> events;
  for (size_t at = 0; at < contents.size();) {
    uint64_t length = 0;
    std::memcpy(&length, contents.data() + at, sizeof length);
    const std::string bytes = contents.substr(at + 12, length);
    EXPECT_EQ(contents.substr(at, length + 16), TensorBoardRecord(bytes)) << "at byte " << at;
    EXPECT_TRUE(events.emplace_back().ParseFromString(bytes));
    at += length + 16;
  }
  return events;
}

std::map<int64_t, float> CurveOf(const std::vector<v1::TensorBoardEvent>& events,
                                 const std::string& tag) {
  std::map<int64_t, float> curve;
  for (const v1::TensorBoardEvent& event : events) {
    for (const auto& value : event.summary().value()) {
      if (value.tag() == tag) curve[event.step()] = value.simple_value();
    }
  }
  return curve;
}

}  // namespace tunesmith::trainer
