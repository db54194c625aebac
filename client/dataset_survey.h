#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "planner/model/length_histogram.h"

// What a data set looks like, as far as a plan depends on it, without a tokenizer: tokens are bytes / 4.
namespace tunesmith::client {

inline constexpr int64_t kBytesPerToken = 4;  // English text in a vocabulary of some 50,000

struct DatasetSurvey {
  planner::LengthHistogram histogram;  // of all documents; empty: no line is a row of a data set
  int64_t document_count = 0;
  int64_t token_count = 0;
  int64_t predicted_token_count =
      0;                          // of these, tokens to be learned: all, or those of completions
  int64_t longest_predicted = 0;  // most tokens to be learned of a document
  double read_share = 1.0;        // of the file, from which the rest is estimated
};

struct SurveyOptions {
  // Of a longer file so many bytes are read, in pieces spread over it.
  int64_t most_bytes = int64_t{32} << 20;
  int64_t piece_count = 64;
};

// Reads rows of every format that the trainer knows (JobSpec.data_format); lines that are none are passed over, the trainer names them. NOT_FOUND and the like: the file
// cannot be read.
absl::StatusOr<DatasetSurvey> SurveyDataset(const std::string& path,
                                            const SurveyOptions& options = {});

}  // namespace tunesmith::client
