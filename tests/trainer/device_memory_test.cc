#include "trainer/device_memory.h"

#include <cstdint>
#include <vector>

#include "common/units.h"
#include "gtest/gtest.h"

namespace tunesmith::trainer {
namespace {

TEST(CpuMemoryTest, StartsOnAHugePage) {
  auto memory = DeviceMemory::Allocate({}, 5);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ((*memory)->size_bytes(), 5);
  EXPECT_EQ(reinterpret_cast<intptr_t>((*memory)->data()) % (2 * kMiB), 0);
}

TEST(CpuMemoryTest, FillsAndCopiesTheRangeAlone) {
  auto memory = DeviceMemory::Allocate({}, 8);
  ASSERT_TRUE(memory.ok()) << memory.status();
  const std::vector<uint8_t> in = {10, 11};
  ASSERT_TRUE((*memory)->Fill(0, 8, 7).ok());
  ASSERT_TRUE((*memory)->CopyFromHost(3, in.data(), 2).ok());
  std::vector<uint8_t> out(8);
  ASSERT_TRUE((*memory)->CopyToHost(out.data(), 0, 8).ok());
  EXPECT_EQ(out, (std::vector<uint8_t>{7, 7, 7, 10, 11, 7, 7, 7}));
  EXPECT_TRUE((*memory)->Synchronize().ok());
}

TEST(CpuMemoryTest, RefusesRangesOutside) {
  auto memory = DeviceMemory::Allocate({}, 8);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_EQ((*memory)->Fill(7, 2, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*memory)->Fill(-1, 2, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*memory)->Fill(0, INT64_MAX, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE((*memory)->Fill(8, 0, 0).ok());
}

TEST(CpuMemoryTest, ZeroBytesAreValid) {
  auto memory = DeviceMemory::Allocate({}, 0);
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_TRUE((*memory)->CopyToHost(nullptr, 0, 0).ok());
}

TEST(CpuMemoryTest, SaysHowMuchItCouldNotGive) {
  auto memory = DeviceMemory::Allocate({}, int64_t{1} << 55);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(memory.status().message().find("36028797018963968 bytes"), std::string::npos);
  EXPECT_EQ(DeviceMemory::Allocate({}, -1).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tunesmith::trainer
