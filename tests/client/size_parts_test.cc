#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/prices.h"
#include "client/show_size.h"
#include "common/duration.h"

namespace tunesmith::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DurationTest, KnowsItsUnits) {
  EXPECT_EQ(*ParseDurationSeconds("8h"), 8 * 3600);
  EXPECT_EQ(*ParseDurationSeconds("1d12h"), 36 * 3600);
  EXPECT_EQ(*ParseDurationSeconds("1.5h"), 5400);
  EXPECT_EQ(*ParseDurationSeconds("90m"), 5400);
  EXPECT_EQ(*ParseDurationSeconds("2d1h1m1s"), 2 * 86400 + 3661);
}

TEST(DurationTest, RefusesTheRest) {
  for (const char* text :
       {"", "8", "h", "-8h", "0h", "0s0", "8 h", "1h1d", "1h1h", "8w", "nanh", "1e400h", "1.2.3h"})
    EXPECT_FALSE(ParseDurationSeconds(text).ok()) << text;
}

TEST(PricesTest, GoToTheKindsThatTheyName) {
  const std::vector<std::string> kinds = {"H100", "L4", "H100-SXM"};
  const auto prices = PricesOf(kinds, {{"l4", 0.7}, {"H100-SXM", 3}});
  ASSERT_TRUE(prices.ok()) << prices.status();
  EXPECT_THAT(*prices, ElementsAre(3, 0.7, 3));
  EXPECT_THAT(*PricesOf(kinds, {}), ElementsAre(0, 0, 0));
  EXPECT_THAT(*PricesOf({"mine"}, {{"", 2}}), ElementsAre(2));
}

TEST(PricesTest, AreReadFromText) {
  EXPECT_EQ(ParsePrice("H100=2.99")->device, "H100");
  EXPECT_EQ(ParsePrice("H100=2.99")->per_device_hour, 2.99);
  EXPECT_EQ(ParsePrice("2.99")->device, "");
  for (const char* text : {"", "H100", "H100=", "=2", "H100=-1", "H100=nan", "H100=1=2"})
    EXPECT_FALSE(ParsePrice(text).ok()) << text;
}

v1::SizedDevices Sized(int64_t count, v1::SizeVerdict verdict, int64_t rank, const char* sentence) {
  v1::SizedDevices sized;
  sized.set_device_name("L4");
  sized.set_device_count(count);
  sized.set_node_count(1);
  sized.set_verdict(verdict);
  sized.set_rank(rank);
  sized.set_sentence(sentence);
  if (verdict == v1::SIZE_VERDICT_NOT_POSSIBLE) return sized;
  v1::RankedMix& best = *sized.mutable_best();
  best.set_mix_line("method=full");
  best.set_device_hours(6);
  best.set_cost(4.2);
  v1::Prediction& p = *best.mutable_prediction();
  p.set_fits(verdict != v1::SIZE_VERDICT_DOES_NOT_FIT);
  p.mutable_memory()->set_total_bytes(int64_t{3} << 30);
  p.mutable_time()->set_step_seconds(2);
  p.mutable_time()->set_total_hours(6.0 / static_cast<double>(count));
  return sized;
}

TEST(ShowSizeTest, TableOfCounts) {
  v1::SizeResponse response;
  v1::DeviceCountsAnswer& answer = *response.mutable_device_counts();
  *answer.add_tried() = Sized(1, v1::SIZE_VERDICT_DOES_NOT_FIT, 0, "does not fit: 1 B more");
  *answer.add_tried() = Sized(2, v1::SIZE_VERDICT_TOO_LATE, 0, "takes 3 h");
  *answer.add_tried() = Sized(3, v1::SIZE_VERDICT_NOT_POSSIBLE, 0, "4 % 3 = 1");
  *answer.add_tried() = Sized(4, v1::SIZE_VERDICT_FINISHES, 1, "chosen");
  answer.set_choice_rule("fewest devices");
  answer.set_fewest_index(3);
  response.add_notes("assumed");
  const std::string text = ShowSize({}, response, {"estimated"});
  const std::string expected =
      "   #  device  count  nodes  memory GiB    step  hours  device-hours  cost  answer        "
      "because                 mix\n"
      "   -  L4          1      1        3.00       -      -             -     -  does not fit  "
      "does not fit: 1 B more  method=full\n"
      "   -  L4          2      1        3.00  2.00 s   3.00          6.00  4.20  too late      "
      "takes 3 h               method=full\n"
      "*  1  L4          4      1        3.00  2.00 s   1.50          6.00  4.20  finishes      "
      "chosen                  method=full\n"
      "not possible: 3 devices; of the first: 4 % 3 = 1\n"
      "* chosen: fewest devices\n";
  EXPECT_EQ(text.substr(0, expected.size()), expected);
  EXPECT_THAT(text, HasSubstr("note: estimated\nnote: assumed\n"));
}

}  // namespace
}  // namespace tunesmith::client
