#pragma once

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/dtype.h"
#include "planner/model/model_spec.h"

namespace tunesmith::trainer {

// Fills `out` with the current values of the tensor of that Hugging Face name.
using TensorReader = absl::FunctionRef<absl::Status(std::string_view name, absl::Span<float> out)>;

inline constexpr int64_t kShardBytes = 5'000'000'000;  // as Hugging Face's default

// Writes a model that Hugging Face loads: config.json and model.safetensors in `dtype` (kF32 or kBF16), one tensor in memory at a time. Where the tensors take
// more than `shard_bytes`, files of at most that (or of one larger tensor) and model.safetensors.index.json instead, which is written last and replaces an older model
// in `directory`, as model.safetensors does. Each file is complete or not at all; `directory` is created.
absl::Status WriteModel(const std::string& directory, const planner::ModelSpec& spec, DType dtype,
                        TensorReader read, int64_t shard_bytes = kShardBytes);

// Puts the tokenizer of `source` (OpenModel's path) into `directory`, in place of one that is there: the tokenizer's and generation's files of a Hugging Face directory, those that are there; for a GGUF file a
// tokenizer.json and tokenizer_config.json made from its metadata.
absl::Status WriteTokenizerFiles(const std::string& source, const std::string& directory);

}  // namespace tunesmith::trainer
