#include "planner/answer/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/str_cat.h"
#include "common/units.h"
#include "planner/model/catalog.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

Question ToyQuestion(MethodChoice method, int64_t bytes_below_need) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 64, .rows_per_step = 4},
                    .devices = {.hardware = *FindHardware("cpu")},
                    .method = method,
                    .lora = {.rank = 12, .alpha = 24},
                    .memory_budget_bytes = 1};
  question.memory_budget_bytes =
      Recommend(question)->nearest->memory.total_bytes - bytes_below_need;
  return question;
}

std::map<ChangeKind, Change> Find(const Question& question) {
  const auto result = Recommend(question);
  EXPECT_TRUE(result.ok() && result->ranked.empty());
  const auto found = CheapestChanges(question, *result->nearest);
  EXPECT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->deadline_reached);
  std::map<ChangeKind, Change> changes;
  std::pair before(false, 0.0);
  for (const Change& change : found->changes) {
    EXPECT_TRUE(change.best.fits) << change.sentence;
    EXPECT_GE(std::pair(change.semantic, change.share), before) << change.sentence;
    EXPECT_EQ(change.sentence.find("changes what is learned") != std::string::npos,
              change.semantic);
    before = {change.semantic, change.share};
    changes[change.kind] = change;
  }
  return changes;
}

bool Fits(const Question& question) { return !Recommend(question)->ranked.empty(); }

TEST(ChangesTest, MemoryIsTheLeastThatFits) {
  Question question = ToyQuestion(MethodChoice::kFull, 1000);
  const auto changes = Find(question);
  const Change& memory = changes.at(ChangeKind::kMemory);
  EXPECT_EQ(memory.from, question.memory_budget_bytes);
  EXPECT_EQ(memory.to - memory.from, 1000);
  question.memory_budget_bytes = memory.to;
  EXPECT_TRUE(Fits(question));
  question.memory_budget_bytes = memory.to - 1;
  EXPECT_FALSE(Fits(question));
}

TEST(ChangesTest, ContextIsTheLongestThatFits) {
  for (const int64_t bytes : {1, 3000, 10000}) {
    Question question = ToyQuestion(MethodChoice::kLora, bytes);
    question.workload.document_capacity = 64;
    const auto changes = Find(question);
    ASSERT_TRUE(changes.contains(ChangeKind::kContext)) << bytes;
    const Change& context = changes.at(ChangeKind::kContext);
    EXPECT_EQ(context.value, std::to_string(context.to));
    question.workload.document_capacity = 0;
    question.workload.context = context.to;
    EXPECT_TRUE(Fits(question));
    question.workload.context = context.to + 1;
    EXPECT_FALSE(Fits(question)) << context.to;
  }
}

TEST(ChangesTest, RankIsTheLargestThatFits) {
  Question question = ToyQuestion(MethodChoice::kLora, 3000);
  const Change rank = Find(question).at(ChangeKind::kLoraRank);
  EXPECT_EQ(rank.best.mix.lora.rank, rank.to);
  EXPECT_EQ(rank.best.mix.lora.alpha, 2.0 * static_cast<double>(rank.to));
  question.lora.rank = rank.to;
  EXPECT_TRUE(Fits(question));
  question.lora.rank = rank.to + 1;
  EXPECT_FALSE(Fits(question));
}

TEST(ChangesTest, LoraInsteadOfFullIsOfferedWhereOnlyFullWasAsked) {
  Question question = ToyQuestion(MethodChoice::kFull, 1000);
  question.lora.rank = 1;
  const auto changes = Find(question);
  EXPECT_EQ(changes.at(ChangeKind::kMethod).best.mix.method, Method::kLora);
  EXPECT_FALSE(changes.contains(ChangeKind::kLoraRank));
  const auto from_lora = Find(ToyQuestion(MethodChoice::kLora, 1000));
  EXPECT_EQ(from_lora.at(ChangeKind::kMethod).best.mix.method, Method::kQlora);
  EXPECT_FALSE(Find(ToyQuestion(MethodChoice::kQlora, 1000)).contains(ChangeKind::kMethod));
}

// With one micro-batch per step gradients lie where activations die.
TEST(ChangesTest, FewerRowsAreOfferedWhereTheyMatter) {
  Question question = ToyQuestion(MethodChoice::kFull, 1);
  const Change rows = Find(question).at(ChangeKind::kRows);
  EXPECT_LT(rows.to, 4);
  question.workload.rows_per_step = rows.to;
  EXPECT_TRUE(Fits(question));
  question.workload.rows_per_step = rows.to + 1;
  EXPECT_FALSE(Fits(question));
}

// Keys and values of all layers are more than what training keeps of them.
TEST(ChangesTest, GenerationIsOfferedWhereItBinds) {
  Question question = ToyQuestion(MethodChoice::kLora, 0);
  question.model.layer_count = 60;
  question.model.head_size = 16;
  question.model.kv_head_count = question.model.head_count;
  question.lora.rank = 1;
  question.memory_budget_bytes = 1;
  const Prediction smallest = *Recommend(question)->nearest;
  ASSERT_EQ(smallest.memory.binding_instant, "generate");
  question.memory_budget_bytes = smallest.memory.total_bytes - 1;
  const auto changes = Find(question);
  ASSERT_TRUE(changes.contains(ChangeKind::kGeneration));
  EXPECT_EQ(changes.at(ChangeKind::kGeneration).value, "off");
  EXPECT_FALSE(changes.contains(ChangeKind::kEvaluation));
}

TEST(ChangesTest, TheDeviceIsTheSmallestOfTheCatalog) {
  Question question{.model = *FindModel("SmolLM2-1.7B"),
                    .workload = {.context = 2048, .rows_per_step = 8},
                    .devices = {.hardware = *FindHardware("RTX-4090")},
                    .method = MethodChoice::kFull};
  const Change device = Find(question).at(ChangeKind::kDevice);
  EXPECT_THAT(device.sentence, HasSubstr(device.value + " ("));
  for (const Hardware& h : HardwareCatalog()) {
    if (!h.trainer_runs || h.compute_capability == 0) continue;
    question.devices.hardware = h;
    if (h.name == device.value) {
      EXPECT_TRUE(Fits(question));
    } else if (h.memory_bytes < device.to) {
      EXPECT_FALSE(Fits(question)) << h.name;
    }
  }
}

TEST(ChangesTest, ABudgetIsNotWidenedByAnotherDevice) {
  EXPECT_FALSE(Find(ToyQuestion(MethodChoice::kFull, 1000)).contains(ChangeKind::kDevice));
}

TEST(ChangesTest, PrecisionIsOfferedWhereTheDeviceHasIt) {
  Question question{.model = *FindModel("SmolLM2-1.7B"),
                    .workload = {.context = 2048, .rows_per_step = 2},
                    .devices = {.hardware = *FindHardware("A10G")},
                    .method = MethodChoice::kLora,
                    .precision = Precision::kFp32,
                    .memory_budget_bytes = 6 * kGiB};
  EXPECT_EQ(Find(question).at(ChangeKind::kPrecision).best.mix.precision, Precision::kBf16);
}

TEST(ChangesTest, NarrowerStatesAreOffered) {
  const Question question{.model = *FindModel("SmolLM2-1.7B"),
                          .workload = {.context = 2048, .rows_per_step = 8},
                          .devices = {.hardware = *FindHardware("RTX-4090")},
                          .method = MethodChoice::kFull};
  const Change state = Find(question).at(ChangeKind::kOptimizerState);
  EXPECT_NE(state.best.mix.optimizer_state, OptimizerState::kFp32);
  Question changed = question;
  changed.optimizer_state = state.best.mix.optimizer_state;
  EXPECT_TRUE(Fits(changed));
  changed = question;
  changed.accumulation_dtype = AccumulationDtype::kBf16;
  EXPECT_EQ(Find(question).contains(ChangeKind::kAccumulation), Fits(changed));
}

// Sharing makes it fit, which one device alone does not; the fewest that do and divide the rows are offered.
TEST(ChangesTest, MoreDevicesAreOfferedWhereRowsDivide) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 64, .rows_per_step = 12},
                    .devices = {.hardware = *FindHardware("A100-80GB")},
                    .method = MethodChoice::kFull,
                    .memory_budget_bytes = 1};
  const int64_t need = Recommend(question)->nearest->memory.total_bytes;
  std::set<int64_t> offered;
  for (const int64_t less : {1, 20000, 60000, 200000}) {
    question.memory_budget_bytes = need - less;
    int64_t fewest = 0;
    for (const int64_t count : {4, 2}) {
      Question shared = question;
      shared.devices.device_count = count;
      if (Fits(shared)) fewest = count;
    }
    const auto changes = Find(question);
    ASSERT_EQ(changes.contains(ChangeKind::kDeviceCount), fewest > 0) << less;
    if (fewest == 0) continue;
    const Change& change = changes.at(ChangeKind::kDeviceCount);
    EXPECT_EQ(change.to, fewest) << less;
    EXPECT_FALSE(change.semantic);
    EXPECT_EQ(change.sentence, "It fits with " + std::to_string(fewest) + " devices instead of 1.");
    EXPECT_GT(change.best.mix.zero_stage, 0);
    offered.insert(fewest);
  }
  EXPECT_FALSE(offered.empty());
  question.workload.rows_per_step = 5;
  question.memory_budget_bytes = 1;
  question.memory_budget_bytes = Recommend(question)->nearest->memory.total_bytes - 1;
  const auto shared = Find(question);
  ASSERT_TRUE(shared.contains(ChangeKind::kDeviceCount));
  EXPECT_EQ(shared.at(ChangeKind::kDeviceCount).best.mix.sequence_parallel, 2);
  question.pinned.sequence_parallel = 1;
  EXPECT_FALSE(Find(question).contains(ChangeKind::kDeviceCount)) << "5 rows do not divide";
}

// One row can be shared by several devices, and whatever is asked of fewer tokens or rows must divide over them.
TEST(ChangesTest, OneRowIsSharedByDevices) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 64, .rows_per_step = 1},
                    .devices = {.hardware = *FindHardware("A100-80GB")},
                    .method = MethodChoice::kFull,
                    .memory_budget_bytes = 1};
  const auto lack = [&](int64_t bytes) {
    question.memory_budget_bytes = 1;
    question.memory_budget_bytes = Recommend(question)->nearest->memory.total_bytes - bytes;
  };
  lack(1);
  const Change devices = Find(question).at(ChangeKind::kDeviceCount);
  EXPECT_EQ(devices.to, 2);
  EXPECT_EQ(devices.best.mix.sequence_parallel, 2);

  question.devices.device_count = 2;
  lack(1);
  const Change context = Find(question).at(ChangeKind::kContext);
  EXPECT_EQ(context.to % 2, 0);
  question.workload.context = context.to;
  EXPECT_TRUE(Fits(question));
  question.workload.context = context.to + 2;
  EXPECT_FALSE(Fits(question));

  question.workload = {.context = 64, .rows_per_step = 2};
  question.pinned.sequence_parallel = 2;
  lack(1);
  EXPECT_EQ(Find(question).at(ChangeKind::kRows).to, 1);
}

TEST(ChangesTest, OffloadIsTheLeastThatFits) {
  Question question{.model = *FindModel("Llama-2-7b-hf"),
                    .workload = {.context = 2048, .rows_per_step = 16},
                    .devices = {.hardware = *FindHardware("A100-80GB")},
                    .method = MethodChoice::kFull};
  question.pinned.micro_batch = 1;
  const Change states = Find(question).at(ChangeKind::kOffload);
  EXPECT_EQ(states.value, "optimizer");
  EXPECT_FALSE(states.semantic);
  EXPECT_THAT(states.sentence,
              HasSubstr(StrCat("It fits with offload=optimizer of ",
                               states.best.mix.offload_percent, " % of the states and ")));
  EXPECT_LT(states.best.memory.pinned_bytes, 100 * kGiB) << "some states fit on the device";
  question.memory_budget_bytes = 50 * kGiB;
  const Change all_states = Find(question).at(ChangeKind::kOffload);
  EXPECT_THAT(all_states.sentence, HasSubstr("It fits with offload=optimizer and "));
  EXPECT_GT(all_states.best.memory.pinned_bytes, 100 * kGiB);
  question.memory_budget_bytes = 30 * kGiB;  // weights and gradients alone take more
  EXPECT_EQ(Find(question).at(ChangeKind::kOffload).value, "all");
  question.pinned_memory_budget_bytes = 50 * kGiB;
  EXPECT_FALSE(Find(question).contains(ChangeKind::kOffload));
}

TEST(ChangesTest, MoreOfTheHostIsOfferedWhereTheDeviceSuffices) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 64, .rows_per_step = 4},
                    .devices = {.hardware = *FindHardware("A100-80GB")},
                    .method = MethodChoice::kLora,
                    .host_memory_budget_bytes = 1 * kGiB};
  const Change memory = Find(question).at(ChangeKind::kMemory);
  EXPECT_EQ(memory.from, 1 * kGiB);
  EXPECT_THAT(memory.value, HasSubstr("of host memory"));
  EXPECT_THAT(memory.sentence, HasSubstr("more of host memory per device"));
  question.host_memory_budget_bytes = memory.to;
  EXPECT_TRUE(Fits(question));
  question.host_memory_budget_bytes = memory.to - 1;
  EXPECT_FALSE(Fits(question));
}

TEST(ChangesTest, QloraIsOfferedWhereLoraDoesNotFitEither) {
  Question question{.model = *FindModel("Llama-3.1-8B"),
                    .workload = {.context = 512, .rows_per_step = 1, .generates = false},
                    .devices = {.hardware = *FindHardware("RTX-4090")},
                    .method = MethodChoice::kFull,
                    .memory_budget_bytes = 10 * kGiB};
  const Change method = Find(question).at(ChangeKind::kMethod);
  EXPECT_EQ(method.value, "qlora");
  EXPECT_EQ(method.best.mix.method, Method::kQlora);
  EXPECT_THAT(method.sentence, HasSubstr("QLoRA of rank 16 instead of full fine-tuning"));
}

// At 8192 tokens an MLP may run in two tiles, so that some shorter contexts need more.
TEST(ChangesTest, AContextThatMoreTilesMakeFitIsFound) {
  Question question{.model = ToyModel(3, true),
                    .workload = {.context = 8192, .rows_per_step = 1, .generates = false},
                    .devices = {.hardware = *FindHardware("cpu")},
                    .method = MethodChoice::kLora,
                    .memory_budget_bytes = 1};
  question.model.context_limit = 1 << 20;
  question.model.intermediate_size = 4096;
  const auto need = [&](int64_t context) {
    Question at = question;
    at.workload.context = context;
    return Recommend(at)->nearest->memory.total_bytes;
  };
  ASSERT_LT(need(8192), need(6144));
  question.memory_budget_bytes = need(8192);
  question.workload.context = 12000;
  EXPECT_GE(Find(question).at(ChangeKind::kContext).to, 8192);
}

TEST(ChangesTest, TheDeadlineCutsItShort) {
  Question question = ToyQuestion(MethodChoice::kFull, 1000);
  const Prediction nearest = *Recommend(question)->nearest;
  question.deadline = absl::InfinitePast();
  const auto found = CheapestChanges(question, nearest);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->deadline_reached);
  EXPECT_TRUE(found->changes.empty());
}

}  // namespace
}  // namespace tunesmith::planner
