#include "trainer/model_io/base_checksum.h"

#include <cstdint>
#include <functional>
#include <numeric>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/crc32c.h"
#include "common/dtype.h"
#include "common/float_conversion.h"
#include "common/status_macros.h"
#include "trainer/model_io/tensor_names.h"

namespace tunesmith::trainer {
namespace {

using planner::TensorRole;

bool IsNorm(TensorRole role) {
  switch (role) {
    case TensorRole::kFinalNorm:
    case TensorRole::kAttentionNorm:
    case TensorRole::kMlpNorm:
    case TensorRole::kAttentionPostNorm:
    case TensorRole::kMlpPostNorm:
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::string> BaseChecksum(const WeightSource& weights) {
  std::string all, bytes;
  for (const NamedShape& tensor : TensorsOfModel(weights.spec())) {
    if (!IsNorm(tensor.role)) continue;
    const int64_t count =
        std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1}, std::multiplies<>());
    std::vector<float> values(static_cast<size_t>(count));
    TUNESMITH_RETURN_IF_ERROR(weights.Read(tensor.name, absl::MakeSpan(values)));
    TUNESMITH_RETURN_IF_ERROR(BytesFromFloats(DType::kBF16, values, &bytes));
    all += bytes;
  }
  return absl::StrFormat("%08x", Crc32c(all));
}

}  // namespace tunesmith::trainer
