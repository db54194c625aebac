#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/status_macros.h"
#include "trainer/job/session.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/weight_layout.h"

namespace tunesmith::trainer {

struct NamedValues {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// The gradients of the session's last step, fp32, under the names and in the shapes and order of checkpoints.
inline absl::StatusOr<std::map<std::string, NamedValues>> CheckpointGradients(Session& session) {
  const planner::Program& program = session.program();
  std::map<std::string, NamedShape> known;
  for (NamedShape& tensor : TensorsOfModel(program.inputs.model)) known[tensor.name] = tensor;
  std::map<std::string, NamedValues> gradients;
  for (const planner::Parameter& p : program.parameters) {
    if (!p.trainable) continue;
    const planner::Buffer& b = program.buffers[static_cast<size_t>(p.weight)];
    for (int64_t i = 0; i < b.instance_count; ++i) {
      const std::string name = b.name.Text(i);
      NamedValues tensor{.shape = {b.dims.begin(), b.dims.begin() + b.rank}};
      tensor.values.resize(static_cast<size_t>(planner::ElementCount(b)));
      TUNESMITH_RETURN_IF_ERROR(session.executor().arena().Read(
          p.gradient, i, tensor.values.data(), static_cast<int64_t>(4 * tensor.values.size())));
      tensor.values = FromProgramOrder(program.inputs.model, session.LayoutOf(name), b.dims[0],
                                       std::move(tensor.values));
      if (known.contains(name)) tensor.shape = known[name].shape;
      gradients[name] = std::move(tensor);
    }
  }
  return gradients;
}

}  // namespace tunesmith::trainer
