#include "trainer/model_io/nf4_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/model_io/nf4_files.h"
#include "trainer/model_io/weight_layout.h"

namespace tunesmith::trainer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kQuery[] = "model.layers.0.self_attn.q_proj.weight";

std::vector<float> ValuesOf(const Nf4Weight& weight) {
  std::vector<float> values(weight.codes.size() * 2);
  ReadNf4(weight, absl::MakeSpan(values));
  return values;
}

class Nf4TensorsTest : public testing::TestWithParam<bool> {
 protected:
  absl::Status Open(const RawTensors& tensors) {
    WriteNf4Model(directory_.path(), TinySpec(), tensors);
    return OpenModel(directory_.path()).status();
  }
  std::string ErrorOf(const RawTensors& tensors) {
    const absl::Status status = Open(tensors);
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }
  void ChangeState(const char* field, const nlohmann::json& value, RawTensors* tensors) {
    RawTensor& raw = (*tensors)[std::string(kQuery) + ".quant_state.bitsandbytes__nf4"];
    auto state = *ParseJson(raw.bytes, "state");
    state[field] = value;
    raw.bytes = state.dump();
    raw.shape = {static_cast<int64_t>(raw.bytes.size())};
  }

  TemporaryDirectory directory_;
  const std::unique_ptr<WeightSource> source_ = RandomModel(TinySpec(), 5);
};

INSTANTIATE_TEST_SUITE_P(Quantization, Nf4TensorsTest, testing::Bool(),
                         [](const auto& p) { return std::string(p.param ? "twice" : "once"); });

TEST_P(Nf4TensorsTest, CodesAreReadAsTheyAreAndAsWhatTheyStandFor) {
  ASSERT_TRUE(Open(Nf4Checkpoint(*source_, GetParam())).ok());
  const auto model = OpenModel(directory_.path());
  for (const NamedShape& tensor : TensorsOfModel(TinySpec())) {
    const std::vector<float> wide = ReadTensor(*source_, tensor.name);
    const std::optional<Nf4Weight> stored = (*model)->ReadNf4(tensor.name);
    if (tensor.role != planner::TensorRole::kProjection) {
      EXPECT_FALSE(stored.has_value()) << tensor.name;
      EXPECT_EQ(ReadTensor(**model, tensor.name), wide) << tensor.name;
      continue;
    }
    const Nf4Weight expected = QuantizeNf4(wide, GetParam());
    ASSERT_TRUE(stored.has_value()) << tensor.name;
    EXPECT_EQ(stored->codes, expected.codes);
    EXPECT_EQ(stored->absmax, expected.absmax);
    EXPECT_EQ(stored->absmax_codes, expected.absmax_codes);
    EXPECT_EQ(stored->absmax_scales, expected.absmax_scales);
    EXPECT_EQ(stored->absmax_offset, expected.absmax_offset);
    EXPECT_EQ(ReadTensor(**model, tensor.name), ValuesOf(expected)) << tensor.name;
  }
}

TEST_P(Nf4TensorsTest, WhatIsMissingOrOfAnotherSizeIsNamed) {
  const RawTensors good = Nf4Checkpoint(*source_, GetParam());
  for (const char* part : {".absmax", ".quant_map"}) {
    RawTensors tensors = good;
    tensors.erase(std::string(kQuery) + part);
    EXPECT_THAT(ErrorOf(tensors), HasSubstr(std::string(kQuery) + part + " is missing"));
    tensors[std::string(kQuery) + part] = {DType::kU8, {3}, "abc"};
    EXPECT_THAT(ErrorOf(tensors), AllOf(HasSubstr(kQuery), HasSubstr(" has 3 bytes of dtype u8")));
  }
  RawTensors tensors = good;
  tensors.erase(kQuery);
  EXPECT_THAT(ErrorOf(tensors), HasSubstr(std::string(kQuery) + " is missing"));
  tensors = good;
  ChangeState("shape", {8, 32}, &tensors);
  EXPECT_THAT(ErrorOf(tensors), AllOf(HasSubstr(kQuery), HasSubstr("expected 128 elements of u8")));
  ChangeState("shape", {-1, 32}, &tensors);
  EXPECT_THAT(ErrorOf(tensors), HasSubstr("must be two sizes"));
  // Rows and columns the other way round hold as many codes.
  tensors = good;
  ChangeState("shape", {16, 64}, &tensors);
  EXPECT_THAT(ErrorOf(tensors), HasSubstr("has shape [16, 64], expected [32, 32]"));
}

TEST_P(Nf4TensorsTest, WhatIsNotKnownIsNamed) {
  const RawTensors good = Nf4Checkpoint(*source_, GetParam());
  RawTensors tensors = good;
  ChangeState("blocksize", 128, &tensors);
  EXPECT_THAT(ErrorOf(tensors), AllOf(HasSubstr(kQuery), HasSubstr("blocksize 128 is not known")));
  tensors = good;
  tensors[std::string(kQuery) + ".quant_map"].bytes[0] ^= 1;
  EXPECT_THAT(ErrorOf(tensors), HasSubstr("holds other numbers"));
  tensors = good;
  tensors[std::string(kQuery) + ".quant_state.bitsandbytes__fp4"] = {DType::kU8, {2}, "{}"};
  EXPECT_THAT(ErrorOf(tensors), AllOf(HasSubstr(kQuery), HasSubstr("stored as fp4")));
  tensors = good;
  tensors[std::string(kQuery) + ".quant_state.bitsandbytes__nf4"] = {DType::kU8, {2}, "{]"};
  EXPECT_THAT(ErrorOf(tensors), HasSubstr("bitsandbytes__nf4"));
}

// Heads of 64 rows of two blocks each: groups of query, key and value heads come apart.
planner::ModelSpec GroupedSpec() {
  planner::ModelSpec spec = TinySpec();
  spec.head_count = spec.kv_head_count = 4;
  spec.head_size = 64;
  return spec;
}

TEST(Nf4LayoutTest, RowsThatMoveKeepWhatTheyStandFor) {
  const planner::ModelSpec spec = GroupedSpec();
  constexpr int64_t kRows = 3 * 4 * 64;
  std::vector<float> values(kRows * 128);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i * 7919 % 2003) / 2003.0f + static_cast<float>(i / 8192);
  for (const bool twice : {false, true}) {
    const Nf4Weight stored = QuantizeNf4(values, twice);
    const auto moved = ToProgramOrder(spec, planner::TensorLayout::kHeadGroups, kRows, stored);
    // 128 magnitudes of a head are half of what shares a scale.
    ASSERT_EQ(moved.has_value(), !twice);
    if (!moved) continue;
    EXPECT_EQ(ValuesOf(*moved),
              ToProgramOrder(spec, planner::TensorLayout::kHeadGroups, kRows, ValuesOf(stored)));
  }
}

TEST(Nf4LayoutTest, ScalesMoveWithWholeBlocksOfMagnitudes) {
  const planner::ModelSpec spec = GroupedSpec();
  constexpr int64_t kRows = 3 * 4 * 64;
  std::vector<float> values(kRows * 256);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(i * 7919 % 2003) / 2003.0f + static_cast<float>(i / 8192);
  const Nf4Weight stored = QuantizeNf4(values, true);
  const auto moved = ToProgramOrder(spec, planner::TensorLayout::kHeadGroups, kRows, stored);
  ASSERT_TRUE(moved.has_value());
  EXPECT_NE(moved->absmax_scales, stored.absmax_scales);
  EXPECT_EQ(ValuesOf(*moved),
            ToProgramOrder(spec, planner::TensorLayout::kHeadGroups, kRows, ValuesOf(stored)));
  // A row that is no whole block.
  EXPECT_FALSE(ToProgramOrder(spec, planner::TensorLayout::kHeadGroups, kRows * 8, stored));
}

}  // namespace
}  // namespace tunesmith::trainer
