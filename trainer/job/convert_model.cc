#include "trainer/job/convert_model.h"

#include <filesystem>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/job/merge_adapter.h"
#include "trainer/job/save_result.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

absl::Status ConvertModel(const ConvertOptions& options) {
  std::error_code ignored;
  if (std::filesystem::equivalent(options.model_path, options.output_path, ignored)) {
    return absl::InvalidArgumentError(
        StrCat("the output ", options.output_path, " is the model itself; name another directory"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(auto base, OpenModel(options.model_path));
  std::optional<Adapter> adapter;
  if (!options.adapter_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(adapter, ReadAdapter(options.adapter_path));
    adapter->any_base = options.any_base;
  }
  const BaseForm form = options.base_form.value_or(adapter ? adapter->base_form : BaseForm::kWide);
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights,
                             MergeAdapter(std::move(base), form, std::move(adapter)));
  return SaveModel(*weights, options.model_path, options.dtype, options.output_path,
                   options.shard_bytes);
}

}  // namespace tunesmith::trainer
