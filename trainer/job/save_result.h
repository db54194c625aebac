#pragma once

#include <string>

#include "absl/status/status.h"
#include "trainer/job/session.h"

namespace tunesmith::trainer {

// Writes what a fine-tune made into `directory`: for LoRA a PEFT adapter, for full fine-tuning a Hugging Face model; with the tokenizer's files of
// `model_path`. Every file is whole or absent. Every rank calls this; the first one writes.
absl::Status SaveResult(Session& session, const std::string& model_path,
                        const std::string& directory);

}  // namespace tunesmith::trainer
