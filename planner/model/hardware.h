#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "planner/model/mix.h"

// Devices as their datasheets describe them. Rates are dense (no structured sparsity), per device.
namespace tunesmith::planner {

struct Hardware {
  std::string name;  // "A100-80GB", as on the command line
  std::string description;
  int64_t memory_bytes = 0;
  double memory_bytes_per_second = 0;
  double bf16_dense_flops_per_second = 0;  // 0: no products of bf16 (GPUs below sm_80)
  double fp16_dense_flops_per_second = 0;
  double fp32_dense_flops_per_second = 0;
  // Device to device, one direction: NVLink where there is one, else PCIe.
  double link_bytes_per_second = 0;
  double host_bytes_per_second = 0;  // device to host, one direction
  int64_t compute_capability = 0;    // 80 for sm_80; 0 for a CPU
  bool trainer_runs = false;         // the bundled trainer runs there
  std::string source;                // datasheet or whitepaper, with its year
};

// What is computed in where nobody says: bf16 on GPUs that have it, fp32 elsewhere.
inline Precision UsualPrecision(const Hardware& hardware) {
  const bool narrow = hardware.compute_capability > 0 && hardware.bf16_dense_flops_per_second > 0;
  return narrow ? Precision::kBf16 : Precision::kFp32;
}

// Whether the host has memory that is not the device's.
inline bool HasHostMemory(const Hardware& hardware) {
  return hardware.compute_capability > 0 && hardware.host_bytes_per_second > 0;
}

// Every row, in the order of the tables that people see. `cpu` is this host: memory from the system, rates by the width of its vectors
// until it is calibrated.
const std::vector<Hardware>& HardwareCatalog();

// Of a socket's memory, where nothing is known of it: eight channels of DDR4-3200 give 205e9 by their datasheet, servers with GPUs have one or two times as many.
inline constexpr double kAssumedHostMemoryBytesPerSecond = 200e9;

// Exact name, ignoring case. NOT_FOUND with the nearest names.
absl::StatusOr<Hardware> FindHardware(std::string_view name);

struct DeviceGroup {
  Hardware hardware;
  int64_t device_count = 1;  // in all nodes together
  int64_t node_count = 1;
  double network_bytes_per_second =
      0;  // of a node, one direction; 0: kAssumedNetworkBytesPerSecond
};

// One 400 Gb/s adapter, as in AWS's p4d.24xlarge nodes (four of 100 Gb/s) and the least of InfiniBand NDR.
inline constexpr double kAssumedNetworkBytesPerSecond = 50e9;
// What the slowest link between nodes carries; 0 where there is one node.
double NetworkBytesPerSecond(const DeviceGroup& devices);

// Devices as people write them, the name not looked up.
struct NamedDevices {
  std::string name;
  int64_t device_count = 0;  // in all nodes together; 0: not told
  int64_t node_count = 0;    // 0: not told
};
// "8xA100-80GB", "A100-80GB", "2x8xA100-80GB". INVALID_ARGUMENT with the cure.
absl::StatusOr<NamedDevices> SplitDevices(std::string_view text);

// "8xA100-80GB", "A100-80GB", "cpu"; "2x8xA100-80GB": 2 nodes of 8. INVALID_ARGUMENT or NOT_FOUND with the cure.
absl::StatusOr<DeviceGroup> ParseDeviceGroup(std::string_view text);

}  // namespace tunesmith::planner
