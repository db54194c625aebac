#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/cuda/cudnn_attention.h"

namespace tunesmith::trainer {

// The engines of attention that the ops of a context have asked for. Not thread safe.
class CudnnEngines {
 public:
  // Owned by this. Null where cuDNN is missing or does not take the shape: the project's kernels run then, and TakeNotes tells why. The first question of a shape
  // compiles its kernels, which takes seconds. Other errors are those of CudnnAttention::Create.
  absl::StatusOr<const CudnnAttention*> Find(CudaContext& cuda, const CudnnAttentionShape& shape);

  // What was not told yet, each reason once.
  std::vector<std::string> TakeNotes();

 private:
  using Key =
      std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double, double>;
  static Key KeyOf(const CudnnAttentionShape& shape);

  std::map<Key, std::unique_ptr<CudnnAttention>> engines_;
  std::set<std::string> known_;
  std::vector<std::string> notes_;
};

}  // namespace tunesmith::trainer
