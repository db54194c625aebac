#include "planner/model/hardware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "common/meminfo.h"
#include "common/units.h"
#include "common/vector_unit.h"
#include "planner/model/device_names.h"
#include "planner/model/hardware_host.h"
#include "planner/price/price.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

TEST(HardwareCatalogTest, EveryRowHasASourceAndPositiveNumbers) {
  std::set<std::string> names;
  for (const Hardware& row : HardwareCatalog()) {
    SCOPED_TRACE(row.name);
    EXPECT_TRUE(names.insert(row.name).second);
    EXPECT_GT(row.source.size(), 10u);
    EXPECT_FALSE(row.description.empty());
    EXPECT_GT(row.memory_bytes, 0);
    EXPECT_GT(row.memory_bytes_per_second, 0);
    EXPECT_GT(row.fp32_dense_flops_per_second, 0);
    EXPECT_GT(row.link_bytes_per_second, 0);
    EXPECT_GT(row.host_bytes_per_second, 0);
  }
}

TEST(HardwareCatalogTest, TrainerRunsFromAmpereOn) {
  for (const Hardware& row : HardwareCatalog()) {
    SCOPED_TRACE(row.name);
    const bool is_cpu = row.compute_capability == 0;
    const bool has_bf16 = row.compute_capability >= 80;
    EXPECT_EQ(row.trainer_runs, is_cpu || has_bf16);
    if (!is_cpu) {
      EXPECT_EQ(row.bf16_dense_flops_per_second > 0, has_bf16);
    }
    EXPECT_EQ(row.fp16_dense_flops_per_second > 0, !is_cpu);
  }
}

// Tensor cores do 128 (GeForce), 256, 512 or 1024 dense fp16 multiply-adds per SM and clock. A rate
// twice as high is a sparse one. Bounds from the SM counts and boost clocks of the whitepapers: SMs
// x multiply-adds x 2 x clock.
TEST(HardwareCatalogTest, TensorRatesAreDense) {
  struct Bound {
    const char* name;
    double sm_count, multiply_adds, boost_hz;
  };
  for (const Bound& bound : std::vector<Bound>{{"V100-16GB", 80, 512, 1.53e9},
                                               {"T4", 40, 512, 1.59e9},
                                               {"A100-80GB", 108, 1024, 1.41e9},
                                               {"A10G", 80, 256, 1.71e9},
                                               {"L4", 58, 512, 2.04e9},
                                               {"L40S", 142, 512, 2.52e9},
                                               {"RTX-3090", 82, 256, 1.70e9},
                                               {"RTX-4090", 128, 256, 2.52e9},
                                               {"RTX-5090", 170, 256, 2.41e9},
                                               {"H100-SXM", 132, 2048, 1.83e9},
                                               {"H100-PCIe", 114, 2048, 1.755e9},
                                               {"H200", 132, 2048, 1.83e9}}) {
    const Hardware row = FindHardware(bound.name).value();
    const double peak = 2 * bound.sm_count * bound.multiply_adds * bound.boost_hz;
    EXPECT_NEAR(row.fp16_dense_flops_per_second / peak, 1.0, 0.08) << bound.name;
  }
}

TEST(HardwareCatalogTest, HoldsTheDevicesOfTheReadme) {
  for (const char* name :
       {"V100-16GB", "V100-32GB", "T4", "A10G", "A100-40GB", "A100-80GB", "L4", "L40S", "RTX-3090",
        "RTX-4090", "RTX-5090", "H100-SXM", "H100-PCIe", "H200", "B200", "cpu"}) {
    EXPECT_TRUE(FindHardware(name).ok()) << name;
  }
}

TEST(FindHardwareTest, IgnoresCaseAndKnowsAliases) {
  EXPECT_EQ(FindHardware("a100-80gb")->name, "A100-80GB");
  EXPECT_EQ(FindHardware("H100")->name, "H100-SXM");
}

TEST(FindHardwareTest, UnknownNamesGetTheNearest) {
  const absl::Status status = FindHardware("A100-8OGB").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("'A100-80GB'"));
  EXPECT_THAT(FindHardware("A100").status().message(), HasSubstr("'A100-40GB' or 'A100-80GB'"));
  EXPECT_THAT(FindHardware("").status().message(), HasSubstr("known: V100-16GB"));
}

TEST(ParseDeviceGroupTest, CountsAreOptional) {
  EXPECT_EQ(ParseDeviceGroup("8xA100-80GB")->device_count, 8);
  EXPECT_EQ(ParseDeviceGroup("8xA100-80GB")->hardware.name, "A100-80GB");
  EXPECT_EQ(ParseDeviceGroup("4Xh200")->hardware.name, "H200");
  EXPECT_EQ(ParseDeviceGroup("cpu")->device_count, 1);
}

TEST(ParseDeviceGroupTest, BadTextIsNamed) {
  for (const char* text :
       {"0xT4", "-2xT4", "99999999999999999999xT4", "100000xT4", "8x", "+2xT4", ""}) {
    EXPECT_EQ(ParseDeviceGroup(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(ParseDeviceGroup("0xT4").status().message(),
              HasSubstr("device count 0 in '0xT4' must be 1 to"));
  for (const char* text : {"xT4", "8 T4", "8xNOPE", "2.5xT4"}) {
    EXPECT_EQ(ParseDeviceGroup(text).status().code(), absl::StatusCode::kNotFound) << text;
  }
}

TEST(DeviceNamesTest, DriversNameRowsOfTheCatalog) {
  EXPECT_EQ(FindHardwareOfDevice("NVIDIA H100 80GB HBM3")->name, "H100-SXM");
  EXPECT_EQ(FindHardwareOfDevice("NVIDIA H100 PCIe")->name, "H100-PCIe");
  EXPECT_EQ(FindHardwareOfDevice("NVIDIA H200")->name, "H200");
  EXPECT_EQ(FindHardwareOfDevice("NVIDIA A100-SXM4-40GB")->name, "A100-40GB");
  const absl::Status unknown = FindHardwareOfDevice("NVIDIA H100 NVL").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(unknown.message(), HasSubstr("'NVIDIA H100 NVL'"));
  EXPECT_THAT(unknown.message(), HasSubstr("--hardware"));
}

TEST(HostHardwareTest, ReadsAvailableMemory) {
  EXPECT_EQ(
      MeminfoBytes("MemTotal:  100 kB\nMemAvailable:    2048 kB\nBuffers: 1 kB\n", "MemAvailable"),
      2048 * kKiB);
  EXPECT_EQ(MeminfoBytes("MemTotal:  100 kB\n", "MemAvailable"), 0);
  EXPECT_EQ(MeminfoBytes("MemAvailable: 99999999999999999999 kB\n", "MemAvailable"), 0);
  EXPECT_EQ(MeminfoBytes("MemAvailable: 9223372036854775807 kB\n", "MemAvailable"), 0);
  EXPECT_EQ(MeminfoBytes("", "MemAvailable"), 0);
}

// Rates of two machines that were calibrated (docs/benchmarks/accuracy.md) lie within the factor that an uncalibrated host's times are given.
TEST(HostHardwareTest, RatesAreWhatMeasuredHostsHave) {
  const Hardware host = HostHardware();
  const double processors = static_cast<double>(std::thread::hardware_concurrency());
  const double flops = host.fp32_dense_flops_per_second / processors;
  if (WidestVectorUnit() == VectorUnit::k512) {
    for (const double measured : {84e9, 128e9}) {
      EXPECT_GT(kDatasheetGemmShare * flops * 2, measured);
      EXPECT_LT(kDatasheetGemmShare * flops / 2, measured);
    }
  }
  EXPECT_GE(flops, 40e9);
  EXPECT_LE(host.memory_bytes_per_second, kAssumedHostMemoryBytesPerSecond);
  EXPECT_LE(host.memory_bytes_per_second, processors * 20e9);
}

}  // namespace
}  // namespace tunesmith::planner
