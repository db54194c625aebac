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
}

}  // namespace
}  // namespace tunesmith::planner
