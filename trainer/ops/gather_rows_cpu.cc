#include "trainer/ops/gather_rows_cpu.h"

#include <cstring>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/ops/grain.h"

namespace tunesmith::trainer::cpu {
namespace {

using planner::OpKind;

// Ascending indices name no row twice, so that rows can be written from several threads.
absl::Status CheckRows(OpKind op, const Tensor& rows, int64_t BT) {
  int64_t above = 0;
  for (int64_t i = 0; i < rows.dims[0]; ++i) {
    const int64_t row = rows.as<int32_t>()[i];
    if (row == -1) continue;
    if (row < 0 || row >= BT) {
      return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": rows[", i, "] is ", row,
                                               ", the matrix has ", BT, " rows"));
    }
    if (row < above) {
      return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": rows[", i, "] is ", row,
                                               ", an earlier one is ", above - 1,
                                               ": they must ascend"));
    }
    above = row + 1;
  }
  return absl::OkStatus();
}

std::byte* RowOf(const Tensor& tensor, int64_t row, int64_t row_bytes) {
  return tensor.as<std::byte>() + row * row_bytes;
}

int64_t RowBytes(const Tensor& tensor) { return tensor.dims[1] * SizeOf(tensor.dtype); }

}  // namespace

absl::Status GatherRows(ThreadPool& threads, const GatherRowsArgs& args) {
  TUNESMITH_RETURN_IF_ERROR(CheckRows(OpKind::kGatherRows, args.rows, args.x.dims[0]));
  const int64_t N = args.y.dims[0], row_bytes = RowBytes(args.y);
  threads.ForRanges(N, RowGrain(args.y.dims[1]), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = args.rows.as<int32_t>()[i];
      std::byte* const y = RowOf(args.y, i, row_bytes);
      if (row < 0) {
        std::memset(y, 0, row_bytes);
      } else {
        std::memcpy(y, RowOf(args.x, row, row_bytes), row_bytes);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status ScatterRows(ThreadPool& threads, const ScatterRowsArgs& args) {
  const int64_t BT = args.dx.dims[0], N = args.dy.dims[0], C = args.dy.dims[1];
  TUNESMITH_RETURN_IF_ERROR(CheckRows(OpKind::kScatterRows, args.rows, BT));
  const int64_t row_bytes = RowBytes(args.dy);
  threads.ForRanges(BT, RowGrain(C), [&](int64_t begin, int64_t end) {
    std::memset(RowOf(args.dx, begin, row_bytes), 0, (end - begin) * row_bytes);
  });
  threads.ForRanges(N, RowGrain(C), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = args.rows.as<int32_t>()[i];
      if (row < 0) continue;
      std::memcpy(RowOf(args.dx, row, row_bytes), RowOf(args.dy, i, row_bytes), row_bytes);
    }
  });
  return absl::OkStatus();
}

}  // namespace tunesmith::trainer::cpu
