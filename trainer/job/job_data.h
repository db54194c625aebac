#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "planner/model/workload.h"
#include "trainer/data/data_set.h"
#include "trainer/data/loader.h"
#include "tunesmith/v1/job_spec.pb.h"

namespace tunesmith::trainer {

// How the rows of a job's or an evaluation's data are read.
struct DataOptions {
  std::optional<RowFormat> format;  // none: as the first row tells
  std::string chat_template_path;   // empty: the model's own
  bool skips_bad_rows = false;
  bool drops_long_rows = false;
  int64_t thread_count = 0;
};

DataOptions DataOptionsOf(const v1::JobSpec& spec);

// The format of that name, or as the first row tells where it is empty. INVALID_ARGUMENT lists the names.
absl::StatusOr<std::optional<RowFormat>> RowFormatNamed(const std::string& name);

// The tokenizer and the chat template of a model. `unix_seconds`: what a template that asks for the date gets.
absl::StatusOr<RowTokenizer> OpenRowTokenizer(const std::string& model_path,
                                              const std::string& chat_template_path,
                                              int64_t unix_seconds);

// Rows for a workload. Without `shuffles`, for evaluation: in the order of the documents, and every token that can be predicted is, whatever the workload's
// loss_token_capacity.
absl::StatusOr<Loader> MakeLoader(std::shared_ptr<const DocumentSource> documents,
                                  const planner::Workload& workload, const DataOptions& options,
                                  bool shuffles, uint64_t seed);

// The data that a job trains on and evaluates, ready to be packed.
struct JobData {
  Loader training;
  std::optional<Loader> evaluation;  // none where nothing is held out
  int64_t skipped_row_count = 0;
  uint64_t digest = 0;  // DataSet's, of the data set that is trained on
  // Documents that were held out, and what share of the data set they are; the share is 0 where they are of another file.
  int64_t held_out_document_count = 0;
  double held_out_share = 0;
};

// For people: "12 documents, 4.96 % of the data set". REQUIRES: some are held out.
std::string HeldOutText(const JobData& data);

absl::StatusOr<JobData> OpenJobData(const v1::JobSpec& spec, const planner::Workload& workload,
                                    const RowTokenizer& with);

}  // namespace tunesmith::trainer
