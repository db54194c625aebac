#include "planner/model/model_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "planner/model/catalog.h"
#include "planner/model/model_difference.h"
#include "tests/planner/random_model.h"

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ParameterCountTest, ClosedForms) {
  ModelSpec spec = FindModel("SmolLM2-135M").value();
  EXPECT_EQ(ParameterCount(spec), 134515008);
  const int64_t tied = ParameterCount(spec);
  spec.tied_head = false;
  EXPECT_EQ(ParameterCount(spec), tied + spec.vocab_size * spec.hidden_size);
  const int64_t layers = spec.layer_count;
  spec.layer_count = 2 * layers;
  const int64_t doubled = ParameterCount(spec);
  spec.layer_count = layers;
  // A layer: 2 h (h + kv) + 3 h f + 2 h with h = 576, kv = 192, f = 1536.
  EXPECT_EQ(doubled - ParameterCount(spec),
            30 * (2 * 576 * (576 + 192) + 3 * 576 * 1536 + 2 * 576));
}

TEST(ParameterCountTest, BiasesOfQwen2) {
  ModelSpec with = FindModel("Qwen2.5-0.5B").value();
  ModelSpec without = with;
  without.qkv_bias = false;
  EXPECT_EQ(ParameterCount(with) - ParameterCount(without), 24 * (14 + 2 * 2) * 64);
}

TEST(ParameterCountTest, GrowsWithEveryDimension) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    const ModelSpec spec = RandomModel(random);
    for (int64_t ModelSpec::*member :
         {&ModelSpec::layer_count, &ModelSpec::hidden_size, &ModelSpec::vocab_size,
          &ModelSpec::intermediate_size, &ModelSpec::head_size}) {
      ModelSpec larger = spec;
      ++(larger.*member);
      EXPECT_GT(ParameterCount(larger), ParameterCount(spec));
    }
  }
}

TEST(ValidateModelSpecTest, NamesEveryProblem) {
  ModelSpec spec = FindModel("SmolLM2-135M").value();
  EXPECT_TRUE(ValidateModelSpec(spec).ok());
  spec.layer_count = 1'000'000;
  spec.vocab_size = -1;
  spec.kv_head_count = 2;
  spec.norm_epsilon = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(
      ValidateModelSpec(spec).message(),
      AllOf(HasSubstr("layer_count is 1000000, must be 1 to 1024"), HasSubstr("vocab_size is -1"),
            HasSubstr("head_count(9) % kv_head_count(2) != 0"), HasSubstr("norm_epsilon is nan")));
}

TEST(ValidateModelSpecTest, HugeSizesDoNotOverflow) {
  ModelSpec spec = FindModel("SmolLM2-135M").value();
  spec.layer_count = 1024;
  spec.hidden_size = 1 << 20;
  spec.intermediate_size = 1 << 23;
  spec.head_count = spec.kv_head_count = 1 << 14;
  spec.head_size = 1 << 10;
  EXPECT_THAT(ValidateModelSpec(spec).message(), HasSubstr("parameters, more than"));
  spec.hidden_size = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(ValidateModelSpec(spec).message(), HasSubstr("hidden_size is 9223372036854775807"));
}

TEST(ValidateModelSpecTest, RopeScalingIsChecked) {
  ModelSpec spec = FindModel("Llama-3.1-8B").value();
  spec.rope_scaling.low_frequency_factor = 5;
  EXPECT_THAT(ValidateModelSpec(spec).message(),
              HasSubstr("low_frequency_factor(5) >= rope_scaling.high_frequency_factor(4)"));
  spec.rope_scaling = {.kind = RopeScalingKind::kLinear,
                       .factor = std::numeric_limits<double>::infinity()};
  EXPECT_THAT(ValidateModelSpec(spec).message(), HasSubstr("rope_scaling.factor is inf"));
}

TEST(SizeTest, WithinTwoPercent) {
  const std::pair<const char*, double> sizes[] = {{"7B", 7e9},   {"1.5B", 1.5e9}, {"350M", 350e6},
                                                  {"1M", 1e6},   {"1000B", 1e12}, {"13b", 13e9},
                                                  {"70B", 70e9}, {"2m", 2e6}};
  for (const auto& [text, wanted] : sizes) {
    SCOPED_TRACE(text);
    const ModelSpec spec = ModelSpecFromParameterCount(text).value();
    EXPECT_NEAR(static_cast<double>(ParameterCount(spec)) / wanted, 1.0, 0.02);
    EXPECT_TRUE(ValidateModelSpec(spec).ok()) << ValidateModelSpec(spec);
    EXPECT_EQ(spec.name, text);
    EXPECT_THAT(spec.source, HasSubstr("assumed"));
  }
}

// Every size between the ends, not only the usual ones.
TEST(SizeTest, EverySizeHasAShape) {
  for (double size = 1; size < 1e6; size *= 1.37) {
    const std::string text = std::to_string(static_cast<int64_t>(size)) + "M";
    const absl::StatusOr<ModelSpec> spec = ModelSpecFromParameterCount(text);
    ASSERT_TRUE(spec.ok()) << text << " " << spec.status();
    EXPECT_TRUE(ValidateModelSpec(*spec).ok()) << text;
  }
}

TEST(SizeTest, SevenBillionLooksLikeLlama) {
  const ModelSpec spec = ModelSpecFromParameterCount("7B").value();
  EXPECT_NEAR(static_cast<double>(spec.layer_count), 32, 6);
  EXPECT_NEAR(static_cast<double>(spec.hidden_size), 4096, 512);
}

TEST(SizeTest, WrongSizesAreNamed) {
  for (const char* text :
       {"-3B", "B", "", "7", "7K", "seven B", "1.5.2B", "1e3B", "nanB", "infB", ".B"}) {
    const absl::Status status = ModelSpecFromParameterCount(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr("is not a model size")) << text;
  }
  for (const char* text : {"0B", "9999B", "0.5M", "1001B", "99999999999999999999999B"}) {
    EXPECT_THAT(ModelSpecFromParameterCount(text).status().message(),
                HasSubstr("outside 1M to 1000B"))
        << text;
  }
}

TEST(ModelDifferencesTest, NamesEveryFieldThatDiffers) {
  const ModelSpec model = FindModel("Llama-3.1-8B").value();
  ModelSpec other = model;
  other.name = "elsewhere";
  EXPECT_THAT(ModelDifferences(model, other), testing::IsEmpty());
  other.rope_theta = 10000;
  other.rope_scaling.factor = 4;
  other.vocab_size = 32000;
  EXPECT_THAT(
      ModelDifferences(model, other),
      testing::ElementsAre("rope_scaling/factor: 8.0, not 4.0", "rope_theta: 500000.0, not 10000.0",
                           "vocab_size: 128256, not 32000"));
  other.family = "mistral";
  EXPECT_THAT(ModelDifferences(model, other),
              testing::ElementsAre("model_type: llama, not mistral"));
}

// Whatever makes two models differ is told somehow.
TEST(ModelDifferencesTest, TwoRandomModelsDiffer) {
  std::mt19937_64 random(1);
  ModelSpec last = RandomModel(random);
  for (int i = 0; i < 200; ++i) {
    const ModelSpec next = RandomModel(random);
    EXPECT_EQ(ModelDifferences(last, next).empty(), last == next);
    last = next;
  }
}

}  // namespace
}  // namespace tunesmith::planner
