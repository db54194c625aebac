#include "trainer/job/convert_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "common/float_conversion.h"
#include "common/json.h"
#include "tests/trainer/job/job_files.h"
#include "trainer/model_io/base_checksum.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;

TEST(ConvertModelTest, WeightsAndTokenizerStayTheSame) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from"), to = directory.File("to");
  WriteModelDirectory(from, SmallModel());
  const absl::Status status = ConvertModel(
      {.model_path = from, .output_path = to, .dtype = DType::kF32, .shard_bytes = 20000});
  ASSERT_TRUE(status.ok()) << status;
  const auto before = OpenModel(from), after = OpenModel(to);
  ASSERT_TRUE(after.ok()) << after.status();
  for (const NamedShape& tensor : TensorsOfModel(SmallModel()))
    EXPECT_EQ(ReadTensor(**after, tensor.name), ReadTensor(**before, tensor.name)) << tensor.name;
  EXPECT_TRUE(std::filesystem::exists(to + "/model.safetensors.index.json"));
  EXPECT_EQ(*OpenTokenizer(to)->Encode("The package 12", true),
            *OpenTokenizer(from)->Encode("The package 12", true));
}

TEST(ConvertModelTest, Bf16IsRoundedOnce) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from"), to = directory.File("to");
  WriteModelDirectory(from, SmallModel());
  ASSERT_TRUE(ConvertModel({.model_path = from, .output_path = to}).ok());
  const std::string name = "model.embed_tokens.weight";
  std::vector<float> expected = ReadTensor(**OpenModel(from), name);
  std::string bytes;
  ASSERT_TRUE(BytesFromFloats(DType::kBF16, expected, &bytes).ok());
  ASSERT_TRUE(FloatsFromBytes(DType::kBF16, bytes, absl::MakeSpan(expected)).ok());
  EXPECT_EQ(ReadTensor(**OpenModel(to), name), expected);
}

// W + scale * B A, in the order of the checkpoint's rows; what the configuration says beside sizes is kept.
TEST(ConvertModelTest, AnAdapterIsAdded) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from"), to = directory.File("to"),
                    adapter_path = directory.File("adapter");
  WriteModelDirectory(from, SmallModel());
  auto config = *ParseJson(*ReadFile(from + "/config.json"), "config");
  config["eos_token_id"] = 2;
  ASSERT_TRUE(WriteFileAtomically(from + "/config.json", config.dump()).ok());
  Adapter adapter{.rank = 2, .alpha = 3, .rank_stabilized = true};
  adapter.modules.push_back({.name = "model.layers.1.mlp.down_proj",
                             .rank = 2,
                             .input_size = 64,
                             .output_size = 32,
                             .a = std::vector<float>(2 * 64),
                             .b = std::vector<float>(32 * 2)});
  AdapterModule& module = adapter.modules[0];
  for (size_t i = 0; i < module.a.size(); ++i) module.a[i] = 0.01f * static_cast<float>(i);
  for (size_t i = 0; i < module.b.size(); ++i) module.b[i] = 0.1f * static_cast<float>(i % 7);
  ASSERT_TRUE(WriteAdapter(adapter_path, adapter).ok());
  const absl::Status status = ConvertModel(
      {.model_path = from, .output_path = to, .dtype = DType::kF32, .adapter_path = adapter_path});
  ASSERT_TRUE(status.ok()) << status;
  const auto before = OpenModel(from), after = OpenModel(to);
  ASSERT_TRUE(after.ok()) << after.status();
  for (const NamedShape& tensor : TensorsOfModel(SmallModel())) {
    std::vector<float> expected = ReadTensor(**before, tensor.name);
    if (tensor.name == module.name + ".weight") {
      for (size_t o = 0; o < 32; ++o) {
        for (size_t i = 0; i < 64; ++i)
          expected[o * 64 + i] += static_cast<float>(
              3 / std::sqrt(2.0) *
              (module.b[o * 2] * module.a[i] + module.b[o * 2 + 1] * module.a[64 + i]));
      }
    }
    EXPECT_THAT(ReadTensor(**after, tensor.name),
                testing::Pointwise(testing::FloatNear(2e-6f), expected))
        << tensor.name;
  }
  EXPECT_EQ((*ParseJson(*ReadFile(to + "/config.json"), "config"))["eos_token_id"], 2);
}

TEST(ConvertModelTest, AnAdapterOfOtherWeightsOfTheSameShape) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from"), adapter_path = directory.File("adapter");
  WriteModelDirectory(from, SmallModel());
  const auto model = OpenModel(from);
  Adapter adapter{.base_model = "the-other", .rank = 1, .alpha = 1};
  adapter.modules.push_back({.name = "model.layers.1.mlp.down_proj",
                             .rank = 1,
                             .input_size = 64,
                             .output_size = 32,
                             .a = std::vector<float>(64),
                             .b = std::vector<float>(32)});
  adapter.base_checksum = BaseChecksum(**model).value();
  ASSERT_TRUE(WriteAdapter(adapter_path, adapter).ok());
  ConvertOptions options = {.model_path = from,
                            .output_path = directory.File("to"),
                            .dtype = DType::kF32,
                            .adapter_path = adapter_path};
  EXPECT_TRUE(ConvertModel(options).ok());

  adapter.base_checksum = "0123abcd";
  ASSERT_TRUE(WriteAdapter(adapter_path, adapter).ok());
  options.output_path = directory.File("refused");
  const absl::Status refused = ConvertModel(options);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), testing::HasSubstr("other weights of this shape (the-other)"));
  EXPECT_FALSE(std::filesystem::exists(options.output_path));
  options.any_base = true;
  EXPECT_TRUE(ConvertModel(options).ok());
}

// Without the ids, generation would not end; without the dtype, the model would take twice its memory.
TEST(ConvertModelTest, AGgufFileBecomesADirectoryThatSaysAll) {
  const TemporaryDirectory directory;
  planner::ModelSpec spec = TinySpec();
  spec.vocab_size = 4;
  GgufBuilder builder;
  AddModelKeys(spec, builder);
  AddModelTensors(*RandomModel(spec, 3), builder);
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", "smollm");
  builder.Strings("tokenizer.ggml.tokens", {"a", "b", "<s>", "</s>"});
  builder.Integers("tokenizer.ggml.token_type", {1, 1, 3, 3});
  builder.Strings("tokenizer.ggml.merges", {});
  builder.Unsigned32("tokenizer.ggml.bos_token_id", 2);
  builder.Unsigned32("tokenizer.ggml.eos_token_id", 3);
  const std::string from = directory.File("m.gguf"), to = directory.File("to");
  ASSERT_TRUE(WriteFileAtomically(from, builder.Build()).ok());
  const absl::Status status = ConvertModel({.model_path = from, .output_path = to});
  ASSERT_TRUE(status.ok()) << status;
  const auto config = *ParseJson(*ReadFile(to + "/config.json"), "config");
  EXPECT_EQ(config["bos_token_id"], 2);
  EXPECT_EQ(config["eos_token_id"], 3);
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_TRUE(OpenModel(to).ok());
}

TEST(ConvertModelTest, ABaseInFourBitsIsWhatItsCodesStandFor) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from"), to = directory.File("to");
  WriteModelDirectory(from, SmallModel());
  ASSERT_TRUE(ConvertModel({.model_path = from,
                            .output_path = to,
                            .dtype = DType::kF32,
                            .base_form = BaseForm::kNf4Double})
                  .ok());
  const auto before = OpenModel(from), after = OpenModel(to);
  for (const NamedShape& tensor : TensorsOfModel(SmallModel())) {
    std::vector<float> expected = ReadTensor(**before, tensor.name);
    if (tensor.role == planner::TensorRole::kProjection)
      ReadNf4(QuantizeNf4(expected, true), absl::MakeSpan(expected));
    EXPECT_EQ(ReadTensor(**after, tensor.name), expected) << tensor.name;
  }
}

TEST(ConvertModelTest, ItselfAndNoModelAreRefused) {
  const TemporaryDirectory directory;
  const std::string from = directory.File("from");
  WriteModelDirectory(from, SmallModel());
  EXPECT_THAT(std::string(ConvertModel({.model_path = from, .output_path = from}).message()),
              HasSubstr("is the model itself"));
  EXPECT_FALSE(ConvertModel({.model_path = directory.File("none"), .output_path = from}).ok());
}

}  // namespace
}  // namespace tunesmith::trainer
