#pragma once

#include "absl/status/status.h"
#include "trainer/ops/embedding.h"
#include "trainer/thread_pool.h"

// CPU kernels of trainer/ops/embedding.h, in f32 and f64. REQUIRES: arguments that passed its
// checks.
namespace tunesmith::trainer::cpu {

absl::Status Embedding(ThreadPool& threads, const EmbeddingArgs& args);
absl::Status EmbeddingBackward(ThreadPool& threads, const EmbeddingBackwardArgs& args);

}  // namespace tunesmith::trainer::cpu
