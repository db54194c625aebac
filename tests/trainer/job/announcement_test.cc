#include "trainer/job/announcement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A document of so many tokens, all of them learned but the first, which no token is before; or none.
Document OfSize(size_t token_count, bool is_learned = true) {
  return {std::vector<int32_t>(token_count, 7),
          std::vector<uint8_t>(token_count, is_learned ? 1 : 0)};
}

JobData Data(std::vector<Document> documents, PackingOptions options = {}) {
  options.context = 8;
  options.document_capacity = 4;
  options.shuffles = false;
  return {.training = *Loader::Create(InMemory(std::move(documents), options.context), options),
          .evaluation = {}};
}

constexpr planner::Workload kWorkload = {.context = 8, .rows_per_step = 2};

std::vector<std::string> Warnings(const JobData& data,
                                  const planner::Workload& workload = kWorkload) {
  std::vector<std::string> texts;
  for (const LogLine& line : AnnouncementOf({}, workload, data, 10))
    if (line.severity == v1::LOG_SEVERITY_WARNING) texts.push_back(line.text);
  return texts;
}

TEST(AnnouncementTest, GoodDataIsOneLine) {
  const planner::Mix mix;
  EXPECT_THAT(AnnouncementOf(mix, kWorkload, Data({OfSize(8), OfSize(4)}), 10),
              ElementsAre(LogLine{v1::LOG_SEVERITY_INFO,
                                  "plan: " + planner::FormatMix(mix) +
                                      "; data: 2 documents, 12 tokens, 10 of them learned, in 2 "
                                      "rows of 8 (75.0 % filled); 10 steps of 2 rows"}));
}

TEST(AnnouncementTest, HeldOutDocumentsAreNoWarning) {
  JobData data = Data({OfSize(8)});
  data.held_out_document_count = 3;
  EXPECT_THAT(Warnings(data), ElementsAre());
  EXPECT_EQ(AnnouncementOf({}, kWorkload, data, 10).back(),
            (LogLine{v1::LOG_SEVERITY_INFO, "held out: 3 documents of another file"}));
}

TEST(AnnouncementTest, EveryKindOfDataThatIsNotLearnedIsAWarning) {
  JobData data = Data({OfSize(5), OfSize(5, false), OfSize(11)});
  data.skipped_row_count = 2;
  EXPECT_THAT(
      Warnings(data),
      ElementsAre("2 rows could not be used and were skipped",
                  "1 documents have no token to learn within the context and are left out",
                  "1 documents are longer than the context and were cut (3 tokens left out); a "
                  "longer context would keep them"));
  EXPECT_THAT(Warnings(Data({OfSize(5), OfSize(11)}, {.drops_long_documents = true})),
              ElementsAre(HasSubstr("1 documents are longer than the context and were dropped")));
}

TEST(AnnouncementTest, WhatTheCapacityOfARowLeavesOutIsCountedAgainstAll) {
  planner::Workload workload = kWorkload;
  workload.loss_token_capacity = 3;
  EXPECT_THAT(Warnings(Data({OfSize(6), OfSize(3)}, {.loss_token_capacity = 3}), workload),
              ElementsAre(HasSubstr(
                  "1 documents have more tokens to predict than the 3 of a row that the plan "
                  "allows: 2 of 7 are not learned")));
}

}  // namespace
}  // namespace tunesmith::trainer
