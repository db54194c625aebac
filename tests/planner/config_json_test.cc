#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/family.h"
#include "planner/model/model_spec.h"
#include "planner/model/workload.h"
#include "tests/planner/random_model.h"

namespace tunesmith::planner {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

json Llama() {
  return {{"model_type", "llama"},    {"num_hidden_layers", 4},   {"hidden_size", 64},
          {"intermediate_size", 128}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
          {"vocab_size", 256},        {"rms_norm_eps", 1e-5},     {"max_position_embeddings", 512},
          {"rope_theta", 10000.0}};
}

absl::StatusOr<ModelSpec> Read(const json& config) {
  return ModelSpecFromConfigJson(config.dump(), "tiny");
}

std::string ErrorOf(const json& config) { return std::string(Read(config).status().message()); }

void ExpectInvalid(const json& config, const std::string& expected) {
  EXPECT_EQ(Read(config).status().code(), absl::StatusCode::kInvalidArgument) << config;
  EXPECT_THAT(ErrorOf(config), HasSubstr(expected));
}

void ExpectUnimplemented(const json& config, const std::string& expected) {
  EXPECT_EQ(Read(config).status().code(), absl::StatusCode::kUnimplemented) << config;
  EXPECT_THAT(ErrorOf(config), HasSubstr(expected));
}

json With(json config, const std::string& field, json value) {
  config[field] = std::move(value);
  return config;
}

json Without(json config, const std::string& field) {
  config.erase(field);
  return config;
}

TEST(ConfigJsonTest, ReadsLlama) {
  const ModelSpec spec = Read(Llama()).value();
  EXPECT_EQ(spec.name, "tiny");
  EXPECT_EQ(spec.head_size, 16);
  EXPECT_EQ(spec.kv_head_count, 2);
  EXPECT_FALSE(spec.tied_head);
  EXPECT_FALSE(spec.qkv_bias);
  EXPECT_EQ(spec.rope_scaling, RopeScaling());
}

TEST(ConfigJsonTest, DefaultsPerFamily) {
  EXPECT_EQ(Read(Without(Llama(), "num_key_value_heads"))->kv_head_count, 4);
  EXPECT_EQ(Read(With(Llama(), "num_key_value_heads", nullptr))->kv_head_count, 4);
  EXPECT_EQ(Read(Without(Llama(), "rms_norm_eps"))->norm_epsilon, 1e-6);
  EXPECT_EQ(Read(Without(Llama(), "rope_theta"))->rope_theta, 10000.0);
  const json qwen = With(Llama(), "model_type", "qwen2");
  EXPECT_TRUE(Read(qwen)->qkv_bias);
  ExpectInvalid(Without(qwen, "num_key_value_heads"), "num_key_value_heads is missing");
  EXPECT_EQ(Read(With(qwen, "num_key_value_heads", nullptr))->kv_head_count, 4);
}

TEST(ConfigJsonTest, HeadSizeMayBeExplicit) {
  EXPECT_EQ(Read(With(Llama(), "head_dim", 32))->head_size, 32);
  EXPECT_EQ(Read(With(Llama(), "head_dim", nullptr))->head_size, 16);
  ExpectInvalid(With(Llama(), "hidden_size", 65), "hidden_size(65) % num_attention_heads(4) != 0");
  ExpectInvalid(With(Llama(), "head_dim", 15), "head_dim(15) is odd");
}

TEST(ConfigJsonTest, EveryMissingFieldAtOnce) {
  const std::string error = ErrorOf(json{{"model_type", "llama"}});
  for (const char* field : {"num_hidden_layers", "hidden_size", "intermediate_size",
                            "num_attention_heads", "vocab_size", "max_position_embeddings"}) {
    EXPECT_THAT(error, HasSubstr(absl::StrCat(field, " is missing")));
  }
  EXPECT_THAT(error, Not(HasSubstr("must be 1 to")));  // nothing is told twice
}

TEST(ConfigJsonTest, MissingAndContradictoryTogether) {
  json config = Without(With(Llama(), "num_key_value_heads", 3), "vocab_size");
  config["hidden_size"] = "64";
  EXPECT_THAT(ErrorOf(config),
              AllOf(HasSubstr("vocab_size is missing"),
                    HasSubstr("num_attention_heads(4) % num_key_value_heads(3) != 0"),
                    HasSubstr("hidden_size must be an integer of at most 63 bits, found \"64\"")));
}

TEST(ConfigJsonTest, EachSizeIsRangeChecked) {
  for (const char* field :
       {"num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
        "num_key_value_heads", "vocab_size", "max_position_embeddings", "head_dim"}) {
    SCOPED_TRACE(field);
    ExpectInvalid(With(Llama(), field, 0), absl::StrCat(field, " is 0, must be 1 to"));
    ExpectInvalid(With(Llama(), field, -4), absl::StrCat(field, " is -4, must be 1 to"));
    ExpectInvalid(With(Llama(), field, int64_t{1} << 40),
                  absl::StrCat(field, " is 1099511627776, must be 1 to"));
    ExpectInvalid(With(Llama(), field, uint64_t{1} << 63),
                  absl::StrCat(field, " must be an integer"));
    ExpectInvalid(With(Llama(), field, 4.0), absl::StrCat(field, " must be an integer"));
    ExpectInvalid(With(Llama(), field, json::array()), absl::StrCat(field, " must be an integer"));
  }
  ExpectInvalid(With(Llama(), "num_hidden_layers", 1'000'000),
                "num_hidden_layers is 1000000, must be 1 to 1024");
}

TEST(ConfigJsonTest, RealsAreChecked) {
  ExpectInvalid(With(Llama(), "rms_norm_eps", -1e-5), "rms_norm_eps is -1e-05");
  ExpectInvalid(With(Llama(), "rms_norm_eps", "small"), "rms_norm_eps must be a finite number");
  ExpectInvalid(With(Llama(), "rope_theta", 0), "rope_theta is 0");
  EXPECT_FALSE(ModelSpecFromConfigJson(R"({"model_type":"llama","rope_theta":1e999})", "x").ok());
  EXPECT_FALSE(ModelSpecFromConfigJson(R"({"model_type":"llama","rope_theta":NaN})", "x").ok());
}

TEST(ConfigJsonTest, WrongTypesAreNamed) {
  ExpectInvalid(With(Llama(), "tie_word_embeddings", "yes"),
                "tie_word_embeddings must be true or false, found \"yes\"");
  ExpectInvalid(With(Llama(), "hidden_act", 1), "hidden_act must be a string");
  ExpectInvalid(With(Llama(), "rope_scaling", 2), "rope_scaling must be an object");
  ExpectInvalid(With(Llama(), "model_type", 2), "model_type must be a string");
}

TEST(ConfigJsonTest, NotJson) {
  for (const char* text : {"", "{", "[]", "null", "7", "\"llama\"", "{\"model_type\": \"\xff\"}"}) {
    const absl::Status status = ModelSpecFromConfigJson(text, "broken").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr("config.json of 'broken'")) << text;
  }
  EXPECT_FALSE(ModelSpecFromConfigJson(std::string(100'000, '['), "deep").ok());
}

TEST(ConfigJsonTest, UnknownFamiliesListTheKnown) {
  ExpectUnimplemented(With(Llama(), "model_type", "t5"),
                      "model_type 't5' is not planned yet; known: llama, mistral, qwen2, qwen3");
  // In the catalog, and without a reader.
  ExpectUnimplemented(With(Llama(), "model_type", "bloom"), "model_type 'bloom'");
  ExpectInvalid(Without(Llama(), "model_type"), "model_type is missing");
}

TEST(ConfigJsonTest, UnsupportedFeaturesAreListed) {
  json config = With(With(Llama(), "model_type", "gpt2"), "scale_attn_weights", false);
  config["n_layer"] = config["n_head"] = 2;
  config["n_embd"] = 8;
  config["n_positions"] = 16;
  config["activation_function"] = "mish";
  config["quantization_config"] = {{"quant_method", "gptq"}};
  EXPECT_EQ(Read(config).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(ErrorOf(config),
              AllOf(HasSubstr("scale_attn_weights"), HasSubstr("activation_function 'mish'"),
                    HasSubstr("quantization_config")));
  EXPECT_TRUE(Read(With(Llama(), "attention_bias", false)).ok());
}

TEST(ConfigJsonTest, FourBitsOfBitsandbytesAreRead) {
  json config = Llama();
  config["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  EXPECT_EQ(*Read(config), *Read(Llama()));
  config["quantization_config"]["load_in_4bit"] = false;
  EXPECT_THAT(ErrorOf(config), HasSubstr("8-bit weights are not implemented"));
  config["quantization_config"] = {{"quant_method", "awq"}};
  EXPECT_THAT(ErrorOf(config), HasSubstr("quantized by awq are not implemented"));
}

TEST(ConfigJsonTest, RopeInBothSpellings) {
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  const RopeScaling expected = {.kind = RopeScalingKind::kLlama3, .factor = 8.0};
  EXPECT_EQ(Read(With(Llama(), "rope_scaling", llama3))->rope_scaling, expected);

  json parameters = llama3;
  parameters["rope_theta"] = 500000.0;
  const ModelSpec spec =
      Read(With(Without(Llama(), "rope_theta"), "rope_parameters", parameters)).value();
  EXPECT_EQ(spec.rope_scaling, expected);
  EXPECT_EQ(spec.rope_theta, 500000.0);

  const json linear = {{"type", "linear"}, {"factor", 4}};
  EXPECT_EQ(Read(With(Llama(), "rope_scaling", linear))->rope_scaling.factor, 4.0);
  EXPECT_EQ(
      Read(With(Llama(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}))
          ->rope_scaling,
      RopeScaling());
}

// Files with YaRN keep max_position_embeddings as it was.
TEST(ConfigJsonTest, YarnExtendsTheContext) {
  const auto longest = [](const json& scaling) {
    return ContextLimitOf(*Read(With(Llama(), "rope_scaling", scaling)));
  };
  EXPECT_EQ(longest({{"type", "yarn"}, {"factor", 4.0}}), 4 * 512);
  EXPECT_EQ(longest({{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 256}}),
            1024);
  EXPECT_EQ(longest({{"type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 128}}),
            512);
  EXPECT_EQ(longest({{"type", "linear"}, {"factor", 4.0}}), 512);
  const ModelSpec yarn =
      *Read(With(Llama(), "rope_scaling", json{{"type", "yarn"}, {"factor", 4.0}}));
  EXPECT_TRUE(ValidateWorkload({.context = 2048, .rows_per_step = 1}, yarn).ok());
  EXPECT_FALSE(ValidateWorkload({.context = 2049, .rows_per_step = 1}, yarn).ok());
}

TEST(ConfigJsonTest, RopeErrors) {
  ExpectInvalid(With(Llama(), "rope_scaling", {{"type", "linear"}}),
                "rope_scaling.factor is missing");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"factor", 2.0}}), "rope_scaling.type is missing");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"type", "linear"}, {"factor", 0.5}}),
                "rope_scaling.factor is 0.5");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}),
                "rope_scaling.low_freq_factor is missing");
  ExpectUnimplemented(With(Llama(), "rope_scaling", {{"type", "ntk"}, {"factor", 4.0}}),
                      "rope_scaling.type 'ntk' is not implemented");
  ExpectUnimplemented(With(Llama(), "partial_rotary_factor", 0.5), "partial_rotary_factor");
  ExpectInvalid(With(Llama(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5.0}}),
                "rope_theta(10000) != rope_parameters.rope_theta(5)");
  json both = With(Llama(), "rope_scaling", {{"type", "linear"}, {"factor", 2.0}});
  both["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  ExpectInvalid(both, "rope_scaling and rope_parameters contradict each other");
}

json LongRope() {
  return {{"type", "longrope"},
          {"short_factor", std::vector<double>(8, 1.5)},
          {"long_factor", std::vector<double>(8, 6.0)}};
}

// As Phi-3's files have it: the original limit beside the object, the factor nowhere.
TEST(ConfigJsonTest, LongRope) {
  json phi = With(With(Llama(), "model_type", "phi3"), "original_max_position_embeddings", 128);
  const json scaling = LongRope();
  const RopeScaling expected = {.kind = RopeScalingKind::kLongRope,
                                .factor = 4,
                                .original_context_limit = 128,
                                .short_factors = std::vector<double>(8, 1.5),
                                .long_factors = std::vector<double>(8, 6.0)};
  EXPECT_EQ(Read(With(phi, "rope_scaling", scaling))->rope_scaling, expected);
  for (const char* older : {"su", "yarn"})
    EXPECT_EQ(Read(With(phi, "rope_scaling", With(scaling, "type", older)))->rope_scaling,
              expected);
  EXPECT_EQ(Read(With(phi, "rope_scaling", With(scaling, "factor", 2.0)))->rope_scaling.factor, 2);

  ExpectInvalid(With(phi, "rope_scaling", Without(scaling, "long_factor")),
                "rope_scaling.long_factor is missing");
  ExpectInvalid(With(phi, "rope_scaling", With(scaling, "short_factor", "1.5")),
                "rope_scaling.short_factor must be an array of finite numbers");
  ExpectInvalid(
      With(phi, "rope_scaling", With(scaling, "short_factor", {1.0, 2.0})),
      "rope_scaling.short_factor has 2 numbers, must have one for each of 8 rotated pairs");
  ExpectInvalid(
      With(phi, "rope_scaling", With(scaling, "long_factor", std::vector<double>(8, -1.0))),
      "rope_scaling.long_factor holds -1");
  ExpectInvalid(With(With(phi, "rope_scaling", scaling), "original_max_position_embeddings", 1),
                "rope_scaling.original_max_position_embeddings is 1, must be 2 at least");
}

TEST(ConfigJsonTest, MistralHasTheWindowInEveryLayer) {
  json mistral = With(Llama(), "model_type", "mistral");
  EXPECT_EQ(Read(With(mistral, "sliding_window", nullptr))->sliding_window, 0);
  EXPECT_EQ(Read(With(mistral, "sliding_window", 512))->sliding_window, 0);  // the context limit
  const ModelSpec windowed = Read(With(mistral, "sliding_window", 128)).value();
  EXPECT_EQ(windowed.sliding_window, 128);
  EXPECT_EQ(windowed.context_limit, 512);
  ExpectInvalid(With(mistral, "sliding_window", 0), "sliding_window is 0");
  EXPECT_EQ(Read(With(Llama(), "sliding_window", 128))->sliding_window, 0);  // llama has none
}

TEST(ConfigJsonTest, Qwen2WindowsOnlyWhereUsed) {
  json qwen = With(With(Llama(), "model_type", "qwen2"), "sliding_window", 128);
  EXPECT_EQ(Read(qwen)->sliding_window, 0);
  EXPECT_EQ(Read(With(qwen, "use_sliding_window", false))->sliding_window, 0);
  json deep = With(qwen, "use_sliding_window", true);
  EXPECT_EQ(Read(deep)->sliding_window, 0);  // from layer 28 on, which this model has not
  EXPECT_EQ(Read(With(deep, "max_window_layers", 4))->sliding_window, 0);
  EXPECT_EQ(Read(With(deep, "max_window_layers", 0))->sliding_window, 128);
  const json full(4, "full_attention"), sliding(4, "sliding_attention");
  EXPECT_EQ(Read(With(deep, "layer_types", full))->sliding_window, 0);
  EXPECT_EQ(Read(With(qwen, "layer_types", sliding))->sliding_window, 128);
  EXPECT_TRUE(Read(With(qwen, "layer_types", sliding))->full_layers.empty());
  ExpectInvalid(With(qwen, "layer_types", json::array({"sliding_attention"})),
                "layer_types has 1 entries for 4 layers; give one for each");
}

TEST(ConfigJsonTest, WindowsInSomeLayersAreAPattern) {
  const json qwen = With(With(Llama(), "model_type", "qwen2"), "sliding_window", 128);
  const ModelSpec some =
      Read(With(With(qwen, "use_sliding_window", true), "max_window_layers", 3)).value();
  EXPECT_EQ(some.sliding_window, 128);
  EXPECT_EQ(some.full_layers, (LayerPattern{.period = 4, .bits = 0b0111}));
  const json alternating = {"full_attention", "sliding_attention", "full_attention",
                            "sliding_attention"};
  EXPECT_EQ(Read(With(qwen, "layer_types", alternating))->full_layers,
            (LayerPattern{.period = 2, .bits = 0b01}));
  ExpectUnimplemented(With(qwen, "layer_types", {"linear_attention"}), "layer_types");
}

// 65 layers of which one differs: no pattern of 64 layers says so.
TEST(ConfigJsonTest, WindowsWithoutAPatternLowerTheContextLimit) {
  json deep = With(With(Llama(), "model_type", "qwen2"), "sliding_window", 128);
  deep["num_hidden_layers"] = 65;
  deep["use_sliding_window"] = true;
  deep["max_window_layers"] = 64;
  const ModelSpec spec = Read(deep).value();
  EXPECT_EQ(spec.sliding_window, 0);
  EXPECT_EQ(spec.context_limit, 128);
  EXPECT_THAT(spec.source, HasSubstr("sliding window of 128 tokens"));
}

TEST(ConfigJsonTest, Gemma3HasItsOwnRotationInLayersWithTheWindow) {
  json old_style = With(Llama(), "model_type", "gemma3_text");
  old_style["num_hidden_layers"] = 7;
  old_style["head_dim"] = 16;
  old_style["sliding_window"] = 128;
  old_style["rope_theta"] = 1e6;
  old_style["rope_local_base_freq"] = 1e4;
  old_style["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  const ModelSpec old_spec = Read(old_style).value();
  EXPECT_EQ(old_spec.full_layers, (LayerPattern{.period = 7, .bits = 0b0100000}));
  EXPECT_EQ(old_spec.local_rope_theta, 1e4);
  EXPECT_TRUE(old_spec.qk_norm && old_spec.post_norms && old_spec.norm_adds_one);
  EXPECT_EQ(old_spec.embedding_scale, 8.0);
  json new_style =
      Without(Without(Without(old_style, "rope_theta"), "rope_local_base_freq"), "rope_scaling");
  new_style["rope_parameters"] = {
      {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 1e4}}},
      {"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}}}};
  new_style["layer_types"] = json(7, "sliding_attention");
  new_style["layer_types"][5] = "full_attention";
  EXPECT_EQ(Read(new_style).value(), old_spec);
  ExpectInvalid(Without(old_style, "head_dim"), "head_dim is missing");
}

TEST(ConfigJsonTest, Gemma2HasCapsUnlessNull) {
  json gemma = With(With(Llama(), "model_type", "gemma2"), "head_dim", 16);
  gemma["sliding_window"] = 128;
  gemma["query_pre_attn_scalar"] = 64;
  const ModelSpec spec = Read(gemma).value();
  EXPECT_EQ(spec.attention_soft_cap, 50);
  EXPECT_EQ(spec.logit_soft_cap, 30);
  EXPECT_EQ(spec.attention_scale, 1.0 / 8);
  EXPECT_EQ(spec.full_layers, (LayerPattern{.period = 2, .bits = 0b10}));
  EXPECT_EQ(Read(With(gemma, "attn_logit_softcapping", nullptr))->attention_soft_cap, 0);
  ExpectInvalid(With(gemma, "final_logit_softcapping", -3), "final_logit_softcapping is -3");
  ExpectUnimplemented(With(gemma, "use_bidirectional_attention", true),
                      "use_bidirectional_attention");
}

TEST(ConfigJsonTest, SmolLm3LeavesSomeLayersUnrotated) {
  const json smol = With(Llama(), "model_type", "smollm3");
  EXPECT_EQ(Read(smol)->unrotated_layers, (LayerPattern{.period = 4, .bits = 0b1000}));
  EXPECT_EQ(Read(With(smol, "no_rope_layers", {1, 0, 1, 0}))->unrotated_layers,
            (LayerPattern{.period = 2, .bits = 0b10}));
  EXPECT_TRUE(Read(With(smol, "no_rope_layers", {1, 1, 1, 1}))->unrotated_layers.empty());
  ExpectInvalid(With(smol, "no_rope_layers", {1, 0}), "no_rope_layers has 2 entries for 4 layers");
}

TEST(ConfigJsonTest, ReadsFalcons) {
  const json seven = {
      {"model_type", "falcon"},   {"num_hidden_layers", 2}, {"hidden_size", 64},
      {"num_attention_heads", 4}, {"vocab_size", 256},      {"multi_query", true},
      {"parallel_attn", true},    {"bias", false},          {"new_decoder_architecture", false}};
  ModelSpec spec = Read(seven).value();
  EXPECT_EQ(spec.kv_head_count, 1);
  EXPECT_EQ(spec.intermediate_size, 256);
  EXPECT_EQ(spec.context_limit, 2048);
  EXPECT_TRUE(spec.parallel_blocks && spec.shared_norm && spec.tied_head && spec.norm_bias);
  json forty = With(With(seven, "new_decoder_architecture", true), "num_kv_heads", 2);
  spec = Read(forty).value();
  EXPECT_EQ(spec.kv_head_count, 2);
  EXPECT_TRUE(spec.parallel_blocks && !spec.shared_norm);
  json rw = With(With(With(seven, "multi_query", false), "alibi", true), "bias", true);
  spec = Read(With(rw, "parallel_attn", false)).value();
  EXPECT_EQ(spec.kv_head_count, 4);
  EXPECT_EQ(spec.positions, Positions::kAlibi);
  EXPECT_TRUE(!spec.parallel_blocks && spec.mlp_bias && spec.alibi_before_scale);
  ExpectInvalid(With(seven, "num_ln_in_parallel_attn", 2), "num_ln_in_parallel_attn(2) must be 1");
  ExpectInvalid(With(seven, "num_attention_heads", 5),
                "hidden_size(64) % num_attention_heads(5) != 0");
}

TEST(ConfigJsonTest, ReadsMptAndGpt2InTheirOwnWords) {
  const json mpt = {{"model_type", "mpt"}, {"n_layers", 2},    {"d_model", 64},
                    {"n_heads", 4},        {"vocab_size", 99}, {"max_seq_len", 128},
                    {"expansion_ratio", 2}};
  ModelSpec spec = Read(mpt).value();
  EXPECT_EQ(spec.intermediate_size, 128);
  EXPECT_EQ(spec.alibi_bias_max, 8);
  EXPECT_TRUE(!spec.norm_bias && !spec.qkv_bias && spec.norm == NormKind::kLayer);
  json learned = With(With(mpt, "attn_config", {{"alibi", false}}), "no_bias", false);
  spec = Read(learned).value();
  EXPECT_EQ(spec.positions, Positions::kLearned);
  EXPECT_TRUE(spec.norm_bias && spec.mlp_bias);
  ExpectUnimplemented(With(mpt, "attn_config", {{"clip_qkv", 6.0}}), "attn_config.clip_qkv");
  ExpectInvalid(With(mpt, "d_model", -1), "d_model is -1");
  const json gpt2 = {{"model_type", "gpt2"}, {"n_layer", 2},     {"n_embd", 64},
                     {"n_head", 4},          {"vocab_size", 99}, {"n_positions", 128}};
  spec = Read(gpt2).value();
  EXPECT_EQ(spec.intermediate_size, 256);
  EXPECT_EQ(spec.activation, Activation::kGeluTanh);
  EXPECT_TRUE(spec.qkv_bias && spec.output_bias && spec.mlp_bias && spec.tied_head);
  ExpectInvalid(With(gpt2, "n_head", 0), "n_head is 0, must be 1 to");
  ExpectInvalid(Without(gpt2, "n_positions"), "n_positions is missing");
}

TEST(ConfigJsonTest, PhiAndGptNeoxRotateAPartOfEachHead) {
  const json phi = With(Llama(), "model_type", "phi");
  EXPECT_EQ(Read(phi)->rotary_size, 8);
  EXPECT_EQ(Read(With(phi, "partial_rotary_factor", 0.25))->rotary_size, 4);
  EXPECT_TRUE(Read(phi)->head_bias && Read(phi)->shared_norm);
  ExpectInvalid(With(phi, "partial_rotary_factor", 0.2), "rotary positions turn pairs");
  ExpectInvalid(With(phi, "partial_rotary_factor", 1.5), "must be above 0 and at most 1");
  ExpectUnimplemented(With(phi, "qk_layernorm", true), "qk_layernorm");
  const json neox = With(Llama(), "model_type", "gpt_neox");
  EXPECT_EQ(Read(neox)->rotary_size, 4);
  EXPECT_EQ(Read(With(neox, "rotary_pct", 1.0))->rotary_size, 0);
  EXPECT_EQ(Read(With(Without(neox, "rope_theta"), "rotary_emb_base", 500.0))->rope_theta, 500);
  EXPECT_TRUE(Read(neox)->parallel_blocks && !Read(neox)->shared_norm);
  EXPECT_FALSE(Read(With(neox, "use_parallel_residual", false))->parallel_blocks);
}

TEST(ConfigJsonTest, MixturesOfExpertsAreRead) {
  json mixtral = With(With(Llama(), "model_type", "mixtral"), "num_local_experts", 8);
  mixtral["num_experts_per_tok"] = 2;
  const ModelSpec spec = Read(mixtral).value();
  EXPECT_EQ(spec.expert_count, 8);
  // All but the experts, and of these a quarter.
  const int64_t experts = 4 * 8 * 3 * 64 * 128;
  EXPECT_EQ(ParameterCount(spec) - ActiveParameterCount(spec), experts / 4 * 3);
  ExpectInvalid(With(mixtral, "num_experts_per_tok", 9),
                "must be 1 to 1024 and at least the experts of a token(9)");
  ExpectInvalid(Without(mixtral, "num_local_experts"), "num_local_experts is missing");
}

void ExpectRoundTrip(const ModelSpec& spec) {
  absl::StatusOr<ModelSpec> read =
      ModelSpecFromConfigJson(ConfigJsonFromModelSpec(spec), spec.name);
  ASSERT_TRUE(read.ok()) << read.status();
  read->source = spec.source;
  EXPECT_EQ(*read, spec) << ConfigJsonFromModelSpec(spec);
}

TEST(ConfigJsonTest, CatalogRoundTrips) {
  for (const ModelSpec& spec : ModelCatalog()) {
    if (FindFamily(spec.family)->reads_config) ExpectRoundTrip(spec);
  }
}

TEST(ConfigJsonTest, RandomModelsRoundTrip) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) ExpectRoundTrip(RandomModel(random));
}

// Bytes changed at random: an answer or an error, never a crash, and an accepted spec is a valid
// one.
TEST(ConfigJsonTest, DamagedTextIsRefusedOrValid) {
  std::mt19937_64 random(4);
  const std::string text = ConfigJsonFromModelSpec(FindModel("Llama-3.1-8B").value());
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = text;
    for (int j = 0; j < 3; ++j) damaged[random() % damaged.size()] = static_cast<char>(random());
    const absl::StatusOr<ModelSpec> spec = ModelSpecFromConfigJson(damaged, "damaged");
    EXPECT_TRUE(!spec.ok() || ValidateModelSpec(*spec).ok()) << damaged;
  }
}

}  // namespace
}  // namespace tunesmith::planner
