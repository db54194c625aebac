#include "planner/model/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/str_cat.h"
#include "planner/model/catalog_rows.h"
#include "planner/model/family.h"

namespace tunesmith::planner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ModelCatalogTest, EveryRowIsValidAndSourced) {
  std::set<std::string> names;
  for (const ModelSpec& spec : ModelCatalog()) {
    SCOPED_TRACE(spec.name);
    EXPECT_TRUE(names.insert(spec.name).second);
    EXPECT_TRUE(ValidateModelSpec(spec).ok()) << ValidateModelSpec(spec);
    EXPECT_GT(spec.source.size(), 10u);
  }
}

TEST(ModelCatalogTest, ParameterTotalsAreThePublishedOnes) {
  for (const CatalogRow& row : CatalogRows()) {
    EXPECT_EQ(ParameterCount(row.spec), row.published_parameter_count) << row.spec.name;
  }
}

TEST(FindModelTest, CaseOrganizationAndTuningAreIgnored) {
  EXPECT_EQ(FindModel("smollm2-135m")->name, "SmolLM2-135M");
  const ModelSpec instruct = FindModel("HuggingFaceTB/SmolLM2-135M-Instruct").value();
  EXPECT_EQ(instruct.name, "HuggingFaceTB/SmolLM2-135M-Instruct");
  EXPECT_EQ(instruct.layer_count, 30);
  EXPECT_THAT(instruct.source, HasSubstr("the shape of SmolLM2-135M"));
}

TEST(FindModelTest, WordsThatTellNothingOfTheShapeAreIgnored) {
  for (const auto& [asked, row] : {std::pair("Qwen/Qwen3-8B-Base", "Qwen3-8B"),
                                   {"meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama-3.1-8B"},
                                   {"meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"},
                                   {"meta-llama/Llama-2-7b-chat-hf", "Llama-2-7b-hf"},
                                   {"google/gemma-2-9b-it", "Gemma-2-9b"}}) {
    const auto found = FindModel(asked);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(NoteOnShape(found->name, found->source),
              StrCat("Model ", asked, " is taken to have the shape of ", row, "."));
  }
}

TEST(FindModelTest, SmolLm2IsAsPublished) {
  const ModelSpec spec = FindModel("SmolLM2-135M").value();
  EXPECT_EQ(spec.layer_count, 30);
  EXPECT_EQ(spec.hidden_size, 576);
  EXPECT_EQ(spec.intermediate_size, 1536);
  EXPECT_EQ(spec.head_count, 9);
  EXPECT_EQ(spec.kv_head_count, 3);
  EXPECT_EQ(spec.head_size, 64);
  EXPECT_EQ(spec.vocab_size, 49152);
  EXPECT_EQ(spec.context_limit, 8192);
  EXPECT_EQ(spec.rope_theta, 100000);
  EXPECT_EQ(spec.norm_epsilon, 1e-5);
  EXPECT_TRUE(spec.tied_head);
}

TEST(FindModelTest, EveryFamilyThatIsTrainedHasAModel) {
  std::set<std::string> families;
  for (const ModelSpec& spec : ModelCatalog()) families.insert(spec.family);
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2",
                             "falcon", "mpt", "mixtral", "qwen3_moe"})
    EXPECT_TRUE(families.contains(family)) << family;
}

TEST(FindModelTest, MixturesSayWhatOneTokenGoesThrough) {
  const ModelSpec mixtral = FindModel("Mixtral-8x7B-v0.1").value();
  EXPECT_EQ(ParameterCount(mixtral), 46702792704);
  EXPECT_EQ(ActiveParameterCount(mixtral), 12879925248);  // 12.9 billion, as its makers say
  EXPECT_THAT(FindFamily(mixtral.family)->not_trained_because, HasSubstr("mixtures of experts"));
}

TEST(FindModelTest, SizesAreSynthesized) {
  EXPECT_THAT(FindModel("7B")->source, HasSubstr("assumed from the size 7B"));
  EXPECT_EQ(FindModel("-3B").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindModel("0B").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(FindModelTest, UnknownNamesGetTheNearest) {
  const absl::Status status = FindModel("SmolLM2-135").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("'SmolLM2-135M'"));
  EXPECT_THAT(FindModel("microsoft/phi-4").status().message(),
              AllOf(HasSubstr("did you mean"), HasSubstr("'phi-2'")));
  EXPECT_EQ(FindModel("").status().code(), absl::StatusCode::kNotFound);
}

TEST(FindModelTest, KnownButUnplannedFamiliesSaySo) {
  for (const UnplannedModel& model : UnplannedModels()) {
    const absl::Status status = FindModel(model.name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << model.name;
    EXPECT_THAT(status.message(), AllOf(HasSubstr(model.name), HasSubstr("not planned yet")));
  }
  EXPECT_EQ(FindModel("tiiuae/Falcon-7B")->family, "falcon");
}

}  // namespace
}  // namespace tunesmith::planner
