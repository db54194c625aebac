#include "trainer/cuda/cuda_context.h"

#include <string>

#include "gtest/gtest.h"

// What holds on every host: with CUDA or without, with a device or without.
namespace tunesmith::trainer {
namespace {

TEST(CudaContextTest, ListsDevicesOrSaysWhatIsMissing) {
  const auto devices = ListCudaDevices();
  if (devices.ok()) {
    for (const CudaDeviceInfo& device : *devices) EXPECT_GT(device.memory_bytes, 0);
    return;
  }
  const std::string message(devices.status().message());
  EXPECT_TRUE(absl::IsUnavailable(devices.status()) || absl::IsUnimplemented(devices.status()))
      << message;
  EXPECT_TRUE(message.find("--device cpu") != message.npos ||
              message.find("bundle") != message.npos)
      << message;
}

TEST(CudaContextTest, RefusesADeviceThatIsNotThere) {
  EXPECT_FALSE(CudaContext::Create({.device = 1000}).ok());
  EXPECT_FALSE(CudaContext::Create({.device = -1}).ok());
}

TEST(CudaContextTest, PrintsVersions) {
  EXPECT_EQ(CudaVersionText(13000), "13.0");
  EXPECT_EQ(CudaVersionText(12080), "12.8");
}

}  // namespace
}  // namespace tunesmith::trainer
