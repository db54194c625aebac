#include "trainer/job/convert_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/float_conversion.h"
#include "tests/trainer/job/job_files.h"
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
