#include "common/sync_directory.h"

#include <gtest/gtest.h>

namespace tunesmith {
namespace {

TEST(SyncDirectoryTest, ADirectoryThatCannotBeSyncedIsNoError) {
  EXPECT_TRUE(SyncDirectory(testing::TempDir()).ok());
  EXPECT_TRUE(SyncDirectory("/proc").ok());  // EINVAL
  EXPECT_TRUE(SyncDirectory("/absent").ok());
}

}  // namespace
}  // namespace tunesmith
