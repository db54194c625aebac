#include "common/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TextTest, SplitKeepsEmptyPieces) {
  EXPECT_THAT(StrSplit("a,,b", ","), ElementsAre("a", "", "b"));
  EXPECT_THAT(StrSplit("", ","), ElementsAre(""));
  EXPECT_THAT(StrSplit("a b,", " ,"), ElementsAre("a", "b", ""));
  EXPECT_THAT(StrSplitSkipEmpty(" a  b\t", " \t"), ElementsAre("a", "b"));
  EXPECT_THAT(StrSplitSkipEmpty("", " "), IsEmpty());
}

TEST(TextTest, CaseIsIgnored) {
  EXPECT_TRUE(EqualsIgnoreCase("A100-80GB", "a100-80gb"));
  EXPECT_FALSE(EqualsIgnoreCase("A100", "A100-80GB"));
  EXPECT_TRUE(EndsWithIgnoreCase("x-Instruct", "-instruct"));
  EXPECT_FALSE(EndsWithIgnoreCase("t", "-instruct"));
  EXPECT_TRUE(ContainsIgnoreCase("SmolLM2-135M", "smol"));
  EXPECT_TRUE(ContainsIgnoreCase("", ""));
  EXPECT_FALSE(ContainsIgnoreCase("SmolLM2", "llama"));
}

TEST(TextTest, Joins) {
  EXPECT_EQ(StrJoin(std::vector<std::string>{"a", "b"}, " or "), "a or b");
  EXPECT_EQ(StrJoin(std::vector<std::string_view>{}, ", "), "");
}

}  // namespace
}  // namespace tunesmith
