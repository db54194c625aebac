#include "planner/model/model_difference.h"

#include <set>

#include "common/str_cat.h"
#include "nlohmann/json.hpp"

namespace tunesmith::planner {
namespace {

using nlohmann::json;

// By JSON pointer, so that a difference in rope_scaling names the field in it.
json FieldsOf(const ModelSpec& spec) {
  return json::parse(ConfigJsonFromModelSpec(spec)).flatten();
}

std::string Shown(const json& fields, const std::string& name) {
  return fields.contains(name) ? fields[name].dump() : "nothing";
}

}  // namespace

std::vector<std::string> ModelDifferences(const ModelSpec& expected, const ModelSpec& found) {
  ModelSpec renamed = expected;
  renamed.name = found.name;
  renamed.source = found.source;
  if (renamed == found) return {};
  if (expected.family != found.family)
    return {StrCat("model_type: ", expected.family, ", not ", found.family)};
  const json ours = FieldsOf(expected), theirs = FieldsOf(found);
  std::set<std::string> names;
  for (const json& fields : {ours, theirs}) {
    for (const auto& [name, value] : fields.items()) names.insert(name);
  }
  std::vector<std::string> differences;
  for (const std::string& name : names) {
    const std::string a = Shown(ours, name), b = Shown(theirs, name);
    if (a != b) differences.push_back(StrCat(name.substr(1), ": ", a, ", not ", b));
  }
  if (differences.empty()) differences.push_back("a constant that config.json does not show");
  return differences;
}

}  // namespace tunesmith::planner
