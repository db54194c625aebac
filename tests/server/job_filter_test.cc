#include "server/job_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tunesmith/v1/events.pb.h"

namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;

TEST(JobFilterTest, ComparisonsAreJoinedByAnd) {
  const auto conditions = ParseJobFilter(R"(state=FAILED AND model != "a \"b\" AND c")");
  ASSERT_TRUE(conditions.ok()) << conditions.status();
  ASSERT_EQ(conditions->size(), 2u);
  EXPECT_EQ((*conditions)[0].column, "state");
  EXPECT_EQ((*conditions)[0].integer, v1::JOB_STATE_FAILED);
  EXPECT_EQ((*conditions)[1].text, "a \"b\" AND c");
  EXPECT_EQ((*conditions)[1].operator_text, "!=");
}

TEST(JobFilterTest, TimesAreRfc3339) {
  const auto conditions = ParseJobFilter("create_time >= \"1970-01-01T00:00:01Z\"");
  ASSERT_TRUE(conditions.ok()) << conditions.status();
  EXPECT_EQ((*conditions)[0].integer, 1000000);
  EXPECT_EQ(ParseJobFilter("end_time < \"1970-01-01T00:00:01Z\"")->size(), 2u)
      << "jobs that have not ended are left out";
}

TEST(JobFilterTest, EmptyMeansAll) {
  EXPECT_TRUE(ParseJobFilter("")->empty());
  EXPECT_TRUE(ParseJobFilter("  ")->empty());
}

TEST(JobFilterTest, RefusesWhatItDoesNotKnow) {
  for (const char* filter : {"state",
                             "state =",
                             "state = NONSENSE",
                             "state = UNSPECIFIED",
                             "state < FAILED",
                             "color = red",
                             "\"state\" = FAILED",
                             "state = FAILED AND",
                             "state = FAILED OR state = QUEUED",
                             "(state = FAILED)",
                             "NOT state = FAILED",
                             "model = \"open",
                             "create_time > yesterday",
                             "create_time = \"1970-01-01T00:00:01Z\"",
                             "state = FAILED model = x",
                             "model = = x",
                             "model == x",
                             "model = 'x'; DROP TABLE jobs",
                             "AND",
                             "\x01\xff"}) {
    const auto conditions = ParseJobFilter(filter);
    EXPECT_EQ(conditions.status().code(), absl::StatusCode::kInvalidArgument) << filter;
    EXPECT_THAT(std::string(conditions.status().message()), HasSubstr("joined by AND")) << filter;
  }
  EXPECT_FALSE(ParseJobFilter(std::string(5000, ' ')).ok());
}

}  // namespace
}  // namespace tunesmith::server
