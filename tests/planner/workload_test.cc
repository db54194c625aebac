#include "planner/model/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "planner/model/catalog.h"

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const Workload& workload) {
  return std::string(ValidateWorkload(workload, FindModel("Mistral-7B-v0.1").value()).message());
}

TEST(WorkloadTest, ValidPasses) { EXPECT_EQ(ErrorOf({.context = 4096, .rows_per_step = 8}), ""); }

TEST(WorkloadTest, ContextBeyondTheLimitSaysWhy) {
  EXPECT_THAT(ErrorOf({.context = 65536, .rows_per_step = 8}),
              AllOf(HasSubstr("context(65536) > context_limit(32768) of model Mistral-7B-v0.1"),
                    HasSubstr("sliding window")));
}

TEST(WorkloadTest, NamesEveryProblem) {
  EXPECT_THAT(ErrorOf({.context = 0,
                       .rows_per_step = -1,
                       .dataset_token_count = -5,
                       .epoch_count = std::nan("")}),
              AllOf(HasSubstr("context is 0"), HasSubstr("rows_per_step is -1"),
                    HasSubstr("dataset_token_count is -5"), HasSubstr("epoch_count is nan")));
  EXPECT_THAT(ErrorOf({.context = 16, .rows_per_step = 1, .document_capacity = 17}),
              HasSubstr("document_capacity is 17"));
  for (int64_t capacity : {-1, 17}) {
    EXPECT_THAT(
        ErrorOf({.context = 16, .rows_per_step = 1, .loss_token_capacity = capacity}),
        HasSubstr("loss_token_capacity is " + std::to_string(capacity) + ", must be 0 to 16"));
  }
}

std::string HistogramError(LengthHistogram histogram) {
  return ErrorOf({.context = 16, .rows_per_step = 1, .length_histogram = std::move(histogram)});
}

TEST(WorkloadTest, NamesWhatIsWrongWithAHistogram) {
  EXPECT_EQ(HistogramError({{8, 3, 12}, {100, 0, 0}, {101, 1, 101}}), "");
  EXPECT_THAT(HistogramError({{8, 3}, {8, 1}}),
              HasSubstr("length_histogram[1].upper_edge is 8, must be 9 to"));
  EXPECT_THAT(HistogramError({{0, 3}}), HasSubstr("length_histogram[0].upper_edge is 0"));
  EXPECT_THAT(HistogramError({{8, -3}, {9, 4}}),
              HasSubstr("length_histogram[0].document_count is -3"));
  EXPECT_THAT(HistogramError({{8, 2, 17}}),
              HasSubstr("length_histogram[0].predicted_token_count is 17, must be 0 to 16"));
  EXPECT_THAT(HistogramError({{8, 0}}), HasSubstr("length_histogram has no document"));
  EXPECT_THAT(HistogramError({{int64_t{1} << 40, int64_t{1} << 40}}), HasSubstr("tokens, at most"));
  EXPECT_THAT(HistogramError(LengthHistogram(5000, {1, 1})), HasSubstr("has 5000 bins"));
}

}  // namespace
}  // namespace tunesmith::planner
