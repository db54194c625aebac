#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "planner/model/catalog.h"
#include "planner/model/model_spec.h"
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
  ExpectUnimplemented(With(Llama(), "model_type", "falcon"),
                      "model_type 'falcon' is not planned yet; known: llama, mistral, qwen2");
  ExpectInvalid(Without(Llama(), "model_type"), "model_type is missing");
}

TEST(ConfigJsonTest, UnsupportedFeaturesAreListed) {
  json config = With(With(Llama(), "attention_bias", true), "mlp_bias", true);
  config["hidden_act"] = "gelu";
  config["quantization_config"] = {{"quant_method", "gptq"}};
  EXPECT_EQ(Read(config).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(ErrorOf(config), AllOf(HasSubstr("attention_bias"), HasSubstr("mlp_bias"),
                                     HasSubstr("'gelu'"), HasSubstr("quantization_config")));
  EXPECT_TRUE(Read(With(Llama(), "attention_bias", false)).ok());
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

TEST(ConfigJsonTest, RopeErrors) {
  ExpectInvalid(With(Llama(), "rope_scaling", {{"type", "linear"}}),
                "rope_scaling.factor is missing");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"factor", 2.0}}), "rope_scaling.type is missing");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"type", "linear"}, {"factor", 0.5}}),
                "rope_scaling.factor is 0.5");
  ExpectInvalid(With(Llama(), "rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}),
                "rope_scaling.low_freq_factor is missing");
  ExpectUnimplemented(With(Llama(), "rope_scaling", {{"type", "yarn"}, {"factor", 4.0}}),
                      "rope_scaling.type 'yarn' is not implemented");
  ExpectUnimplemented(With(Llama(), "partial_rotary_factor", 0.5), "partial_rotary_factor");
  ExpectInvalid(With(Llama(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5.0}}),
                "rope_theta(10000) != rope_parameters.rope_theta(5)");
  json both = With(Llama(), "rope_scaling", {{"type", "linear"}, {"factor", 2.0}});
  both["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 4.0}};
  ExpectInvalid(both, "rope_scaling and rope_parameters contradict each other");
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
  EXPECT_EQ(Read(With(deep, "layer_types", {"full_attention"}))->sliding_window, 0);
  EXPECT_EQ(Read(With(qwen, "layer_types", json::array({"sliding_attention"})))->sliding_window,
            128);
}

TEST(ConfigJsonTest, WindowsInSomeLayersLowerTheContextLimit) {
  const json qwen = With(With(Llama(), "model_type", "qwen2"), "sliding_window", 128);
  const ModelSpec some =
      Read(With(With(qwen, "use_sliding_window", true), "max_window_layers", 3)).value();
  EXPECT_EQ(some.sliding_window, 0);
  EXPECT_EQ(some.context_limit, 128);
  EXPECT_THAT(some.source, HasSubstr("sliding window of 128 tokens"));
  EXPECT_EQ(Read(With(qwen, "layer_types", {"full_attention", "sliding_attention"}))->context_limit,
            128);
  ExpectUnimplemented(With(qwen, "layer_types", {"linear_attention"}), "layer_types");
}

void ExpectRoundTrip(const ModelSpec& spec) {
  absl::StatusOr<ModelSpec> read =
      ModelSpecFromConfigJson(ConfigJsonFromModelSpec(spec), spec.name);
  ASSERT_TRUE(read.ok()) << read.status();
  read->source = spec.source;
  EXPECT_EQ(*read, spec) << ConfigJsonFromModelSpec(spec);
}

TEST(ConfigJsonTest, CatalogRoundTrips) {
  for (const ModelSpec& spec : ModelCatalog()) ExpectRoundTrip(spec);
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
