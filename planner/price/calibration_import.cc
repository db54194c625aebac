#include "planner/price/calibration_import.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "planner/price/op_cost.h"
#include "planner/program/op_kind_name.h"

namespace tunesmith::planner {
namespace {

constexpr size_t kMostIdCharacters = 64;

bool IsFileName(std::string_view id) {
  return !id.empty() && id.size() <= kMostIdCharacters && id.front() != '.' &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

// Looks at the entries of a table in their order.
class TableCheck {
 public:
  TableCheck(std::string_view table, bool (*belongs)(OpKind), std::vector<std::string>* problems)
      : table_(table), belongs_(belongs), problems_(problems) {}

  void Next(const std::string& op_kind, const std::array<int64_t, 3>& sizes) {
    const std::string entry = StrCat(table_, "[", index_++, "]");
    const std::optional<OpKind> kind = OpKindFromName(op_kind);
    if (!kind || !belongs_(*kind)) {
      problems_->push_back(
          StrCat(entry, ".op_kind is \"", op_kind, "\", which is no op of this table"));
    } else if (op_kind != last_kind_ && !seen_.insert(op_kind).second) {
      problems_->push_back(
          StrCat(entry, " is not sorted: other entries of ", op_kind, " stand apart from it"));
    } else if (op_kind == last_kind_ && sizes < last_sizes_) {
      problems_->push_back(
          StrCat(entry, " is not sorted: its sizes are below those of the entry before it"));
    }
    last_kind_ = op_kind;
    last_sizes_ = sizes;
  }

 private:
  const std::string_view table_;
  bool (*const belongs_)(OpKind);
  std::vector<std::string>* const problems_;
  int64_t index_ = 0;
  std::set<std::string> seen_;
  std::string last_kind_;
  std::array<int64_t, 3> last_sizes_ = {};
};

bool IsOther(OpKind kind) { return !IsLinear(kind) && !IsAttention(kind); }

void CheckTables(const Calibration& calibration, std::vector<std::string>* problems) {
  TableCheck gemm("gemm", IsLinear, problems), attention("attention", IsAttention, problems),
      rates("rates", IsOther, problems);
  for (const GemmPoint& p : calibration.gemm) gemm.Next(p.op_kind, {p.m, p.n, p.k});
  for (const AttentionPoint& p : calibration.attention)
    attention.Next(p.op_kind, {p.context, p.head_size, p.sequence_count});
  for (const OpRate& p : calibration.rates) rates.Next(p.op_kind, {p.bytes, p.rank_count, 0});
}

}  // namespace

absl::Status ValidateImportedCalibration(const Calibration& calibration) {
  TUNESMITH_RETURN_IF_ERROR(ValidateCalibration(calibration));
  std::vector<std::string> problems;
  if (!IsFileName(calibration.id))
    problems.push_back(
        StrCat("id must be 1 to ", kMostIdCharacters, " letters, digits, '-', '_' or '.'"));
  CheckTables(calibration, &problems);
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("calibration '", calibration.id, "': ", StrJoin(problems, "; ")));
}

}  // namespace tunesmith::planner
