#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/dtype.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/model_writer.h"

namespace tunesmith::trainer {

struct ConvertOptions {
  std::string model_path;      // .gguf file, or Hugging Face directory
  std::string output_path;     // directory that is written
  DType dtype = DType::kBF16;  // or kF32
  int64_t shard_bytes = kShardBytes;
  std::string adapter_path;  // PEFT directory of an adapter to merge; empty: none
  // What its product is added to; none: what the adapter was trained on, the weights as they are where it does not say.
  std::optional<BaseForm> base_form;
  bool any_base =
      false;  // merge also where the adapter was trained on other weights of these sizes
};

// Writes a model as a Hugging Face directory: config.json, safetensors, and the tokenizer's files; with an adapter, as one model. Quantized weights become what they stand for, rounded once.
// INVALID_ARGUMENT: the output is the input. Errors as MergeAdapter. Otherwise the errors of the files.
absl::Status ConvertModel(const ConvertOptions& options);

}  // namespace tunesmith::trainer
