#include "trainer/write_quantized.h"

#include <vector>

#include "common/status_macros.h"
#include "trainer/ops/nf4.h"
#include "trainer/pieces.h"

namespace tunesmith::trainer {
namespace {

template <typename T>
absl::Status WriteAll(Arena& arena, int32_t buffer, int64_t instance, const std::vector<T>& x) {
  return WriteWeightPiece(arena, buffer, instance, x.data());
}

}  // namespace

int64_t ElementCountOf(const planner::Program& program, const planner::Parameter& p) {
  const int64_t count = planner::ElementCount(program.buffers[static_cast<size_t>(p.weight)]);
  return p.absmax >= 0 ? 2 * count : count;
}

absl::Status WriteQuantized(Arena& arena, const planner::Parameter& p, int64_t instance,
                            const Nf4Weight& w) {
  const bool twice = p.absmax_scale >= 0;
  TUNESMITH_RETURN_IF_ERROR(WriteAll(arena, p.weight, instance, w.codes));
  if (!twice) return WriteAll(arena, p.absmax, instance, w.absmax);
  TUNESMITH_RETURN_IF_ERROR(WriteAll(arena, p.absmax, instance, w.absmax_codes));
  TUNESMITH_RETURN_IF_ERROR(WriteAll(arena, p.absmax_scale, instance, w.absmax_scales));
  return WriteWeightPiece(arena, p.absmax_offset, instance, &w.absmax_offset);
}

absl::Status WriteQuantized(Arena& arena, const planner::Parameter& p, int64_t instance,
                            absl::Span<const float> values) {
  return WriteQuantized(arena, p, instance, QuantizeNf4(values, p.absmax_scale >= 0));
}

}  // namespace tunesmith::trainer
