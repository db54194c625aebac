#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/answer/search.h"
#include "tunesmith/v1/plan.pb.h"

// A plan as the planner's structs, and the file plan.json.
namespace tunesmith::convert {

struct Plan {
  planner::Question
      question;  // what it was made for; `calibration` and `deadline` are not part of a plan
  planner::Prediction prediction;  // with the mix to run and the program's digest
  std::string calibration_id;      // empty: datasheets
  std::string planner_version;
};

// The plan that carries out `prediction` as an answer to `question`, made by this version of the
// planner.
Plan MakePlan(const planner::Question& question, const planner::Prediction& prediction);

v1::PlanInputs InputsToProto(const planner::Question& question);

v1::Plan ToProto(const Plan& plan);

// INVALID_ARGUMENT naming every field that is missing, out of range or contradicts another
// ("micro_batch(4) x accumulation_count(8) x data_parallel(1) != rows_per_step(16)"). `field` is
// the path of the plan in its message, empty when it stands alone.
absl::StatusOr<Plan> PlanFromProto(const v1::Plan& proto, std::string_view field = "");

std::string PlanToJson(const Plan& plan);
absl::StatusOr<Plan> PlanFromJson(std::string_view json);

// The plan in the file at `path`: errors of reading it, and INVALID_ARGUMENT naming the file and
// the fields.
absl::StatusOr<Plan> ReadPlanFile(const std::string& path);
absl::Status WritePlanFile(const std::string& path, const Plan& plan);

}  // namespace tunesmith::convert
