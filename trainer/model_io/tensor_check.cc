#include "trainer/model_io/tensor_check.h"

#include "absl/strings/str_join.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  return StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace

absl::Status CheckTensors(std::string_view where, std::string_view config,
                          const std::vector<NamedShape>& expected,
                          const std::map<std::string, std::vector<int64_t>>& found) {
  std::vector<std::string> problems;
  std::map<std::string, std::vector<int64_t>> unexpected = found;
  for (const NamedShape& tensor : expected) {
    const auto at = unexpected.find(tensor.name);
    if (at == unexpected.end()) {
      problems.push_back(StrCat(tensor.name, " is missing"));
      continue;
    }
    if (at->second != tensor.shape) {
      problems.push_back(StrCat(tensor.name, " has shape ", ShapeText(at->second), ", expected ",
                                ShapeText(tensor.shape)));
    }
    unexpected.erase(at);
  }
  for (const auto& [name, shape] : unexpected) problems.push_back(StrCat(name, " is unexpected"));
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(where, ": the tensors do not fit ", config, ": ", absl::StrJoin(problems, "; ")));
}

}  // namespace tunesmith::trainer
