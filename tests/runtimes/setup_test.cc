#include "runtimes/setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/runtimes/runtime_fixture.h"

namespace tunesmith::runtimes {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Problem(const RunSetup& setup) { return std::string(ValidateSetup(setup).message()); }

TEST(ValidateSetupTest, OldGpusHaveNoFlashAttention) {
  RunSetup setup = SetupOf("Llama-2-7b-hf", "V100-32GB");
  setup.half_is_fp16 = true;
  EXPECT_THAT(Problem(setup),
              AllOf(HasSubstr("FlashAttention-2 needs sm_80"), HasSubstr("V100-32GB is sm_70"),
                    HasSubstr("nearest: sdpa's memory-efficient kernel")));
  setup.attention = Attention::kEfficient;
  EXPECT_TRUE(ValidateSetup(setup).ok());
  setup.half_is_fp16 = false;
  EXPECT_THAT(Problem(setup), HasSubstr("nearest: fp16"));
}

TEST(ValidateSetupTest, SaysWhatARuntimeCannotDoAndWhatComesNearest) {
  RunSetup setup = SetupOf("Llama-2-7b-hf", "A100-80GB");
  setup.zero_stage = 2;
  EXPECT_THAT(Problem(setup),
              AllOf(HasSubstr("hf alone does not shard"), HasSubstr("runtime=deepspeed")));
  setup.runtime = Runtime::kFsdp;
  setup.zero_stage = 1;
  EXPECT_THAT(Problem(setup), HasSubstr("SHARD_GRAD_OP"));
  setup.runtime = Runtime::kDeepSpeed;
  setup.zero_stage = 3;
  setup.quantization = Quantization::kNf4;
  EXPECT_THAT(Problem(setup), HasSubstr("cannot split bitsandbytes"));
  setup.method = planner::Method::kFull;
  EXPECT_THAT(Problem(setup), HasSubstr("cannot be trained in full"));
}

TEST(ValidateSetupTest, TellsEverythingAtOnce) {
  RunSetup setup = SetupOf("Llama-2-7b-hf", "A100-80GB");
  setup.context = 0;
  setup.micro_batch = 0;
  setup.offload_optimizer = true;
  EXPECT_THAT(Problem(setup), AllOf(HasSubstr("context is 0"), HasSubstr("micro_batch is 0"),
                                    HasSubstr("offloads only what it shards")));
}

TEST(ShapeTest, RowsAreUniqueSourcedAndNearTheirTotals) {
  std::set<std::string> names;
  for (const ModelShape& shape : ShapeTable()) {
    SCOPED_TRACE(shape.name);
    EXPECT_TRUE(names.insert(shape.name).second);
    EXPECT_GT(shape.source.size(), 10u);
    // Norms, biases and learned positions are in the published total only.
    const double counted =
        static_cast<double>(LinearParameterCount(shape) + EmbeddingParameterCount(shape));
    EXPECT_NEAR(counted / static_cast<double>(shape.parameter_count), 1, 0.015);
  }
}

TEST(ShapeTest, NamesAreFoundWithOrganizationAndTuning) {
  EXPECT_EQ(FindShape("tiiuae/falcon-180B-chat")->layer_count, 80);
  EXPECT_EQ(FindShape("mistralai/Mistral-7B-v0.1")->parameter_count, 7241732096);
  EXPECT_THAT(std::string(FindShape("falcon-181B").status().message()), HasSubstr("falcon-180B"));
}

TEST(ShapeTest, AnOrganizationDoesNotHideTheNearest) {
  EXPECT_THAT(std::string(FindShape("microsoft/phi-4").status().message()),
              HasSubstr("did you mean 'phi-2'?"));
}

TEST(ShapeTest, FusedProjectionsCountOnce) {
  const ModelShape shape = FindShape("Qwen-7B").value();
  EXPECT_EQ(BlockLinears(shape)[0].rows, 3 * 4096);
  EXPECT_EQ(BlockLinears(shape)[1].rows, 0);
  RunSetup setup = SetupOf("Qwen-7B", "A100-80GB");
  setup.lora = {.rank = 64, .targets = planner::kLoraQ};
  EXPECT_EQ(AdapterParameterCount(setup), 64 * 4 * 4096 * 32);
}

TEST(FormatSetupTest, IsOneLine) {
  RunSetup setup = SetupOf("Llama-2-7b-hf", "A100-80GB");
  setup.runtime = Runtime::kDeepSpeed;
  setup.zero_stage = 2;
  setup.gpu_count = 8;
  EXPECT_EQ(FormatSetup(setup),
            "runtime=deepspeed method=lora:r16 zero_stage=2 offload=none checkpointing=on "
            "attention=flash batch=1x1x8");
}

}  // namespace
}  // namespace tunesmith::runtimes
