#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "planner/program/build_program.h"
#include "planner/program/check_program.h"
#include "planner/program/memory_plan.h"
#include "tests/planner/family_models.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

TEST(FamilyProgramTest, EveryModelIsValid) {
  for (const ModelSpec& model : FamilyModels(2))
    EXPECT_TRUE(ValidateModelSpec(model).ok()) << model.name << ": " << ValidateModelSpec(model);
}

TEST(FamilyProgramTest, NoOpReadsBytesThatWereNotWrittenOrWereOverwritten) {
  for (int64_t layers : {1, 2, 3}) {
    for (ProgramInputs inputs : FamilyGrid(layers)) {
      for (int64_t capacity : {0, 5}) {
        inputs.workload.loss_token_capacity = capacity;
        const auto program = BuildProgram(inputs);
        ASSERT_TRUE(program.ok()) << NameOf(inputs) << ": " << program.status();
        const absl::Status checked = CheckProgram(*program, PlanMemory(*program));
        ASSERT_TRUE(checked.ok()) << NameOf(inputs) << ": " << checked;
      }
    }
  }
}

TEST(FamilyProgramTest, PlansStayNearTheLiveBound) {
  for (const ProgramInputs& inputs : FamilyGrid(3)) {
    const Program program = *BuildProgram(inputs);
    const int64_t planned = PlanMemory(program).device_bytes(),
                  bound = LiveLowerBoundBytes(program);
    EXPECT_GE(planned, bound) << NameOf(inputs);
    EXPECT_LE(planned, bound + bound / 4) << NameOf(inputs);
  }
}

// The parameters of the program are those that are counted, adapters apart.
TEST(FamilyProgramTest, WeightsAreTheCountedParameters) {
  for (const ModelSpec& model : FamilyModels(3)) {
    for (Method method : {Method::kFull, Method::kLora}) {
      const Program program = *BuildProgram(ToyInputs(model, {.method = method}));
      int64_t count = 0;
      for (const Parameter& p : program.parameters) {
        const Buffer& b = program.buffers[static_cast<size_t>(p.weight)];
        const bool adapter = b.name.Text().find(".lora_") != std::string::npos;
        if (!adapter) count += ElementCount(b) * b.instance_count;
      }
      EXPECT_EQ(count, ParameterCount(model)) << model.name;
    }
  }
}

TEST(FamilyProgramTest, DigestsTellModelsApart) {
  std::set<std::string> digests;
  const std::vector<ModelSpec> models = FamilyModels(2);
  for (const ModelSpec& model : models)
    digests.insert(ProgramDigest(*BuildProgram(ToyInputs(model, {}))));
  EXPECT_EQ(digests.size(), models.size());
  // What an op's kernel is told, and no shape: each must count.
  const auto named = std::find_if(models.begin(), models.end(),
                                  [](const ModelSpec& m) { return m.name == "gemma2"; });
  ASSERT_NE(named, models.end());
  ModelSpec model = *named;
  const auto expect_new = [&](auto change) {
    ModelSpec changed = model;
    change(changed);
    EXPECT_TRUE(digests.insert(ProgramDigest(*BuildProgram(ToyInputs(changed, {})))).second);
  };
  expect_new([](ModelSpec& s) { s.sliding_window = 4; });
  expect_new([](ModelSpec& s) { s.full_layers.bits = 1; });
  expect_new([](ModelSpec& s) { s.attention_soft_cap = 5; });
  expect_new([](ModelSpec& s) { s.logit_soft_cap = 5; });
  expect_new([](ModelSpec& s) { s.attention_scale = 0.3; });
  expect_new([](ModelSpec& s) { s.activation = Activation::kRelu; });
  expect_new([](ModelSpec& s) { s.local_rope_theta = 17; });
  expect_new([](ModelSpec& s) { s.rotary_size = 2; });
  expect_new([](ModelSpec& s) { s.unrotated_layers = {.period = 1, .bits = 1}; });
}

std::string TargetErrorOf(const char* family, const char* mix) {
  for (const ModelSpec& model : FamilyModels(2)) {
    if (model.family != family) continue;
    return std::string(BuildProgram(ToyInputs(model, *ParseMix(mix))).status().message());
  }
  return "no such family";
}

TEST(FamilyProgramTest, AdaptersCoverFusedModulesAsOne) {
  EXPECT_THAT(TargetErrorOf("phi3", "method=lora:r2:q+v"),
              HasSubstr("holds q+k+v in one module (self_attn.qkv_proj); target all of them"));
  EXPECT_THAT(TargetErrorOf("phi3", "method=lora:r2:up"), HasSubstr("gate+up"));
  EXPECT_EQ(TargetErrorOf("phi3", "method=lora:r2:q+k+v+down"), "");
  EXPECT_THAT(TargetErrorOf("gpt2", "method=lora:r2:gate"), HasSubstr("name no linear layer"));
  EXPECT_EQ(TargetErrorOf("gpt2", "method=lora:r2:up"), "");
  EXPECT_EQ(TargetErrorOf("llama", "method=lora:r2:q"), "");
}

}  // namespace
}  // namespace tunesmith::planner
