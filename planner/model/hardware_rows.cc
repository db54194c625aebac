// GPUs, one row each.
//
// Memory is what CUDA programs can allocate from in all (cudaMemGetInfo's total with ECC as
// shipped, which PyTorch's out-of-memory messages print as "total capacity"): less than the round
// figure on the box. Where driver versions differ, the smaller figure is taken. Tensor rates are
// dense, with fp32 accumulation. Most datasheets since Ampere print the rate with 2:4 sparsity,
// twice the dense one; and GeForce cards run fp16 with fp32 accumulation at half the rate they
// advertise for fp16 accumulation. Link and host rates are per direction; datasheets print the sum
// of both. A bridge between two cards only (RTX 3090, H100 PCIe) is not counted as a link.
#include "planner/model/hardware_rows.h"

#include "common/units.h"

namespace tunesmith::planner {
namespace {

constexpr double kGiga = 1e9;
constexpr double kTera = 1e12;

// x16, per direction, after 128b/130b coding.
constexpr double kPcie3 = 15.75 * kGiga;
constexpr double kPcie4 = 31.5 * kGiga;
constexpr double kPcie5 = 63 * kGiga;

constexpr int64_t Bytes(double gibibytes) {
  return static_cast<int64_t>(gibibytes * static_cast<double>(kGiB));
}

// The bundled trainer's kernels need bf16 tensor cores.
constexpr int64_t kLeastComputeCapability = 80;

std::vector<Hardware> Rows() {
  return {
      {.name = "V100-16GB",
       .description = "Tesla V100 SXM2 16 GB",
       .memory_bytes = Bytes(15.77),
       .memory_bytes_per_second = 900 * kGiga,
       .fp16_dense_flops_per_second = 125 * kTera,
       .fp32_dense_flops_per_second = 15.7 * kTera,
       .link_bytes_per_second = 150 * kGiga,
       .host_bytes_per_second = kPcie3,
       .compute_capability = 70,
       .source = "NVIDIA V100 datasheet (2020), SXM2 column"},
      {.name = "V100-32GB",
       .description = "Tesla V100 SXM2 32 GB",
       .memory_bytes = Bytes(31.73),
       .memory_bytes_per_second = 900 * kGiga,
       .fp16_dense_flops_per_second = 125 * kTera,
       .fp32_dense_flops_per_second = 15.7 * kTera,
       .link_bytes_per_second = 150 * kGiga,
       .host_bytes_per_second = kPcie3,
       .compute_capability = 70,
       .source = "NVIDIA V100 datasheet (2020), SXM2 column"},
      {.name = "T4",
       .description = "Tesla T4 16 GB",
       .memory_bytes = Bytes(14.56),
       .memory_bytes_per_second = 300 * kGiga,
       .fp16_dense_flops_per_second = 65 * kTera,
       .fp32_dense_flops_per_second = 8.1 * kTera,
       .link_bytes_per_second = kPcie3,
       .host_bytes_per_second = kPcie3,
       .compute_capability = 75,
       .source = "NVIDIA T4 datasheet (2019)"},
      {.name = "A10G",
       .description = "A10G 24 GB",
       .memory_bytes = Bytes(21.98),
       .memory_bytes_per_second = 600 * kGiga,
       .bf16_dense_flops_per_second = 70 * kTera,
       .fp16_dense_flops_per_second = 70 * kTera,
       .fp32_dense_flops_per_second = 35 * kTera,
       .link_bytes_per_second = kPcie4,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 86,
       .source = "NVIDIA A10G datasheet (2021, AWS G5), half of the sparse 140 TFLOPS"},
      {.name = "A100-40GB",
       .description = "A100 SXM4 40 GB",
       .memory_bytes = Bytes(39.38),
       .memory_bytes_per_second = 1555 * kGiga,
       .bf16_dense_flops_per_second = 312 * kTera,
       .fp16_dense_flops_per_second = 312 * kTera,
       .fp32_dense_flops_per_second = 19.5 * kTera,
       .link_bytes_per_second = 300 * kGiga,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 80,
       .source = "NVIDIA A100 datasheet (2021), A100 40GB SXM column; 624 TFLOPS there are sparse"},
      {.name = "A100-80GB",
       .description = "A100 SXM4 80 GB",
       .memory_bytes = Bytes(79.14),
       .memory_bytes_per_second = 2039 * kGiga,
       .bf16_dense_flops_per_second = 312 * kTera,
       .fp16_dense_flops_per_second = 312 * kTera,
       .fp32_dense_flops_per_second = 19.5 * kTera,
       .link_bytes_per_second = 300 * kGiga,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 80,
       .source = "NVIDIA A100 datasheet (2021), A100 80GB SXM column; 624 TFLOPS there are sparse"},
      {.name = "L4",
       .description = "L4 24 GB",
       .memory_bytes = Bytes(21.95),
       .memory_bytes_per_second = 300 * kGiga,
       .bf16_dense_flops_per_second = 121 * kTera,
       .fp16_dense_flops_per_second = 121 * kTera,
       .fp32_dense_flops_per_second = 30.3 * kTera,
       .link_bytes_per_second = kPcie4,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 89,
       .source = "NVIDIA L4 datasheet (2023), half of the sparse 242 TFLOPS"},
      {.name = "L40S",
       .description = "L40S 48 GB",
       .memory_bytes = Bytes(44.30),
       .memory_bytes_per_second = 864 * kGiga,
       .bf16_dense_flops_per_second = 362.05 * kTera,
       .fp16_dense_flops_per_second = 362.05 * kTera,
       .fp32_dense_flops_per_second = 91.6 * kTera,
       .link_bytes_per_second = kPcie4,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 89,
       .source = "NVIDIA L40S datasheet (2023), the dense of \"362.05 | 733\" TFLOPS"},
      {.name = "RTX-3090",
       .description = "GeForce RTX 3090 24 GB",
       .memory_bytes = Bytes(23.56),
       .memory_bytes_per_second = 936 * kGiga,
       .bf16_dense_flops_per_second = 71 * kTera,
       .fp16_dense_flops_per_second = 71 * kTera,
       .fp32_dense_flops_per_second = 35.6 * kTera,
       .link_bytes_per_second = kPcie4,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 86,
       .source =
           "NVIDIA Ampere GA102 whitepaper (2020), appendix A, fp16 with fp32 accumulate, dense"},
      {.name = "RTX-4090",
       .description = "GeForce RTX 4090 24 GB",
       .memory_bytes = Bytes(23.52),
       .memory_bytes_per_second = 1008 * kGiga,
       .bf16_dense_flops_per_second = 165.2 * kTera,
       .fp16_dense_flops_per_second = 165.2 * kTera,
       .fp32_dense_flops_per_second = 82.6 * kTera,
       .link_bytes_per_second = kPcie4,
       .host_bytes_per_second = kPcie4,
       .compute_capability = 89,
       .source = "NVIDIA Ada whitepaper (2022), appendix A, fp16 with fp32 accumulate, dense"},
      {.name = "RTX-5090",
       .description = "GeForce RTX 5090 32 GB",
       .memory_bytes = Bytes(31.35),
       .memory_bytes_per_second = 1792 * kGiga,
       .bf16_dense_flops_per_second = 209.5 * kTera,
       .fp16_dense_flops_per_second = 209.5 * kTera,
       .fp32_dense_flops_per_second = 104.8 * kTera,
       .link_bytes_per_second = kPcie5,
       .host_bytes_per_second = kPcie5,
       .compute_capability = 120,
       .source =
           "NVIDIA RTX Blackwell whitepaper (2025), appendix A, fp16 with fp32 accumulate, dense"},
      {.name = "H100-SXM",
       .description = "H100 SXM5 80 GB",
       .memory_bytes = Bytes(79.09),
       .memory_bytes_per_second = 3350 * kGiga,
       .bf16_dense_flops_per_second = 989.4 * kTera,
       .fp16_dense_flops_per_second = 989.4 * kTera,
       .fp32_dense_flops_per_second = 66.9 * kTera,
       .link_bytes_per_second = 450 * kGiga,
       .host_bytes_per_second = kPcie5,
       .compute_capability = 90,
       .source = "NVIDIA H100 whitepaper (2023), table 3, SXM5, dense; the datasheet's 1979 TFLOPS "
                 "are sparse"},
      {.name = "H100-PCIe",
       .description = "H100 PCIe 80 GB",
       .memory_bytes = Bytes(79.09),
       .memory_bytes_per_second = 2000 * kGiga,
       .bf16_dense_flops_per_second = 756 * kTera,
       .fp16_dense_flops_per_second = 756 * kTera,
       .fp32_dense_flops_per_second = 51.2 * kTera,
       .link_bytes_per_second = kPcie5,
       .host_bytes_per_second = kPcie5,
       .compute_capability = 90,
       .source = "NVIDIA H100 whitepaper (2023), table 3, PCIe, dense; the datasheet's 1513 TFLOPS "
                 "are sparse"},
      {.name = "H200",
       .description = "H200 SXM 141 GB",
       .memory_bytes = Bytes(139.71),
       .memory_bytes_per_second = 4800 * kGiga,
       .bf16_dense_flops_per_second = 989.4 * kTera,
       .fp16_dense_flops_per_second = 989.4 * kTera,
       .fp32_dense_flops_per_second = 66.9 * kTera,
       .link_bytes_per_second = 450 * kGiga,
       .host_bytes_per_second = kPcie5,
       .compute_capability = 90,
       .source = "NVIDIA H200 datasheet (2024), half of the sparse 1979 TFLOPS"},
      {.name = "B200",
       .description = "B200 SXM 180 GB",
       .memory_bytes = Bytes(178.34),
       .memory_bytes_per_second = 8000 * kGiga,
       .bf16_dense_flops_per_second = 2250 * kTera,
       .fp16_dense_flops_per_second = 2250 * kTera,
       .fp32_dense_flops_per_second = 75 * kTera,
       .link_bytes_per_second = 900 * kGiga,
       .host_bytes_per_second = kPcie5,
       .compute_capability = 100,
       .source =
           "NVIDIA Blackwell datasheet (2025), HGX B200 per GPU, half of the sparse 4.5 PFLOPS"},
  };
}

}  // namespace

std::vector<Hardware> GpuRows() {
  std::vector<Hardware> rows = Rows();
  for (Hardware& row : rows) row.trainer_runs = row.compute_capability >= kLeastComputeCapability;
  return rows;
}

}  // namespace tunesmith::planner
