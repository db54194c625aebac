#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/file.h"
#include "tests/benchmarks/published/csv.h"
#include "tests/benchmarks/published/judged.h"
#include "tests/benchmarks/published/report.h"
#include "tests/benchmarks/published/rows.h"
#include "tests/benchmarks/published/setups.h"

namespace tunesmith::published {
namespace {

using ::testing::HasSubstr;

constexpr char kData[] = "tests/benchmarks/data/published_measurements.csv";

std::vector<Row> DataRows() { return ParseRows(ReadFile(kData).value(), kData)->rows; }

// The first lines of the data, with `column` of the first row set to `value`.
std::string OneRow(std::string_view column, std::string_view value) {
  const std::vector<CsvRecord> records = ParseCsv(ReadFile(kData).value(), kData).value();
  std::string header, cells;
  for (size_t i = 0; i < records[0].cells.size(); ++i) {
    const bool changed = records[0].cells[i] == column;
    header += (i > 0 ? "," : "") + records[0].cells[i];
    cells += std::string(i > 0 ? "," : "") + "\"" + (changed ? std::string(value) : "") + "\"";
    if (!changed && records[1].cells[i].find('"') == std::string::npos)
      cells.insert(cells.size() - 1, records[1].cells[i]);
  }
  return header + "\n" + cells + "\n";
}

TEST(CsvTest, QuotesCommasAndLinesInCells) {
  const auto records = ParseCsv("a,b\r\n\"x,\"\"y\"\"\",\"1\n2\"\nlast,\n", "file").value();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[1].cells, (std::vector<std::string>{"x,\"y\"", "1\n2"}));
  EXPECT_EQ(records[2].line, 4);
  EXPECT_EQ(records[2].cells, (std::vector<std::string>{"last", ""}));
  EXPECT_THAT(std::string(ParseCsv("a\n\"x\n", "file").status().message()), HasSubstr("file:2"));
}

TEST(ParseRowsTest, NamesMissingColumns) {
  EXPECT_THAT(std::string(ParseRows("id,model\nx-1,y\n", "file").status().message()),
              HasSubstr("framework"));
}

struct BadCell {
  std::string_view column, value, problem;
};
class BadCellTest : public ::testing::TestWithParam<BadCell> {};

TEST_P(BadCellTest, IsNamedByLineAndColumn) {
  const RowFile file = ParseRows(OneRow(GetParam().column, GetParam().value), "file").value();
  EXPECT_TRUE(file.rows.empty());
  ASSERT_EQ(file.bad_rows.size(), 1u);
  EXPECT_EQ(file.bad_rows[0].line, 2);
  EXPECT_EQ(file.bad_rows[0].column, GetParam().column);
  EXPECT_THAT(file.bad_rows[0].problem, HasSubstr(GetParam().problem));
}
INSTANTIATE_TEST_SUITE_P(
    All, BadCellTest,
    ::testing::Values(BadCell{"seq_len", "long", "'long' is not a number"},
                      BadCell{"n_gpus", "-1", "-1 is negative"},
                      BadCell{"oom", "maybe", "'maybe' is none of"},
                      BadCell{"oom", "true", "beside a measurement"},
                      BadCell{"peak_alloc_gib", "99", "allocated(99) > peak_mem_gib_per_gpu(6.7)"},
                      BadCell{"global_batch", "9",
                              "micro_batch(1) x grad_accum(8) x n_gpus(1) != global_batch(9)"}));

TEST(ParseRowsTest, AWrongNumberOfCellsIsNamed) {
  const std::string text = OneRow("oom", "false") + "one,two\n";
  const RowFile file = ParseRows(text, "file").value();
  EXPECT_EQ(file.rows.size(), 1u);
  ASSERT_EQ(file.bad_rows.size(), 1u);
  EXPECT_EQ(file.bad_rows[0].line, 3);
  EXPECT_THAT(file.bad_rows[0].problem, HasSubstr("has 2 cells"));
}

std::string ReasonFor(std::string_view column, std::string_view value) {
  const RowFile file = ParseRows(OneRow(column, value), "file").value();
  if (file.rows.empty()) return "bad row";
  return std::string(SetupOfRow(file.rows[0]).status().message());
}

TEST(SetupOfRowTest, SaysWhyARowIsOutOfScope) {
  EXPECT_EQ(ReasonFor("framework", "torchtune"), "stack not in runtimes/: torchtune");
  EXPECT_EQ(ReasonFor("grad_checkpoint", ""), "recompute not stated");
  EXPECT_EQ(ReasonFor("seq_exact", "max"), "length not exact");
  EXPECT_EQ(ReasonFor("pp", "2"), "tensor, pipeline or context parallel");
  EXPECT_EQ(ReasonFor("dtype", "fp8"), "8-bit or 4-bit products");
  EXPECT_EQ(ReasonFor("model", "Mixtral-8x7B-v0.1"),
            "model not dense or not known: Mixtral-8x7B-v0.1");
  EXPECT_EQ(ReasonFor("gpu", "B300"), "device not in the catalog: B300");
  EXPECT_EQ(ReasonFor("lora_targets", "something"), "LoRA targets not stated");
  EXPECT_EQ(ReasonFor("oom", "false"), "");
}

TEST(SetupOfRowTest, ReadsTheAxes) {
  const auto setup = SetupOfRow(ParseRows(OneRow("oom", "false"), "file")->rows[0]).value();
  EXPECT_EQ(setup.shape.name, "Qwen-1_8B");
  EXPECT_EQ(setup.lora.rank, 64);
  EXPECT_EQ(setup.context, 256);
  EXPECT_EQ(setup.accumulation_count, 8);
  EXPECT_TRUE(setup.checkpointing);
}

// The stored measurements through today's formulas: whoever changes one sees what it does to all.
TEST(PublishedTest, StoredMeasurementsAreReproduced) {
  const nlohmann::json figures = nlohmann::json::parse(ReportJson(JudgeRows(DataRows()), 0));
  EXPECT_GE(figures["allocated_row_count"], 181);
  EXPECT_LE(figures["allocated_mape"], 0.02);
  EXPECT_LE(figures["allocated_worst"], 0.15);
  EXPECT_GE(figures["reserved_row_count"], 227);
  EXPECT_LE(figures["reserved_median"], 0.05);
  EXPECT_GE(figures["reserved_within_10_percent"], 0.8);
  EXPECT_GE(figures["time_row_count"], 374);
  EXPECT_LE(figures["time_mape"], 0.15);
  EXPECT_LE(figures["time_median"], 0.09);
  EXPECT_GE(figures["fit_row_count"], 331);
  EXPECT_GE(figures["fit_balanced_accuracy"], 0.95);
  EXPECT_GE(figures["reserved_inside_interval"], 0.85);
  EXPECT_GE(figures["time_elsewhere_inside_interval"], 0.8);
}

// Two sources of one and of three rows: the first weighs as much as the other three.
TEST(FiguresTest, SourcesCountAlike) {
  const auto row = [](std::string source, double error) {
    return Judged{.source = std::move(source), .predicted = 1 + error, .measured = 1};
  };
  const Figures figures =
      FiguresOf({row("a", 0.4), row("b", 0.1), row("b", -0.1), row("b", 0.1)}, Error);
  EXPECT_NEAR(figures.mean, 0.25, 1e-9);
  EXPECT_NEAR(figures.worst, 0.4, 1e-9);
  EXPECT_EQ(figures.source_count, 2);
}

}  // namespace
}  // namespace tunesmith::published
