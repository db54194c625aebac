#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common/file.h"

namespace tunesmith {
namespace {

// Of this process: what it maps of files and has touched, kB.
int64_t ResidentFileKilobytes() {
  const std::string status = ReadFile("/proc/self/status").value();
  return std::atoll(status.c_str() + status.find("RssFile:") + sizeof "RssFile:" - 1);
}

TEST(FileReleaseTest, MemoryIsGivenBackAndTheBytesStay) {
  const std::string path = ::testing::TempDir() + "/file_release_test." + std::to_string(getpid());
  std::string bytes(32 << 20, 'a');
  for (size_t i = 0; i < bytes.size(); i += 1000) bytes[i] = static_cast<char>(i / 1000 % 251);
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok());
  const int64_t before = ResidentFileKilobytes();
  EXPECT_EQ(file->bytes(), bytes);
  EXPECT_GT(ResidentFileKilobytes(), before + 30 * 1024);
  MappedFile::Release(file->bytes().substr(100, bytes.size() - 200));
  EXPECT_LT(ResidentFileKilobytes(), before + 2 * 1024);
  EXPECT_EQ(file->bytes(), bytes) << "it is read again";
  MappedFile::Release({});
  MappedFile::Release(file->bytes().substr(5, 10));
  EXPECT_EQ(file->bytes(), bytes);
  unlink(path.c_str());
}

}  // namespace
}  // namespace tunesmith
