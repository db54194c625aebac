#include "client/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "client/comparison.h"
#include "client/style.h"
#include "client/svg_chart.h"
#include "client/table.h"

namespace tunesmith::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kGib = int64_t{1} << 30;

v1::RankedMix Mix(const std::string& line, double seconds, int64_t weights_gib,
                  int64_t activations_gib, int64_t budget_gib) {
  v1::RankedMix mix;
  mix.set_mix_line(line);
  v1::Prediction& prediction = *mix.mutable_prediction();
  prediction.set_fits(weights_gib + activations_gib <= budget_gib);
  prediction.mutable_time()->set_step_seconds(seconds);
  v1::MemoryPrediction& memory = *prediction.mutable_memory();
  memory.set_total_bytes((weights_gib + activations_gib) * kGib);
  memory.set_budget_bytes(budget_gib * kGib);
  memory.mutable_by_class()->set_weights_bytes(weights_gib * kGib);
  memory.mutable_by_class()->set_activations_bytes(activations_gib * kGib);
  return mix;
}

google::protobuf::RepeatedPtrField<v1::RankedMix> Mixes(const std::vector<v1::RankedMix>& mixes) {
  return {mixes.begin(), mixes.end()};
}

TEST(MemoryBarsTest, AreAsLongAsTheirShareOfTheBudget) {
  const std::string bars = MemoryBars(Mixes({Mix("a", 1, 10, 20, 40), Mix("b", 1, 5, 0, 40)}), 40);
  EXPECT_THAT(bars,
              HasSubstr("   1 |WWWWWWWWWWAAAAAAAAAAAAAAAAAAAA..........|  30.00 of 40.00 GiB\n"));
  EXPECT_THAT(bars,
              HasSubstr("   2 |WWWWW...................................|  5.00 of 40.00 GiB\n"));
  EXPECT_THAT(bars, HasSubstr("W weights, A activations\n"));
  EXPECT_THAT(bars, Not(HasSubstr("gradients")));
  EXPECT_EQ(MemoryBars({}, 40), "");
}

TEST(MemoryBarsTest, WhatDoesNotFitFillsTheBar) {
  EXPECT_THAT(MemoryBars(Mixes({Mix("a", 1, 30, 30, 40)}), 20),
              HasSubstr("|WWWWWWWWWWAAAAAAAAAA|"));
}

TEST(FrontPlotTest, PutsTheQuickestLeftAndTheLargestOnTop) {
  EXPECT_EQ(
      FrontPlot(Mixes({Mix("a", 1, 8, 0, 10), Mix("b", 3, 5, 0, 10), Mix("c", 5, 2, 0, 10)}), 9, 3),
      "      8.00 GiB |1        \n"
      "               |    2    \n"
      "      2.00 GiB |        3\n"
      "               +---------\n"
      "                1.00 s 5.00 s\n");
  EXPECT_EQ(FrontPlot(Mixes({Mix("a", 1, 8, 0, 10)}), 9, 3), "");
}

TEST(FrontPlotTest, EqualMixesShareAPlace) {
  EXPECT_THAT(FrontPlot(Mixes({Mix("a", 1, 8, 0, 10), Mix("b", 1, 8, 0, 10)}), 5, 2),
              HasSubstr("|*    "));
}

TEST(SparklineTest, FollowsTheValues) {
  EXPECT_EQ(Sparkline({8, 7, 6, 5, 4, 3, 2, 1}, 8), "█▇▆▅▄▃▂▁");
  EXPECT_EQ(Sparkline({1, 1, 5, 5, 9, 9}, 3), "▁▅█") << "means of spans";
  EXPECT_EQ(Sparkline({2, 2}, 4), "▁▁");
  EXPECT_EQ(Sparkline({1, NAN, 2}, 3), "▁█");
  EXPECT_EQ(Sparkline({}, 4), "");
}

class StyleTest : public ::testing::Test {
 protected:
  ~StyleTest() override { ChooseStyle(ColorMode::kNever); }
};

TEST_F(StyleTest, ColourIsAlwaysNeverOrAsTheTerminalHasIt) {
  ChooseStyle(ColorMode::kAlways);
  EXPECT_EQ(Styled(Style::kGood, "x"), "\x1b[1;32mx\x1b[0m");
  EXPECT_EQ(Styled(Style::kBad, ""), "");
  ChooseStyle(ColorMode::kNever);
  EXPECT_EQ(Styled(Style::kBad, "x"), "x");
  EXPECT_EQ(OnBackground(3, "x"), "x");
}

TEST_F(StyleTest, AnEmphasizedRowKeepsItsAlignment) {
  ChooseStyle(ColorMode::kAlways);
  Table table({"a", "b"});
  table.AddRow({"xx", "y"});
  table.EmphasizeLast();
  table.AddRow({"x", "z"});
  EXPECT_EQ(table.ToString(), "a   b\n\x1b[1;32mxx  y\x1b[0m\nx   z\n");
}

TEST(ComparisonTest, ShowsOnlyAxesThatDifferAndHowFarTheyAreApart) {
  const Listing listing = ComparisonListing(
      {{"a", Mix("method=full loss=full batch=1x8", 2, 10, 20, 40)},
       {"b", Mix("method=full loss=chunked batch=1x8 mlp_tiles=2", 3, 10, 5, 40)}});
  const std::string csv = listing.ToCsv(true);
  for (const char* row :
       {"quantity,a,b\n", "loss,full,chunked\n", "mlp_tiles,-,2\n",
        "\"weights, GiB\",10737418240,10737418240\n", "step,2,3\n", "fits,yes,yes\n",
        "\"step, to the first\",1,1.5\n", "\"memory, to the first\",1,0.5\n"})
    EXPECT_THAT(csv, HasSubstr(row));
  EXPECT_THAT(csv, Not(HasSubstr("method")));
  EXPECT_THAT(csv, Not(HasSubstr("gradients")));
}

TEST(SvgTest, EscapesWhatItIsGiven) {
  const std::string svg = ToSvg(
      BarChart{.title = "<script>\"&", .bars = {{"<b>", {{"p\"", 1, "<i>"}, {"q", 2, ""}}, "&t"}}});
  EXPECT_THAT(svg, HasSubstr("&lt;script&gt;&quot;&amp;"));
  EXPECT_THAT(svg, HasSubstr("&lt;b&gt;"));
  EXPECT_THAT(svg, Not(HasSubstr("<script>")));
  EXPECT_THAT(svg, Not(HasSubstr("<i>")));
}

TEST(SvgTest, LeavesOutWhatIsNotFinite) {
  EXPECT_EQ(ToSvg(XyChart{.title = "t", .series = {{"s", {{1, NAN}, {INFINITY, 2}}}}}), "");
  const std::string svg =
      ToSvg(XyChart{.title = "t", .series = {{"s", {{1, 2}, {2, NAN}, {3, 4}}}}});
  EXPECT_THAT(svg, HasSubstr("<path d=\"M80"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_EQ(ToSvg(BarChart{.title = "t", .bars = {}}), "");
}

TEST(SvgTest, OnePointAndConstantsHaveAScale) {
  for (const auto& points : {std::vector<std::pair<double, double>>{{3, 5}}, {{1, 0}, {2, 0}}}) {
    const std::string svg = ToSvg(XyChart{.title = "t", .series = {{"s", points}}});
    EXPECT_THAT(svg, HasSubstr("</svg>"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

}  // namespace
}  // namespace tunesmith::client
