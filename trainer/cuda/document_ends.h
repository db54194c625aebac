#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/ops/op_call.h"

namespace tunesmith::trainer {

// ends[i]: the index in its row of the first token after token i's document, `context` where that is the row's last. starts: (BT) i32, of each token the index in
// its row of its document's first token, so that it never falls along a row; ends: (BT) i32, out, not starts. For "0 0 0 3 3": "3 3 3 5 5". On the compute
// stream.
absl::Status DocumentEnds(CudaContext& cuda, const Tensor& starts, int64_t context, int32_t* ends);

}  // namespace tunesmith::trainer
