#include "tests/benchmarks/published/rows.h"

#include <cmath>
#include <set>

#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "tests/benchmarks/published/csv.h"

namespace tunesmith::published {
namespace {

constexpr std::string_view kNeededColumns[] = {"id",
                                               "source",
                                               "framework",
                                               "model",
                                               "gpu",
                                               "n_gpus",
                                               "dtype",
                                               "method",
                                               "lora_rank",
                                               "lora_targets",
                                               "quant",
                                               "zero_stage",
                                               "offload",
                                               "grad_checkpoint",
                                               "attention",
                                               "seq_len",
                                               "micro_batch",
                                               "grad_accum",
                                               "optimizer",
                                               "peak_mem_gib_per_gpu",
                                               "s_per_iter",
                                               "tokens_per_s_per_gpu",
                                               "oom",
                                               "notes",
                                               "seq_exact",
                                               "peak_mem_unit",
                                               "peak_mem_kind",
                                               "peak_alloc_gib",
                                               "grade_mem",
                                               "grade_time"};
constexpr std::string_view kNumberColumns[] = {"n_params_b",
                                               "n_gpus",
                                               "lora_rank",
                                               "seq_len",
                                               "micro_batch",
                                               "grad_accum",
                                               "global_batch",
                                               "peak_mem_gib_per_gpu",
                                               "s_per_iter",
                                               "tokens_per_s_per_gpu",
                                               "peak_alloc_gib",
                                               "tp",
                                               "pp",
                                               "cp",
                                               "derived_tok_s_per_gpu"};

struct Problem {
  std::string column, text;
};

std::optional<Problem> NotANumber(const Row& row) {
  for (const std::string_view column : kNumberColumns) {
    const std::string& text = row.Text(column);
    double value = 0;
    if (text.empty()) continue;
    if (!ParseDouble(text, &value))
      return Problem{std::string(column), StrCat("'", text, "' is not a number")};
    if (!(value >= 0)) return Problem{std::string(column), StrCat(text, " is negative")};
  }
  return std::nullopt;
}

std::optional<Problem> NotOneOf(const Row& row, std::string_view column,
                                const std::set<std::string_view>& known) {
  if (known.count(row.Text(column)) > 0) return std::nullopt;
  return Problem{std::string(column),
                 StrCat("'", row.Text(column), "' is none of ", StrJoin(known, ", "))};
}

std::optional<Problem> ContradictoryMemory(const Row& row) {
  const auto peak = row.Number("peak_mem_gib_per_gpu"), allocated = row.Number("peak_alloc_gib");
  if (peak && allocated && *allocated > 1.005 * *peak) {
    return Problem{"peak_alloc_gib",
                   StrCat("allocated(", *allocated, ") > peak_mem_gib_per_gpu(", *peak, ")")};
  }
  const bool measured =
      peak || allocated || row.Number("s_per_iter") || row.Number("tokens_per_s_per_gpu");
  if (row.Text("oom") == "true" && measured) return Problem{"oom", "is true beside a measurement"};
  return std::nullopt;
}

std::optional<Problem> ContradictoryMethod(const Row& row) {
  const std::string& method = row.Text("method");
  const std::string& quant = row.Text("quant");
  const bool quantized = !quant.empty() && quant != "none";
  if (method == "full" && quantized)
    return Problem{"quant", StrCat("'", quant, "' contradicts method full")};
  if (method == "full" && row.Number("lora_rank"))
    return Problem{"lora_rank", "is given beside method full"};
  if (method == "qlora" && !quantized)
    return Problem{"quant", StrCat("'", quant, "' contradicts method qlora")};
  return std::nullopt;
}

// With data parallelism only: micro_batch x grad_accum x n_gpus = global_batch.
std::optional<Problem> ContradictoryBatch(const Row& row) {
  for (const std::string_view axis : {"tp", "pp", "cp"}) {
    if (row.Number(axis).value_or(1) > 1) return std::nullopt;
  }
  const auto micro = row.Number("micro_batch"), accumulation = row.Number("grad_accum"),
             gpus = row.Number("n_gpus"), global = row.Number("global_batch");
  if (!micro || !accumulation || !gpus || !global) return std::nullopt;
  if (std::abs(*micro * *accumulation * *gpus - *global) < 0.5) return std::nullopt;
  return Problem{"global_batch", StrCat("micro_batch(", *micro, ") x grad_accum(", *accumulation,
                                        ") x n_gpus(", *gpus, ") != global_batch(", *global, ")")};
}

std::optional<Problem> ProblemOf(const Row& row) {
  if (row.id.empty()) return Problem{"id", "is empty"};
  if (auto problem = NotANumber(row)) return problem;
  if (auto problem = NotOneOf(row, "oom", {"", "true", "false", "unknown"})) return problem;
  if (auto problem = NotOneOf(row, "seq_exact", {"", "exact", "max", "unknown"})) return problem;
  if (auto problem = ContradictoryMemory(row)) return problem;
  if (auto problem = ContradictoryMethod(row)) return problem;
  return ContradictoryBatch(row);
}

absl::Status CheckHeader(const std::vector<std::string>& header, std::string_view what) {
  const std::set<std::string_view> present(header.begin(), header.end());
  std::vector<std::string_view> missing;
  for (const std::string_view column : kNeededColumns) {
    if (present.count(column) == 0) missing.push_back(column);
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat(what, ":1: columns are missing: ", StrJoin(missing, ", ")));
}

}  // namespace

const std::string& Row::Text(std::string_view column) const {
  static const std::string empty;
  const auto found = cells.find(column);
  return found == cells.end() ? empty : found->second;
}

std::optional<double> Row::Number(std::string_view column) const {
  double value = 0;
  if (!ParseDouble(Text(column), &value)) return std::nullopt;
  return value;
}

std::string Row::SourceKey() const { return id.substr(0, id.rfind('-')); }

absl::StatusOr<RowFile> ParseRows(std::string_view text, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<CsvRecord> records, ParseCsv(text, what));
  const std::vector<std::string>& header = records.front().cells;
  TUNESMITH_RETURN_IF_ERROR(CheckHeader(header, what));
  RowFile file;
  for (size_t i = 1; i < records.size(); ++i) {
    const CsvRecord& record = records[i];
    if (record.cells.size() != header.size()) {
      file.bad_rows.push_back(
          {record.line, "",
           StrCat("has ", record.cells.size(), " cells, the header ", header.size())});
      continue;
    }
    Row row{.line = record.line, .id = {}, .cells = {}};
    for (size_t c = 0; c < header.size(); ++c) row.cells[header[c]] = record.cells[c];
    row.id = row.Text("id");
    if (const auto problem = ProblemOf(row)) {
      file.bad_rows.push_back({row.line, problem->column, problem->text});
      continue;
    }
    file.rows.push_back(std::move(row));
  }
  return file;
}

}  // namespace tunesmith::published
