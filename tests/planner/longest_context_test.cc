#include "planner/answer/longest_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "common/units.h"
#include "tests/planner/program_fixture.h"

namespace tunesmith::planner {
namespace {

using ::testing::HasSubstr;

// Wide enough in the MLP that tiles of it matter, so that need does not only grow with the context.
Question WideQuestion(int64_t limit, int64_t rows = 1) {
  Question question{.model = ToyModel(2, true),
                    .workload = {.context = 1, .rows_per_step = rows, .generates = false},
                    .devices = {.hardware = *FindHardware("A100-80GB")},
                    .method = MethodChoice::kLora,
                    .lora = {.rank = 2},
                    .pinned = {.attention = AttentionKernel::kFlash}};
  question.model.intermediate_size = 512;
  question.model.context_limit = limit;
  return question;
}

bool FitsAt(Question question, int64_t context) {
  question.workload.context = context;
  const auto result = Recommend(question);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() && !result->ranked.empty();
}

// The longest of all multiples, asked one by one.
int64_t ByScan(const Question& question) {
  int64_t longest = 0;
  for (int64_t context = kContextUnit; context < question.model.context_limit + kContextUnit;
       context += kContextUnit) {
    const int64_t at = std::min(context, question.model.context_limit);
    if (FitsAt(question, at)) longest = at;
  }
  return longest;
}

LongestContext Find(const Question& question) {
  const auto found = FindLongestContext(question);
  EXPECT_TRUE(found.ok()) << found.status();
  return found.ok() ? *found : LongestContext{};
}

int64_t LeastBytesAt(Question question, int64_t context) {
  question.workload.context = context;
  question.memory_budget_bytes = 1;
  return Recommend(question)->nearest->memory.total_bytes;
}

TEST(LongestContextTest, IsTheLongestOfAScan) {
  Question question = WideQuestion(13000);
  std::set<int64_t> found_contexts;
  for (const int64_t exactly : {256, 700, 3840, 4096, 7936, 8192, 9000, 12032, 12288, 12800}) {
    const int64_t need = LeastBytesAt(question, exactly);
    for (const int64_t budget : {need - 1, need}) {
      question.memory_budget_bytes = budget;
      const LongestContext found = Find(question);
      EXPECT_EQ(found.context, ByScan(question)) << exactly << " " << budget;
      EXPECT_EQ(found.limit, 13000);
      found_contexts.insert(found.context);
    }
    question.memory_budget_bytes = 0;
  }
  EXPECT_GT(found_contexts.size(), 8u);
}

TEST(LongestContextTest, ItsMixReachesItAndTheNextDoesNotFit) {
  Question question = WideQuestion(1 << 16, 2);
  question.memory_budget_bytes = LeastBytesAt(question, 5000);
  const LongestContext found = Find(question);
  ASSERT_TRUE(found.best && found.nearest);
  EXPECT_TRUE(found.best->fits);
  EXPECT_EQ(found.next_context, found.context + kContextUnit);
  EXPECT_FALSE(found.nearest->fits);
  EXPECT_GT(found.nearest->memory.total_bytes, question.memory_budget_bytes);
  const auto estimate = Estimate(QuestionAt(question, found.context), found.best->mix);
  ASSERT_TRUE(estimate.ok()) << estimate.status();
  EXPECT_EQ(estimate->program_digest, found.best->program_digest);
  EXPECT_THAT(found.binding_sentence,
              HasSubstr("more than the " + FormatBytes(question.memory_budget_bytes)));
  EXPECT_THAT(found.binding_sentence, HasSubstr(found.nearest->memory.binding_instant));
}

TEST(LongestContextTest, TheModelsLimitBindsWhereMemorySuffices) {
  for (const int64_t limit : {64, 256, 300, 4096, 5000}) {
    const LongestContext found = Find(WideQuestion(limit));
    EXPECT_EQ(found.context, limit);
    EXPECT_FALSE(found.nearest.has_value());
    EXPECT_THAT(found.binding_sentence, HasSubstr("own limit binds"));
  }
}

TEST(LongestContextTest, MoreMemoryAndMoreDevicesNeverMakeItShorter) {
  Question question = WideQuestion(1 << 14, 4);
  question.model.layer_count = 6;
  const int64_t least = LeastBytesAt(question, 512);
  int64_t longest = 0;
  for (int64_t more = 0; more < 8 * kMiB; more += kMiB) {
    question.memory_budget_bytes = least + more;
    const int64_t context = Find(question).context;
    EXPECT_GE(context, longest);
    longest = context;
  }
  question.memory_budget_bytes = least;
  const int64_t alone = Find(question).context;
  question.devices.device_count = 4;
  EXPECT_GE(Find(question).context, alone);
}

TEST(LongestContextTest, NothingFitsIsAnAnswer) {
  Question question = WideQuestion(4096);
  question.memory_budget_bytes = 1000;
  const LongestContext found = Find(question);
  EXPECT_EQ(found.context, 0);
  EXPECT_FALSE(found.best.has_value());
  EXPECT_TRUE(found.nearest.has_value());
  EXPECT_THAT(found.binding_sentence, HasSubstr("At 256 tokens the smallest mix needs"));
}

TEST(LongestContextTest, TheDeadlineIsTold) {
  Question question = WideQuestion(4096);
  question.deadline = absl::InfinitePast();
  EXPECT_TRUE(Find(question).deadline_reached);
  question.devices.device_count = 3;
  EXPECT_EQ(FindLongestContext(question).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tunesmith::planner
