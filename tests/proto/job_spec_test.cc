#include "proto/convert/job_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "absl/strings/cord.h"

namespace tunesmith::convert {
namespace {

using ::testing::HasSubstr;

v1::JobSpec GoodSpec() {
  v1::JobSpec spec;
  spec.set_model_path("/models/smollm2");
  spec.set_dataset_path("/data/train.jsonl");
  return spec;
}

absl::Status Check(const v1::JobSpec& spec) {
  Violations violations;
  ValidateJobSpec(spec, "spec", violations);
  return violations.ToStatus();
}

TEST(JobSpecTest, AcceptsTheLeastThereCanBe) { EXPECT_TRUE(Check(GoodSpec()).ok()); }

TEST(JobSpecTest, NamesEveryFieldThatIsWrongAtOnce) {
  v1::JobSpec spec;
  spec.mutable_training()->set_learning_rate(-1);
  spec.mutable_training()->set_beta2(1.0);
  spec.mutable_training()->set_warmup_step_count(-2);
  spec.set_device("gpu0");
  spec.set_thread_count(-1);
  const absl::Status status = Check(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* field : {"spec.model_path", "spec.dataset_path", "spec.training.learning_rate",
                            "spec.training.beta2", "spec.training.warmup_step_count", "spec.device",
                            "spec.thread_count"}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
  v1::BadRequest bad_request;
  ASSERT_TRUE(status.GetPayload(kBadRequestUrl).has_value());
  ASSERT_TRUE(bad_request.ParseFromString(std::string(*status.GetPayload(kBadRequestUrl))));
  EXPECT_EQ(bad_request.field_violations_size(), 7);
}

TEST(JobSpecTest, ThreadsAreNoMoreThanAProcessMayHave) {
  v1::JobSpec spec = GoodSpec();
  spec.set_thread_count(4096);
  EXPECT_TRUE(Check(spec).ok());
  spec.set_thread_count(std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(Check(spec).ok());
}

TEST(JobSpecTest, DevicesAreCpuOrNumberedCuda) {
  for (const char* device : {"", "cpu", "cuda:0", "cuda:12"}) {
    v1::JobSpec spec = GoodSpec();
    spec.set_device(device);
    EXPECT_TRUE(Check(spec).ok()) << device;
  }
  for (const char* device :
       {"cuda", "cuda:", "cuda:x", "CPU", "cuda:12345", "cuda:00", "cuda:01"}) {
    v1::JobSpec spec = GoodSpec();
    spec.set_device(device);
    EXPECT_FALSE(Check(spec).ok()) << device;
  }
}

std::string Problem(const v1::JobSpec& spec) { return std::string(Check(spec).message()); }

TEST(JobSpecTest, WhatEvaluationsDecideNeedsEvaluations) {
  v1::JobSpec spec = GoodSpec();
  spec.set_keep_best(true);
  EXPECT_THAT(Problem(spec), HasSubstr("spec.keep_best: needs held-out data"));
  spec.set_evaluation_share(0.1);
  EXPECT_TRUE(Check(spec).ok()) << Check(spec);
  spec.set_patience_evaluation_count(2);
  EXPECT_THAT(Problem(spec), HasSubstr("spec.patience_evaluation_count: needs evaluations"));
  spec.set_evaluate_every_step_count(10);
  EXPECT_TRUE(Check(spec).ok()) << Check(spec);
  spec.set_least_improvement(0.01);
  EXPECT_TRUE(Check(spec).ok()) << Check(spec);
  spec.set_patience_evaluation_count(0);
  EXPECT_THAT(Problem(spec), HasSubstr("spec.least_improvement: is read with"));
  spec.set_patience_evaluation_count(-1);
  spec.set_kept_checkpoint_count(-1);
  EXPECT_THAT(Problem(spec), HasSubstr("spec.patience_evaluation_count"));
  EXPECT_THAT(Problem(spec), HasSubstr("spec.kept_checkpoint_count"));
}

TEST(JobSpecTest, ASpikeIsMoreThanTheMedian) {
  v1::JobSpec spec = GoodSpec();
  for (const double good : {0.0, 1.5, 10.0}) {
    spec.set_most_loss_spike(good);
    EXPECT_TRUE(Check(spec).ok()) << good;
  }
  for (const double bad : {1.0, 0.5, -2.0, HUGE_VAL, std::nan("")}) {
    spec.set_most_loss_spike(bad);
    EXPECT_THAT(Problem(spec), HasSubstr("spec.most_loss_spike: is ")) << bad;
  }
}

TEST(JobSpecTest, DefaultsLeaveWhatIsSetAsItIs) {
  v1::JobSpec spec = GoodSpec();
  spec.mutable_training()->set_beta1(0.0);
  spec.mutable_training()->set_max_gradient_norm(0.0);
  const v1::JobSpec filled = WithDefaults(spec, true);
  EXPECT_EQ(filled.training().beta1(), 0.0);
  EXPECT_EQ(filled.training().max_gradient_norm(), 0.0);
  EXPECT_EQ(filled.training().beta2(), 0.999);
  EXPECT_EQ(filled.training().learning_rate(), 2e-4);
  EXPECT_EQ(WithDefaults(spec, false).training().learning_rate(), 1e-5);
  EXPECT_EQ(filled.device(), "cpu");
  EXPECT_EQ(filled.kept_checkpoint_count(), 1);
}

}  // namespace
}  // namespace tunesmith::convert
