#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "trainer/cuda/cudnn_attention.h"

namespace tunesmith::trainer {

// The engines of attention that the ops of a context have asked for. Not thread safe.
class CudnnEngines {
 public:
  // Owned by this. Null where cuDNN is missing, does not work or does not take the shape: the project's kernels run then, and a note of the context tells why, once for each reason. The first
  // question of a shape compiles its kernels, which takes seconds. INVALID_ARGUMENT as CudnnAttention::Create.
  absl::StatusOr<const CudnnAttention*> Find(CudaContext& cuda, const CudnnAttentionShape& shape);

  // Whether some shape was not taken.
  bool lacks_some() const { return !reasons_.empty(); }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                         double, double, double>;
  static Key KeyOf(const CudnnAttentionShape& shape);

  std::map<Key, std::unique_ptr<CudnnAttention>> engines_;
  std::set<std::string> reasons_;
};

}  // namespace tunesmith::trainer
