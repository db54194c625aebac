#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/question_flags.h"

namespace tunesmith::client {

// The comment of a Slurm job that asks for a recommendation: "tunesmith:model=Llama-2-7b-hf,context=4096", and where they matter
// method=lora, batch=16, dataset_tokens=10000000, epochs=2. Comments come from anybody: names, values and their characters are held to a
// list. INVALID_ARGUMENT says what is wrong with it and what is taken.
absl::StatusOr<QuestionFlags> ParseSlurmComment(std::string_view comment);

}  // namespace tunesmith::client
