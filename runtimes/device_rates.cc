#include "runtimes/device_rates.h"

namespace tunesmith::runtimes {
namespace {

constexpr double kGiga = 1e9;
constexpr double kTera = 1e12;

constexpr DeviceRates kRates[] = {
    {.device = "A100-80GB",
     .gemm_share = 0.76,
     .flash_share = 0.62,
     .masked_flops_per_second = 32 * kTera,
     .masked_wide_head_share = 0.5,
     .fp32_gemm_share = 0.95,
     .memory_share = 0.85,
     .collective_bytes_per_second = 200 * kGiga,
     .collectives_overlap = true,
     .measured = true,
     .source = "fms-acceleration a100_80gb.csv (gemm, memory), Qwen README (flash), "
               "universal-llm-trainer gpu_test.md (masked, fp32)"},
    {.device = "A100-40GB",
     .gemm_share = 0.76,
     .flash_share = 0.62,
     .masked_flops_per_second = 32 * kTera,
     .masked_wide_head_share = 0.5,
     .fp32_gemm_share = 0.95,
     .memory_share = 0.85,
     .collective_bytes_per_second = 200 * kGiga,
     .collectives_overlap = true,
     .measured = true,
     .source = "as A100-80GB"},
    {.device = "H100-SXM",
     .gemm_share = 0.62,
     .flash_share = 0.55,
     .masked_flops_per_second = 62 * kTera,
     .masked_wide_head_share = 0.4,
     .fp32_gemm_share = 0.57,
     .memory_share = 0.85,
     .collective_bytes_per_second = 300 * kGiga,
     .collectives_overlap = true,
     .measured = true,
     .source = "universal-llm-trainer gpu_test.md (full and QLoRA of Llama 3 8B)"},
    {.device = "H200",
     .gemm_share = 0.70,
     .flash_share = 0.68,
     .masked_flops_per_second = 62 * kTera,
     .masked_wide_head_share = 0.4,
     .fp32_gemm_share = 0.57,
     .memory_share = 0.85,
     .collective_bytes_per_second = 300 * kGiga,
     .collectives_overlap = true,
     .measured = true,
     .source = "stas00/ml-engineering when-to-upgrade-gpus (ZeRO-3, 64k tokens and longer); masked "
               "and fp32 as H100"},
    {.device = "RTX-3090",
     .gemm_share = 0.88,
     .flash_share = 0.7,
     .masked_flops_per_second = 15 * kTera,
     .fp32_gemm_share = 0.8,
     .memory_share = 0.85,
     .collective_bytes_per_second = 3.4 * kGiga,
     .collectives_overlap = false,
     .measured = true,
     .source = "AnswerDotAI/fsdp_qlora benchmarks_03_2024.md; no peer access over PCIe, copies "
               "pass through the host"},
    {.device = "RTX-4090",
     .gemm_share = 0.92,
     .flash_share = 0.7,
     .masked_flops_per_second = 25 * kTera,
     .fp32_gemm_share = 0.6,
     .memory_share = 0.85,
     .collective_bytes_per_second = 20 * kGiga,
     .collectives_overlap = false,
     .measured = true,
     .source = "AnswerDotAI/fsdp_qlora benchmarks_03_2024.md"},
    {.device = "RTX-PRO-6000",
     .gemm_share = 0.75,
     .flash_share = 0.5,
     .masked_flops_per_second = 21 * kTera,
     .fp32_gemm_share = 0.25,
     .memory_share = 0.85,
     .collective_bytes_per_second = 30 * kGiga,
     .collectives_overlap = false,
     .measured = true,
     .source = "universal-llm-trainer gpu_test.md (full and QLoRA of Llama 3 8B)"},
};

constexpr DeviceRates kOther = {.device = "",
                                .gemm_share = 0.65,
                                .flash_share = 0.5,
                                .masked_flops_per_second = 20 * kTera,
                                .fp32_gemm_share = 0.6,
                                .memory_share = 0.8,
                                .collective_bytes_per_second = 10 * kGiga,
                                .collectives_overlap = false,
                                .measured = false,
                                .source = "guess below the devices that were measured"};

}  // namespace

const DeviceRates& RatesOf(std::string_view device) {
  for (const DeviceRates& rates : kRates) {
    if (rates.device == device) return rates;
  }
  return kOther;
}

}  // namespace tunesmith::runtimes
