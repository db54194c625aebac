#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/dtype.h"

// LoRA adapters in PEFT's form: a directory with adapter_config.json and adapter_model.safetensors.
namespace tunesmith::trainer {

// The adapter of one linear layer: y += scale * B (A x).
struct AdapterModule {
  std::string name;  // Hugging Face path without prefix: "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;
  int64_t input_size = 0;
  int64_t output_size = 0;
  std::vector<float> a;  // (rank, input_size)
  std::vector<float> b;  // (output_size, rank)
};

// What an adapter was trained on: the base model's weights as they are, or their linear layers in 4-bit NormalFloat (trainer/ops/nf4.h) with or without double
// quantization. PEFT's files do not say it; ours do, in the metadata of adapter_model.safetensors, as they do the base's checksum.
enum class BaseForm { kUnknown, kWide, kNf4, kNf4Double };

// "unknown", "wide", "nf4", "nf4-double", and back; kUnknown for any other text.
std::string_view BaseFormName(BaseForm form);
BaseForm BaseFormFromName(std::string_view name);

struct Adapter {
  std::string base_model;  // what it was trained on, as PEFT shows it
  int64_t rank = 0;        // of every module
  double alpha = 0;        // scale = alpha / rank, or alpha / sqrt(rank) where rank_stabilized
  bool rank_stabilized = false;
  double dropout = 0;  // of training; an adapter that is used does not drop
  bool fan_in_fan_out =
      false;  // the base model's weights are transposed (GPT-2); the adapter's are not
  // What PEFT finds the modules by; empty: the last parts of their names.
  std::set<std::string> target_modules;
  std::vector<AdapterModule> modules;
  BaseForm base_form = BaseForm::kUnknown;
  std::string base_checksum;  // BaseChecksum of what it was trained on; empty: not known
  bool any_base = false;      // not of the files: it may meet other weights of these sizes too
};

// What the product B A is multiplied with.
double ScaleOf(const Adapter& adapter);

// Writes both files, each complete or not at all; `directory` is created. `dtype` is kF32 or kBF16. INVALID_ARGUMENT names a module whose arrays contradict
// its sizes, or whose rank is not the adapter's.
absl::Status WriteAdapter(const std::string& directory, const Adapter& adapter,
                          DType dtype = DType::kF32);

// Reads an adapter. INVALID_ARGUMENT names a missing or wrong field, a module with only one half, a shape that does not fit r; UNIMPLEMENTED names a feature of PEFT
// that changes the result and is not known (DoRA, rank_pattern, modules_to_save, ...).
absl::StatusOr<Adapter> ReadAdapter(const std::string& directory);

}  // namespace tunesmith::trainer
