// Any text: an error, or a valid model that survives being written and read again.
#include <cstdint>
#include <string_view>

#include "planner/model/model_spec.h"
#include "tests/fuzz/require.h"

namespace tunesmith::planner {
namespace {

void Check(std::string_view text) {
  const absl::StatusOr<ModelSpec> spec = ModelSpecFromConfigJson(text, "fuzz");
  if (!spec.ok()) return;
  Require(ValidateModelSpec(*spec).ok());
  Require(ParameterCount(*spec) > 0);
  absl::StatusOr<ModelSpec> again = ModelSpecFromConfigJson(ConfigJsonFromModelSpec(*spec), "fuzz");
  Require(again.ok());
  again->source = spec->source;
  Require(*again == *spec);
}

}  // namespace
}  // namespace tunesmith::planner

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tunesmith::planner::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
