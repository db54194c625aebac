#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace tunesmith {

// A directory that goes away with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_(testing::TempDir() + "tunesmith_" + std::to_string(::getpid()) + "_" + Name()) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  // A test may have several.
  static std::string Name() {
    static int count = 0;
    return std::to_string(++count) + "_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  std::string path_;
};

}  // namespace tunesmith
