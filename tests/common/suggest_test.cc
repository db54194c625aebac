#include "common/suggest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tunesmith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(SuggestTest, EditDistanceCountsEditsWithoutCase) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("a100", "A100"), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
}

TEST(SuggestTest, NearestFirst) {
  EXPECT_THAT(NearestNames("A10O", {"V100", "A10G", "A100-80GB", "T4"}),
              ElementsAre("A10G", "V100"));
}

TEST(SuggestTest, PartOfANameIsNear) {
  EXPECT_THAT(NearestNames("smollm2", {"Llama-2-7b-hf", "SmolLM2-135M", "SmolLM2-360M"}),
              ElementsAre("SmolLM2-135M", "SmolLM2-360M"));
}

TEST(SuggestTest, NothingNearListsAll) {
  EXPECT_THAT(NearestNames("zzzzzzzz", {"A10G", "T4"}), IsEmpty());
  EXPECT_THAT(DidYouMean("zzzzzzzz", {"A10G", "T4"}), HasSubstr("known: A10G, T4"));
}

TEST(SuggestTest, LongInputIsCut) {
  EXPECT_THAT(NearestNames(std::string(1 << 20, 'x'), {"A10G"}), IsEmpty());
}

}  // namespace
}  // namespace tunesmith
