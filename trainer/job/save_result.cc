#include "trainer/job/save_result.h"

#include <algorithm>
#include <string_view>

#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/model_writer.h"

namespace tunesmith::trainer {
namespace {

constexpr std::string_view kLoraA = ".lora_A.weight";

absl::StatusOr<Adapter> ReadAdapterFrom(Session& session, const std::string& model_path) {
  const planner::Program& program = session.program();
  const planner::LoraSpec& lora = program.inputs.mix.lora;
  Adapter adapter{.base_model = model_path, .rank = lora.rank, .alpha = lora.alpha};
  for (const planner::Parameter& p : program.parameters) {
    const planner::Buffer& a = program.buffers[static_cast<size_t>(p.weight)];
    if (!a.name.Text().ends_with(kLoraA)) continue;
    for (int64_t layer = 0; layer < a.instance_count; ++layer) {
      AdapterModule module;
      const std::string name = a.name.Text(layer);
      module.name = name.substr(0, name.size() - kLoraA.size());
      TUNESMITH_ASSIGN_OR_RETURN(module.a, session.ReadWeight(name));
      TUNESMITH_ASSIGN_OR_RETURN(module.b, session.ReadWeight(module.name + ".lora_B.weight"));
      module.rank = lora.rank;
      module.input_size = a.dims[1];
      module.output_size = static_cast<int64_t>(module.b.size()) / lora.rank;
      adapter.modules.push_back(std::move(module));
    }
  }
  return adapter;
}

}  // namespace

absl::Status SaveResult(Session& session, const std::string& model_path,
                        const std::string& directory) {
  if (session.program().inputs.mix.method != planner::Method::kFull) {
    TUNESMITH_ASSIGN_OR_RETURN(const Adapter adapter, ReadAdapterFrom(session, model_path));
    TUNESMITH_RETURN_IF_ERROR(WriteAdapter(directory, adapter));
  } else {
    const DType dtype = session.program().inputs.mix.precision == planner::Precision::kBf16
                            ? DType::kBF16
                            : DType::kF32;
    const auto read = [&session](std::string_view name, absl::Span<float> out) -> absl::Status {
      TUNESMITH_ASSIGN_OR_RETURN(const std::vector<float> values,
                                 session.ReadWeight(std::string(name)));
      if (values.size() != out.size())
        return absl::InternalError(StrCat("weight ", name, " has another size than its tensor"));
      std::copy(values.begin(), values.end(), out.begin());
      return absl::OkStatus();
    };
    TUNESMITH_RETURN_IF_ERROR(WriteModel(directory, session.program().inputs.model, dtype, read));
  }
  return WriteTokenizerFiles(model_path, directory);
}

}  // namespace tunesmith::trainer
