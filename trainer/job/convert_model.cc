#include "trainer/job/convert_model.h"

#include <filesystem>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

absl::Status ConvertModel(const ConvertOptions& options) {
  std::error_code ignored;
  if (std::filesystem::equivalent(options.model_path, options.output_path, ignored)) {
    return absl::InvalidArgumentError(
        StrCat("the output ", options.output_path, " is the model itself; name another directory"));
  }
  TUNESMITH_ASSIGN_OR_RETURN(const auto weights, OpenModel(options.model_path));
  // First what is quick and may not be known, then what takes long.
  TUNESMITH_RETURN_IF_ERROR(WriteTokenizerFiles(options.model_path, options.output_path));
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    return weights->Read(name, out);
  };
  return WriteModel(options.output_path, weights->spec(), options.dtype, read, options.shard_bytes);
}

}  // namespace tunesmith::trainer
