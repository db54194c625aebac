#include <gtest/gtest.h>

#include <cstdlib>

#include "common/str_cat.h"
#include "proto/convert/json.h"
#include "proto/convert/run_directory.h"
#include "tests/trainer/job/job_files.h"
#include "tunesmith/v1/plan.pb.h"
#include "tunesmith/v1/run_directory.pb.h"

namespace tunesmith::trainer {
namespace {

// Large enough for its weights, 130 MB of them, to outweigh the process itself.
planner::ModelSpec LargerModel() {
  planner::ModelSpec spec = SmallModel();
  spec.layer_count = 8;
  spec.hidden_size = 512;
  spec.intermediate_size = 2048;
  spec.head_count = 8;
  spec.kv_head_count = 8;
  spec.head_size = 64;
  return spec;
}

class MergeMemoryTest : public ::testing::TestWithParam<const char*> {};

// The trainer as a process of its own, whose peak the kernel tells.
TEST_P(MergeMemoryTest, MergingStaysWithinThePlan) {
  JobFiles files(GetParam(), LargerModel());
  files.spec().set_merge_output(true);
  files.spec().mutable_training()->set_step_count(1);
  const std::string run = files.WriteRun();
  const char* directory = std::getenv("TUNESMITH_BIN_DIR");
  const std::string command = StrCat(directory ? directory : "build/bin",
                                     "/tunesmith-trainer run --run-dir ", run, " >/dev/null");
  ASSERT_EQ(std::system(command.c_str()), 0);
  v1::JobExit exit;
  v1::Plan plan;
  ASSERT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kExitFile), &exit).ok());
  ASSERT_TRUE(convert::ReadJsonFile(convert::InDirectory(run, convert::kPlanFile), &plan).ok());
  ASSERT_FALSE(exit.summary().merged_dir().empty());
  const double peak = static_cast<double>(exit.summary().peak_resident_bytes());
  const double planned = static_cast<double>(plan.prediction().memory().total_bytes());
  EXPECT_LE(peak, planned) << peak / planned;
  EXPECT_GT(peak, 0.4 * planned) << "the plan tells what is taken";
  RecordProperty("peak_over_plan", StrCat(peak / planned));
}

INSTANTIATE_TEST_SUITE_P(Methods, MergeMemoryTest,
                         ::testing::Values("method=lora:r4 precision=fp32 recompute=keep:8 "
                                           "attention=flash loss=full batch=2x2",
                                           "method=qlora:r4 precision=fp32 recompute=block:8 "
                                           "attention=flash loss=full batch=2x2"),
                         [](const auto& instance) {
                           return instance.index == 0 ? "Lora" : "Qlora";
                         });

}  // namespace
}  // namespace tunesmith::trainer
