#pragma once

#include <string_view>

// What share of a datasheet a device reaches under PyTorch, per kind of work. Each row says what it was set from.
namespace tunesmith::runtimes {

struct DeviceRates {
  std::string_view device;  // planner::Hardware::name; empty: any other
  double gemm_share = 0;    // of the dense 16-bit rate, large products
  double flash_share = 0;   // of the dense 16-bit rate, flash attention, causal half counted
  double masked_flops_per_second = 0;  // sdpa with an explicit mask, causal half counted
  double masked_wide_head_share = 1;   // of that, with heads of more than 128 elements
  double fp32_gemm_share = 0;          // of the fp32 rate, products in fp32 (no TF32)
  double memory_share = 0;             // of the memory's rate, elementwise kernels
  double collective_bytes_per_second =
      0;  // all-gather and reduce-scatter inside a node, each GPU, algorithm bandwidth
  bool collectives_overlap = false;  // behind compute
  bool measured = false;             // set from published measurements of this device
  std::string_view source;
};

// The row of a device, else the one for others.
const DeviceRates& RatesOf(std::string_view device);

}  // namespace tunesmith::runtimes
