#include "profiler/fill_with_data.h"

#include <cstdint>
#include <vector>

#include "common/random.h"
#include "common/status_macros.h"
#include "trainer/noise_weights.h"

namespace tunesmith::profiler {

absl::Status FillWithData(trainer::Executor& executor) {
  TUNESMITH_RETURN_IF_ERROR(trainer::FillWithNoise(executor.arena()));
  const planner::Program& program = executor.program();
  const int64_t rows = program.buffers[static_cast<size_t>(program.host.tokens)].dims[0],
                context = program.inputs.workload.context;
  std::vector<int32_t> tokens, positions, starts(static_cast<size_t>(rows), 0);
  for (int64_t t = 0; t < rows; ++t) {
    tokens.push_back(static_cast<int32_t>(
        RandomBelow(3, static_cast<uint64_t>(t), program.inputs.model.vocab_size)));
    positions.push_back(static_cast<int32_t>(t % context));
  }
  const auto write = [&](int32_t buffer, const std::vector<int32_t>& values) {
    return executor.arena().Write(buffer, 0, values.data(), rows * 4);
  };
  TUNESMITH_RETURN_IF_ERROR(write(program.host.tokens, tokens));
  TUNESMITH_RETURN_IF_ERROR(write(program.host.labels, tokens));
  TUNESMITH_RETURN_IF_ERROR(write(program.host.positions, positions));
  TUNESMITH_RETURN_IF_ERROR(write(program.host.document_starts, starts));
  const float scale = 1.0f / static_cast<float>(rows);
  TUNESMITH_RETURN_IF_ERROR(
      executor.arena().Write(program.host.loss_scale, 0, &scale, sizeof scale));
  const std::vector<float> scalars(static_cast<size_t>(planner::kStepScalarCount), 1e-3f);
  return executor.arena().Write(program.host.step_scalars, 0, scalars.data(),
                                4 * planner::kStepScalarCount);
}

}  // namespace tunesmith::profiler
