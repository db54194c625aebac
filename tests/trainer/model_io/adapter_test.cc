#include "trainer/model_io/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "common/json.h"
#include "tests/trainer/model_io/model_files.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

Adapter SmallAdapter() {
  Adapter adapter = {.base_model = "some/model", .rank = 2, .alpha = 4.0, .modules = {}};
  adapter.modules.push_back({.name = "model.layers.0.mlp.up_proj",
                             .rank = 2,
                             .input_size = 3,
                             .output_size = 1,
                             .a = {1, 2, 3, 4, 5, 6},
                             .b = {0.5f, -1}});
  adapter.modules.push_back({.name = "model.layers.0.self_attn.q_proj",
                             .rank = 2,
                             .input_size = 1,
                             .output_size = 2,
                             .a = {7, 8},
                             .b = {1, 2, 3, 4}});
  return adapter;
}

class AdapterTest : public testing::Test {
 protected:
  void ChangeConfig(const std::string& field, const json& value) {
    json config = *ParseJson(*ReadFile(directory_.File("adapter_config.json")), "config");
    config[field] = value;
    ASSERT_TRUE(WriteFileAtomically(directory_.File("adapter_config.json"), config.dump()).ok());
  }
  TemporaryDirectory directory_;
};

TEST_F(AdapterTest, RoundTripUnderPeftsNames) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ASSERT_TRUE(WriteAdapter(directory_.path(), SmallAdapter(), dtype).ok());
    const auto read = ReadAdapter(directory_.path());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->rank, 2);
    EXPECT_EQ(read->alpha, 4.0);
    EXPECT_EQ(read->base_model, "some/model");
    ASSERT_EQ(read->modules.size(), 2u);
    EXPECT_EQ(read->modules[0].name, "model.layers.0.mlp.up_proj");
    EXPECT_EQ(read->modules[0].a, SmallAdapter().modules[0].a);
    EXPECT_EQ(read->modules[1].b, SmallAdapter().modules[1].b);
    EXPECT_EQ(read->modules[1].output_size, 2);
    const auto file = SafetensorsFile::Open(directory_.File("adapter_model.safetensors"));
    const SafetensorsTensor* tensor =
        file->Find("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->dtype, dtype);
    EXPECT_EQ(tensor->shape, (std::vector<int64_t>{2, 2}));
  }
  const json config = *ParseJson(*ReadFile(directory_.File("adapter_config.json")), "config");
  EXPECT_EQ(config["target_modules"], json({"q_proj", "up_proj"}));
  EXPECT_EQ(config["peft_type"], "LORA");
}

TEST_F(AdapterTest, ItSaysWhatItWasTrainedOnOrNothing) {
  for (const BaseForm form :
       {BaseForm::kUnknown, BaseForm::kWide, BaseForm::kNf4, BaseForm::kNf4Double}) {
    Adapter adapter = SmallAdapter();
    adapter.base_form = form;
    ASSERT_TRUE(WriteAdapter(directory_.path(), adapter).ok());
    EXPECT_EQ(ReadAdapter(directory_.path())->base_form, form);
    EXPECT_EQ(BaseFormFromName(BaseFormName(form)), form);
  }
  EXPECT_EQ(BaseFormFromName("int8"), BaseForm::kUnknown);
}

TEST_F(AdapterTest, TheScaleIsAlphaOverTheRankOrItsRoot) {
  Adapter adapter{.rank = 16, .alpha = 8};
  EXPECT_EQ(ScaleOf(adapter), 0.5);
  adapter.rank_stabilized = true;
  EXPECT_EQ(ScaleOf(adapter), 2.0);
}

TEST_F(AdapterTest, WhatTrainingChoseIsKept) {
  Adapter adapter = SmallAdapter();
  adapter.rank_stabilized = adapter.fan_in_fan_out = true;
  adapter.dropout = 0.05;
  adapter.target_modules = {"attn.c_proj", "c_fc"};
  ASSERT_TRUE(WriteAdapter(directory_.path(), adapter).ok());
  const auto read = ReadAdapter(directory_.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->rank_stabilized && read->fan_in_fan_out);
  EXPECT_EQ(read->dropout, 0.05);
  EXPECT_EQ(read->alpha, 4.0);
  const json config = *ParseJson(*ReadFile(directory_.File("adapter_config.json")), "config");
  EXPECT_EQ(config["target_modules"], json({"attn.c_proj", "c_fc"}));
  EXPECT_EQ(config["use_rslora"], true);
  EXPECT_EQ(config["lora_dropout"], 0.05);
}

// What an adapter begins with changes nothing of what it is, as long as the base stays.
TEST_F(AdapterTest, OtherStartsAreRead) {
  for (const json& start : {json(false), json("gaussian"), json("eva"), json("orthogonal")}) {
    ASSERT_TRUE(WriteAdapter(directory_.path(), SmallAdapter()).ok());
    ChangeConfig("init_lora_weights", start);
    EXPECT_TRUE(ReadAdapter(directory_.path()).ok()) << start;
  }
}

TEST_F(AdapterTest, ProblemsAreNamed) {
  EXPECT_EQ(ReadAdapter(directory_.path()).status().code(), absl::StatusCode::kNotFound);
  Adapter wrong = SmallAdapter();
  wrong.modules[0].b.pop_back();
  EXPECT_THAT(Message(WriteAdapter(directory_.path(), wrong)),
              HasSubstr("model.layers.0.mlp.up_proj"));
  const struct {
    const char* field;
    json value;
    const char* message;
  } cases[] = {
      {"peft_type", "IA3", "peft_type IA3 is not known"},
      {"use_dora", true, "\"use_dora\" true"},
      {"modules_to_save", {"lm_head"}, "\"modules_to_save\""},
      {"rank_pattern", {{"q_proj", 4}}, "\"rank_pattern\""},
      {"bias", "all", "\"bias\""},
      {"use_qalora", true, "\"use_qalora\" true"},
      {"alora_invocation_tokens", {1, 2}, "\"alora_invocation_tokens\""},
      {"init_lora_weights", "pissa_niter_16", "a base that PEFT has changed"},
      {"init_lora_weights", "loftq", "a base that PEFT has changed"},
      {"r", 0, "\"r\" must be at least 1"},
      {"r", 4, "do not fit r = 4"},
      {"lora_alpha", "x", "\"lora_alpha\" must be a number"},
  };
  for (const auto& c : cases) {
    ASSERT_TRUE(WriteAdapter(directory_.path(), SmallAdapter()).ok());
    ChangeConfig(c.field, c.value);
    EXPECT_THAT(Message(ReadAdapter(directory_.path()).status()), HasSubstr(c.message));
  }
}

TEST_F(AdapterTest, HalvesMustComeInPairs) {
  ASSERT_TRUE(WriteAdapter(directory_.path(), SmallAdapter()).ok());
  const auto write_one = [&](const std::string& name) {
    auto writer = SafetensorsWriter::Create(directory_.File("adapter_model.safetensors"),
                                            {{name, DType::kF32, {0}}});
    ASSERT_TRUE(writer->Commit().ok());
  };
  write_one("base_model.model.x.lora_A.weight");
  EXPECT_THAT(Message(ReadAdapter(directory_.path()).status()),
              HasSubstr("module x has no lora_B"));
  write_one("base_model.model.lm_head.weight");
  EXPECT_THAT(Message(ReadAdapter(directory_.path()).status()), HasSubstr("is not one half"));
}

}  // namespace
}  // namespace tunesmith::trainer
