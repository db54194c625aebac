#pragma once

#include <string>

#include "absl/status/status.h"
#include "trainer/job/session.h"
#include "trainer/model_io/model_writer.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// Writes what a fine-tune made into `directory`: for LoRA a PEFT adapter, for full fine-tuning a Hugging Face model; with the tokenizer's files of
// `model_path`. Every file is whole or absent. `base_checksum` is BaseChecksum of the model that was trained on. Every rank calls this; the first one writes.
absl::Status SaveResult(Session& session, const std::string& base_checksum,
                        const std::string& model_path, const std::string& directory);

// Writes the weights as a Hugging Face model in `dtype` into `directory`, with the tokenizer's files of `model_path` and what its config.json, if it has one, says beside the
// model's structure.
absl::Status SaveModel(const WeightSource& weights, const std::string& model_path, DType dtype,
                       const std::string& directory, int64_t shard_bytes = kShardBytes);

}  // namespace tunesmith::trainer
