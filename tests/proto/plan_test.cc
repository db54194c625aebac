#include "proto/convert/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "planner/model/catalog.h"
#include "planner/model/hardware.h"
#include "proto/convert/model.h"
#include "tests/planner/random_model.h"

namespace tunesmith::convert {
namespace {

using ::testing::HasSubstr;

Plan TestPlan() {
  planner::Question question;
  question.model = planner::FindModel("Llama-3.1-8B").value();
  question.workload = {.context = 4096,
                       .rows_per_step = 16,
                       .document_capacity = 4,
                       .loss_token_capacity = 700,
                       .length_histogram = {{100, 5, 30}, {200, 7, 50}},
                       .dataset_token_count = 1000,
                       .epoch_count = 2.5};
  question.devices = planner::ParseDeviceGroup("6xH100-SXM").value();
  question.method = planner::MethodChoice::kLora;
  question.lora = {.rank = 8,
                   .alpha = 12.5,
                   .targets = planner::kLoraQ | planner::kLoraDown,
                   .rank_stabilized = true,
                   .dropout = 0.1};
  question.precision = planner::Precision::kBf16;
  question.optimizer = planner::Optimizer::kSgd;
  question.optimizer_state = planner::OptimizerState::kBf16;
  question.accumulation_dtype = planner::AccumulationDtype::kBf16;
  question.objective = planner::Objective::kMemory;
  question.memory_budget_bytes = 123456789012;
  question.pinned = {
      .attention = planner::AttentionKernel::kFlash,
      .loss = planner::LossKernel::kChunked,
      .micro_batch = 2,
      .mlp_tile_count = 1,
      .sequence_parallel = 3,
      .rungs = planner::BitOf(planner::Rung::kKeep) | planner::BitOf(planner::Rung::kBlock)};
  question.calibration.id = "cal-1";
  planner::Prediction prediction;
  prediction.fits = true;
  prediction.program_digest = "abc";
  prediction.mix.lora = question.lora;
  prediction.mix.precision = planner::Precision::kBf16;
  prediction.mix.optimizer = planner::Optimizer::kSgd;
  prediction.mix.optimizer_state = planner::OptimizerState::kBf16;
  prediction.mix.accumulation_dtype = planner::AccumulationDtype::kBf16;
  prediction.mix.recompute = {20, 0, 0, 0, 12, 0};
  prediction.mix.attention = planner::AttentionKernel::kFlash;
  prediction.mix.loss = planner::LossKernel::kChunked;
  prediction.mix.micro_batch = 2;
  prediction.mix.accumulation_count = 4;
  prediction.mix.data_parallel = 2;
  prediction.mix.sequence_parallel = 3;
  prediction.memory.arena_bytes = 77;
  prediction.memory.class_bytes = {1, 2, 3, 4, 5, 6, 7, 49};
  prediction.time.step_picoseconds = 1234567890123456789;
  prediction.time.step_seconds = 0.1;
  prediction.time.evidence = planner::Evidence::kMeasuredHere;
  return MakePlan(question, prediction);
}

std::string ErrorOf(const v1::Plan& proto) {
  return std::string(PlanFromProto(proto, "plan").status().message());
}

TEST(ModelTest, EveryFamilyRoundTrips) {
  std::mt19937_64 random(8);
  for (int i = 0; i < 300; ++i) {
    const planner::ModelSpec spec = planner::RandomModel(random);
    Violations violations;
    EXPECT_EQ(ModelSpecFromProto(ToProto(spec), "model", violations), spec);
    EXPECT_TRUE(violations.ToStatus().ok()) << violations.ToStatus();
  }
}

TEST(PlanTest, KeepsEverythingThroughJson) {
  const Plan plan = TestPlan();
  const auto read = PlanFromJson(PlanToJson(plan));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->question.model, plan.question.model);
  EXPECT_EQ(read->question.workload, plan.question.workload);
  EXPECT_EQ(read->question.lora, plan.question.lora);
  EXPECT_EQ(read->question.precision, plan.question.precision);
  EXPECT_EQ(read->question.method, plan.question.method);
  EXPECT_EQ(read->question.pinned, plan.question.pinned);
  EXPECT_EQ(read->question.optimizer, plan.question.optimizer);
  EXPECT_EQ(read->question.optimizer_state, plan.question.optimizer_state);
  EXPECT_EQ(read->question.accumulation_dtype, plan.question.accumulation_dtype);
  EXPECT_EQ(read->question.objective, plan.question.objective);
  EXPECT_EQ(read->question.memory_budget_bytes, plan.question.memory_budget_bytes);
  EXPECT_EQ(read->question.devices.hardware.name, "H100-SXM");
  EXPECT_EQ(read->prediction.mix, plan.prediction.mix);
  EXPECT_EQ(read->prediction.program_digest, "abc");
  EXPECT_EQ(read->prediction.memory.class_bytes, plan.prediction.memory.class_bytes);
  EXPECT_EQ(read->prediction.time.step_picoseconds, plan.prediction.time.step_picoseconds);
  EXPECT_EQ(read->prediction.time.step_seconds, 0.1);
  EXPECT_EQ(read->prediction.time.evidence, planner::Evidence::kMeasuredHere);
  EXPECT_EQ(read->calibration_id, "cal-1");
  EXPECT_EQ(PlanToJson(*read), PlanToJson(plan));
}

// Plans and questions from before the optimizer was a choice.
TEST(PlanTest, AnOptimizerThatIsNotNamedIsTheDefault) {
  v1::Plan proto = ToProto(TestPlan());
  proto.mutable_inputs()->clear_optimizer();
  proto.mutable_inputs()->clear_optimizer_state();
  proto.mutable_inputs()->clear_accumulation_dtype();
  proto.mutable_mix()->clear_optimizer();
  const auto read = PlanFromProto(proto, "plan");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->question.optimizer, planner::Optimizer::kAdamW);
  EXPECT_EQ(read->question.optimizer_state, planner::OptimizerState::kFp32);
  EXPECT_EQ(read->question.accumulation_dtype, planner::AccumulationDtype::kFp32);
  EXPECT_EQ(read->prediction.mix.optimizer, planner::Optimizer::kAdamW);
}

TEST(PlanTest, JsonHasTheProtosNamesAndItsDefaults) {
  const std::string json = PlanToJson(TestPlan());
  EXPECT_THAT(json, HasSubstr("\"layer_count\""));
  EXPECT_THAT(json, HasSubstr("\"zero_stage\": \"0\""));
}

TEST(PlanTest, PrintsTheEquationThatDoesNotHold) {
  v1::Plan proto = ToProto(TestPlan());
  proto.mutable_mix()->set_accumulation_count(8);
  EXPECT_THAT(
      ErrorOf(proto),
      HasSubstr("micro_batch(2) x accumulation_count(8) x data_parallel(2) != rows_per_step(16)"));
  proto = ToProto(TestPlan());
  proto.mutable_inputs()->mutable_devices()->set_device_count(4);
  EXPECT_THAT(ErrorOf(proto),
              HasSubstr("data_parallel(2) x sequence_parallel(3) != device_count(4)"));
  proto.mutable_mix()->set_sequence_parallel(0);  // as plans of before have it: 1
  EXPECT_THAT(ErrorOf(proto), HasSubstr("data_parallel(2) != device_count(4)"));
  proto = ToProto(TestPlan());
  proto.mutable_mix()->mutable_recompute()->set_block(13);
  EXPECT_THAT(ErrorOf(proto), HasSubstr("plan.mix"));
}

TEST(PlanTest, NamesEveryFieldThatIsWrongAtOnce) {
  v1::Plan proto = ToProto(TestPlan());
  proto.clear_program_digest();
  proto.mutable_mix()->set_micro_batch(0);
  proto.mutable_mix()->set_method(static_cast<v1::Method>(77));
  proto.mutable_mix()->mutable_lora()->set_rank(-1);
  proto.mutable_inputs()->mutable_workload()->set_context(0);
  proto.mutable_inputs()->mutable_workload()->set_loss_token_capacity(-1);
  proto.mutable_inputs()->mutable_workload()->mutable_length_histogram(0)->set_document_count(-1);
  proto.mutable_inputs()->mutable_workload()->mutable_length_histogram(1)->set_upper_edge(100);
  proto.mutable_inputs()->mutable_model()->set_kv_head_count(3);
  proto.mutable_inputs()->mutable_devices()->mutable_hardware()->set_memory_bytes(0);
  const std::string error = ErrorOf(proto);
  for (const char* field :
       {"plan.program_digest", "plan.mix.micro_batch", "plan.mix.method", "plan.mix.lora.rank",
        "plan.inputs.workload.context", "plan.inputs.workload.loss_token_capacity",
        "plan.inputs.workload.length_histogram[0].document_count",
        "plan.inputs.workload.length_histogram[1].upper_edge",

        "plan.inputs.model", "plan.inputs.devices.hardware.memory_bytes"}) {
    EXPECT_THAT(error, HasSubstr(field));
  }
}

TEST(PlanTest, RefusesAnEmptyPlanAndUnknownFields) {
  EXPECT_EQ(PlanFromJson("{}").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(PlanFromJson("{\"inptus\": {}}").status().message()),
              HasSubstr("inptus"));
}

}  // namespace
}  // namespace tunesmith::convert
