#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "proto/convert/plan.h"
#include "trainer/job/job_data.h"
#include "tunesmith/v1/job_spec.pb.h"

namespace tunesmith::trainer {

struct ModelCard {
  const convert::Plan& plan;
  const v1::JobSpec& spec;
  const JobData& data;
  int64_t step_count = 0;   // after which the model is that of this card
  int64_t token_count = 0;  // trained on
  std::optional<double> final_loss;
  std::optional<double> held_out_loss_before;
  std::optional<double> held_out_loss_after;
};

// A README.md of what was made, as Hugging Face reads it: from which model and data, by which plan, with which losses. The data set's digest is DataSet's.
std::string FormatModelCard(const ModelCard& card);

}  // namespace tunesmith::trainer
