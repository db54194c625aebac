#include "runtimes/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "common/file.h"
#include "common/json.h"
#include "tests/runtimes/runtime_fixture.h"

// Files are compared with tests/runtimes/golden, which `./dev bench exports` has the real libraries read. TUNESMITH_UPDATE_GOLDEN=1 rewrites them.
namespace tunesmith::runtimes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGolden[] = "tests/runtimes/golden/";

struct GoldenCase {
  std::string name;
  RunSetup setup;
};

RunSetup Base(std::string_view model, std::string_view devices) {
  const planner::DeviceGroup group = planner::ParseDeviceGroup(devices).value();
  RunSetup setup = SetupOf(model, group.hardware.name);
  setup.gpu_count = group.device_count;
  setup.context = 2048;
  setup.micro_batch = 2;
  setup.accumulation_count = 4;
  return setup;
}

std::vector<GoldenCase> Cases() {
  RunSetup zero2 = Base("Llama-2-7b-hf", "8xA100-80GB");
  zero2.runtime = Runtime::kDeepSpeed;
  zero2.zero_stage = 2;
  zero2.checkpointing = false;

  RunSetup zero3 = Base("Llama-3.1-8B", "8xA100-80GB");
  zero3.runtime = Runtime::kDeepSpeed;
  zero3.method = planner::Method::kFull;
  zero3.zero_stage = 3;
  zero3.offload_optimizer = zero3.offload_parameters = true;

  RunSetup fsdp = Base("Llama-3.1-8B", "4xA100-80GB");
  fsdp.runtime = Runtime::kFsdp;
  fsdp.method = planner::Method::kFull;
  fsdp.zero_stage = 3;

  RunSetup fsdp_qlora = Base("Llama-2-70b-hf", "2xA100-80GB");
  fsdp_qlora.runtime = Runtime::kFsdp;
  fsdp_qlora.zero_stage = 3;
  fsdp_qlora.quantization = Quantization::kNf4Double;
  fsdp_qlora.offload_optimizer = fsdp_qlora.offload_parameters = true;

  RunSetup qlora = Base("Qwen2.5-1.5B", "A100-80GB");
  qlora.quantization = Quantization::kNf4Double;
  qlora.prepared_for_kbit = qlora.head_in_fp32 = true;
  qlora.lora = {.rank = 8, .alpha = 16, .targets = planner::kLoraAttention};
  qlora.optimizer = OptimizerKind::kAdamW8Bit;

  RunSetup v100 = Base("Llama-2-7b-hf", "V100-32GB");
  v100.half_is_fp16 = true;
  v100.attention = Attention::kEfficient;
  v100.lora.targets = planner::kLoraQ | planner::kLoraV;
  return {{"deepspeed_zero2_lora", zero2},
          {"deepspeed_zero3_full_offload", zero3},
          {"fsdp_full", fsdp},
          {"fsdp_qlora_offload", fsdp_qlora},
          {"hf_qlora", qlora},
          {"hf_lora_v100", v100}};
}

class GoldenTest : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenTest, FilesAreAsStored) {
  const std::string directory = kGolden + GetParam().name;
  const bool update = std::getenv("TUNESMITH_UPDATE_GOLDEN") != nullptr;
  ASSERT_TRUE(ValidateSetup(GetParam().setup).ok()) << ValidateSetup(GetParam().setup);
  for (const ExportedFile& file : ExportFiles(GetParam().setup)) {
    SCOPED_TRACE(file.name);
    if (update) {
      std::filesystem::create_directories(directory);
      ASSERT_TRUE(WriteFileAtomically(directory + "/" + file.name, file.content).ok());
    }
    const auto stored = ReadFile(directory + "/" + file.name);
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_EQ(file.content, *stored);
  }
}
INSTANTIATE_TEST_SUITE_P(All, GoldenTest, ::testing::ValuesIn(Cases()),
                         [](const auto& golden) { return golden.param.name; });

TEST(ExportTest, StoredFilesAreThoseThatAreExported) {
  size_t stored = 0, exported = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kGolden))
    stored += entry.is_regular_file() ? 1 : 0;
  for (const GoldenCase& golden : Cases()) exported += ExportFiles(golden.setup).size();
  EXPECT_EQ(stored, exported);
}

// Batch sizes multiply to the rows per step in every format.
TEST(ExportTest, BatchEquationHolds) {
  const auto json = ParseJson(DeepSpeedJson(Cases()[0].setup), "deepspeed.json").value();
  EXPECT_EQ(json["train_batch_size"], 2 * 4 * 8);
  EXPECT_EQ(json["train_micro_batch_size_per_gpu"], 2);
  EXPECT_EQ(json["gradient_accumulation_steps"], 4);
}

TEST(ExportTest, OldGpusGetFp16AndNoFlashAttention) {
  for (const ExportedFile& file : ExportFiles(Cases()[5].setup)) {
    EXPECT_THAT(file.content, Not(HasSubstr("flash_attention_2"))) << file.name;
    EXPECT_THAT(file.content, Not(HasSubstr("bf16: true"))) << file.name;
  }
  EXPECT_THAT(TrainerScript(Cases()[5].setup), HasSubstr("torch.float16"));
}

TEST(ExportTest, TorchtuneIsLeftOutWhereItHasNoRecipe) {
  EXPECT_FALSE(TorchtuneRuns(Cases()[0].setup));
  EXPECT_TRUE(TorchtuneRuns(Cases()[2].setup));
  EXPECT_FALSE(TorchtuneRuns(Cases()[5].setup));
}

std::string FileOf(const RunSetup& setup, std::string_view name) {
  for (ExportedFile& file : ExportFiles(setup)) {
    if (file.name == name) return std::move(file.content);
  }
  return "";
}

// Every format has the learning rate of the method, as the bundled trainer takes it.
TEST(ExportTest, FullFineTuningLearnsSlower) {
  for (const auto& [method, rate] :
       {std::pair(planner::Method::kFull, "0.00001"), {planner::Method::kLora, "0.00020"}}) {
    RunSetup setup = Base("Llama-3.1-8B", "A100-80GB");
    setup.method = method;
    for (const char* name : {"train.py", "axolotl.yaml", "llama_factory.yaml", "torchtune.yaml"})
      EXPECT_THAT(FileOf(setup, name), HasSubstr(rate)) << name;
  }
}

TEST(ExportTest, AdaptersAndPassesAreAsAsked) {
  RunSetup setup = Base("Llama-3.1-8B", "A100-80GB");
  setup.quantization = Quantization::kNf4;
  setup.lora = {.rank = 16, .alpha = 32, .rank_stabilized = true, .dropout = 0.05};
  setup.epoch_count = 3;
  for (const char* text : {"lora_dropout=0.05,", "use_rslora=True,", "num_train_epochs=3,",
                           "bnb_4bit_use_double_quant=False,"})
    EXPECT_THAT(FileOf(setup, "train.py"), HasSubstr(text));
  for (const char* text : {"lora_dropout: 0.05\n", "peft_use_rslora: true\n", "num_epochs: 3\n",
                           "bnb_4bit_use_double_quant: false\n"})
    EXPECT_THAT(FileOf(setup, "axolotl.yaml"), HasSubstr(text));
  for (const char* text : {"lora_dropout: 0.05\n", "use_rslora: true\n", "num_train_epochs: 3\n",
                           "double_quantization: false\n"})
    EXPECT_THAT(FileOf(setup, "llama_factory.yaml"), HasSubstr(text));
  EXPECT_FALSE(TorchtuneRuns(setup)) << "its NF4 quantizes doubly";
  setup.quantization = Quantization::kNf4Double;
  // alpha / sqrt(16) is 8, as torchtune's 128 / 16.
  for (const char* text :
       {"lora_dropout: 0.05\n", "lora_alpha: 128\n", "epochs: 3\n", "quantize_base: true\n"})
    EXPECT_THAT(FileOf(setup, "torchtune.yaml"), HasSubstr(text));
  setup.epoch_count = 0.5;
  EXPECT_FALSE(TorchtuneRuns(setup)) << "its epochs are whole";
}

// DistributedDataParallel looks for unused parameters of PEFT's models, which reentrant checkpoints do not bear.
TEST(ExportTest, CheckpointsAreReentrantOnOneGpuAlone) {
  constexpr char kReentrant[] = "{\"use_reentrant\": True}",
                 kOther[] = "{\"use_reentrant\": False}";
  EXPECT_THAT(TrainerScript(Base("Llama-3.1-8B", "A100-80GB")), HasSubstr(kReentrant));
  EXPECT_THAT(TrainerScript(Base("Llama-3.1-8B", "2xA100-80GB")), HasSubstr(kOther));
}

}  // namespace
}  // namespace tunesmith::runtimes
