#pragma once

#include "absl/status/statusor.h"
#include "common/gguf.h"
#include "trainer/model_io/tokenizer_spec.h"

namespace tunesmith::trainer {

// From a GGUF file's metadata (tokenizer.ggml.*). INVALID_ARGUMENT names a missing or wrong key; UNIMPLEMENTED names a tokenizer.ggml.model other than
// "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE), or a tokenizer.ggml.pre that is not in the table.
absl::StatusOr<TokenizerSpec> TokenizerSpecFromGguf(const GgufHeader& header);

}  // namespace tunesmith::trainer
