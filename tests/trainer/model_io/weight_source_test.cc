#include "trainer/model_io/weight_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/trainer/model_io/model_files.h"

namespace tunesmith::trainer {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kQuery[] = "model.layers.1.self_attn.q_proj.weight";

std::string Message(const absl::Status& status) { return std::string(status.message()); }

void ExpectSameWeights(const WeightSource& a, const WeightSource& b, float tolerance = 0.0f) {
  for (const NamedShape& tensor : TensorsOfModel(a.spec())) {
    const std::vector<float> x = ReadTensor(a, tensor.name);
    const std::vector<float> y = ReadTensor(b, tensor.name);
    ASSERT_EQ(x.size(), y.size());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(x[i], y[i], tolerance * std::abs(x[i])) << tensor.name << " " << i;
    }
  }
}

TEST(RandomModelTest, DependsOnSeedNameAndElementAlone) {
  const auto one = RandomModel(TinySpec(), 1);
  EXPECT_EQ(ReadTensor(*one, kQuery), ReadTensor(*RandomModel(TinySpec(), 1), kQuery));
  EXPECT_NE(ReadTensor(*one, kQuery), ReadTensor(*RandomModel(TinySpec(), 2), kQuery));
  EXPECT_NE(ReadTensor(*one, kQuery), ReadTensor(*one, "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_EQ(ReadTensor(*one, "model.norm.weight"), std::vector<float>(32, 1.0f));
  double squares = 0;
  const std::vector<float> embedding = ReadTensor(*one, "model.embed_tokens.weight");
  for (const float x : embedding) squares += static_cast<double>(x) * x;
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(embedding.size())), 0.02, 0.002);
}

TEST(RandomModelTest, UnknownNamesAndWrongSizesAreRefused) {
  const auto model = RandomModel(TinySpec(), 1);
  std::vector<float> out(3);
  EXPECT_EQ(model->Read("lm_head", absl::MakeSpan(out)).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(model->Read("model.norm.weight", absl::MakeSpan(out)).code(),
            absl::StatusCode::kInvalidArgument);
}

class OpenModelTest : public testing::Test {
 protected:
  void WriteConfig(const planner::ModelSpec& spec) {
    ASSERT_TRUE(
        WriteFileAtomically(directory_.File("config.json"), planner::ConfigJsonFromModelSpec(spec))
            .ok());
  }
  TemporaryDirectory directory_;
};

TEST_F(OpenModelTest, HuggingFaceDirectoryInEachDType) {
  const auto model = RandomModel(TinySpec(), 1);
  WriteConfig(TinySpec());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    WriteSafetensors(directory_.File("model.safetensors"), *model, dtype,
                     TensorsOfModel(TinySpec()));
    const auto opened = OpenModel(directory_.path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    // f16 has 11 bits of mantissa above 6e-5, and steps of 6e-8 below.
    ExpectSameWeights(*model, **opened,
                      dtype == DType::kF32   ? 0.0f
                      : dtype == DType::kF16 ? 2e-2f
                                             : 4e-3f);
  }
}

TEST_F(OpenModelTest, ShardsAndAbsentHead) {
  planner::ModelSpec spec = TinySpec();
  WriteConfig(spec);  // says untied
  spec.tied_head = true;
  const auto model = RandomModel(spec, 1);
  std::vector<NamedShape> tensors = TensorsOfModel(spec);
  std::string map;
  for (size_t i = 0; i < tensors.size(); ++i) {
    map += (i > 0 ? ",\"" : "\"") + tensors[i].name +
           (i < 5 ? "\":\"a.safetensors\"" : "\":\"b.safetensors\"");
  }
  WriteSafetensors(directory_.File("a.safetensors"), *model, DType::kF32,
                   {tensors.begin(), tensors.begin() + 5});
  WriteSafetensors(directory_.File("b.safetensors"), *model, DType::kF32,
                   {tensors.begin() + 5, tensors.end()});
  ASSERT_TRUE(WriteFileAtomically(directory_.File("model.safetensors.index.json"),
                                  "{\"weight_map\":{" + map + "}}")
                  .ok());
  const auto opened = OpenModel(directory_.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)->spec().tied_head);
  ExpectSameWeights(*model, **opened);
}

TEST_F(OpenModelTest, EveryProblemIsListedAtOnce) {
  planner::ModelSpec other = TinySpec();
  other.intermediate_size = 96;
  other.qkv_bias = true;
  other.family = "qwen2";
  const auto model = RandomModel(other, 1);
  std::vector<NamedShape> tensors = TensorsOfModel(other);
  tensors.erase(tensors.begin());
  WriteConfig(TinySpec());
  WriteSafetensors(directory_.File("model.safetensors"), *model, DType::kF32, tensors);
  const std::string message = Message(OpenModel(directory_.path()).status());
  EXPECT_THAT(message, HasSubstr("model.embed_tokens.weight is missing"));
  EXPECT_THAT(message,
              HasSubstr("model.layers.0.mlp.up_proj.weight has shape [96, 32], expected [64, 32]"));
  EXPECT_THAT(message, HasSubstr("model.layers.1.self_attn.q_proj.bias is unexpected"));
  EXPECT_THAT(message, Not(HasSubstr("o_proj")));
}

TEST_F(OpenModelTest, AbsentThingsAreNamed) {
  EXPECT_EQ(OpenModel(directory_.File("nothing")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(OpenModel(directory_.path()).status()), HasSubstr("config.json"));
  WriteConfig(TinySpec());
  EXPECT_THAT(Message(OpenModel(directory_.path()).status()),
              HasSubstr("neither model.safetensors nor"));
}

TEST_F(OpenModelTest, GgufRowsOfQueriesAndKeysAreReordered) {
  for (const char* family : {"llama", "qwen2"}) {
    planner::ModelSpec spec = TinySpec();
    spec.family = family;
    spec.qkv_bias = spec.family == "qwen2";
    const auto model = RandomModel(spec, 3);
    GgufBuilder builder;
    AddModelKeys(spec, builder);
    AddModelTensors(*model, builder);
    ASSERT_TRUE(WriteFileAtomically(directory_.File("m.gguf"), builder.Build()).ok());
    const auto opened = OpenModel(directory_.File("m.gguf"));
    ASSERT_TRUE(opened.ok()) << opened.status();
    ExpectSameWeights(*model, **opened);
    spec.name = (*opened)->spec().name;
    spec.source = (*opened)->spec().source;
    EXPECT_EQ((*opened)->spec(), spec);
  }
}

TEST_F(OpenModelTest, GgufProblemsAreNamed) {
  planner::ModelSpec spec = TinySpec();
  const auto open = [&](const GgufBuilder& builder) {
    EXPECT_TRUE(WriteFileAtomically(directory_.File("m.gguf"), builder.Build()).ok());
    return OpenModel(directory_.File("m.gguf")).status();
  };
  GgufBuilder empty;
  EXPECT_THAT(Message(open(empty)), HasSubstr("general.architecture is missing"));
  GgufBuilder unknown;
  unknown.String("general.architecture", "mamba");
  EXPECT_EQ(open(unknown).code(), absl::StatusCode::kUnimplemented);
  GgufBuilder bare;
  bare.String("general.architecture", "llama");
  EXPECT_THAT(Message(open(bare)), HasSubstr("llama.block_count is missing"));
  EXPECT_THAT(Message(open(bare)), HasSubstr("token_embd.weight is missing"));
  GgufBuilder extra;
  AddModelKeys(spec, extra);
  AddModelTensors(*RandomModel(spec, 1), extra);
  extra.Tensor("blk.0.attn_rot_embd", {1}, {1.0f});
  EXPECT_THAT(Message(open(extra)), HasSubstr("blk.0.attn_rot_embd is unexpected"));
  GgufBuilder yarn;
  AddModelKeys(spec, yarn);
  yarn.String("llama.rope.scaling.type", "yarn");
  AddModelTensors(*RandomModel(spec, 1), yarn);
  EXPECT_EQ(open(yarn).code(), absl::StatusCode::kUnimplemented);
}

// Llama 3.x files hold the divisors of the rotary frequencies instead of their parameters.
TEST_F(OpenModelTest, Llama3ScalingIsRecognizedByItsDivisors) {
  planner::ModelSpec spec = TinySpec();
  spec.rope_theta = 500000.0;
  // head size 8: wavelengths 6.28, 167, 4443, 118144 against 8192 / 4 and 8192.
  const double smooth = (8192 / 4442.88294 - 1) / 3;
  std::vector<float> divisors = {1.0f, 1.0f, static_cast<float>(1 / ((1 - smooth) / 32 + smooth)),
                                 32.0f};
  for (const bool right : {true, false}) {
    if (!right) divisors[1] = 2.0f;
    GgufBuilder builder;
    AddModelKeys(spec, builder);
    AddModelTensors(*RandomModel(spec, 1), builder);
    builder.Tensor("rope_freqs.weight", {4}, divisors);
    ASSERT_TRUE(WriteFileAtomically(directory_.File("m.gguf"), builder.Build()).ok());
    const auto opened = OpenModel(directory_.File("m.gguf"));
    ASSERT_EQ(opened.ok(), right) << opened.status();
    if (!right) continue;
    EXPECT_EQ((*opened)->spec().rope_scaling.kind, planner::RopeScalingKind::kLlama3);
    EXPECT_EQ((*opened)->spec().rope_scaling.factor, 32.0);
  }
}

}  // namespace
}  // namespace tunesmith::trainer
