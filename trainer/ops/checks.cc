#include "trainer/ops/checks.h"

#include <string>

#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using planner::OpKind;

bool HasDims(const Tensor& tensor, const Dims& dims) {
  return tensor.dims[0] == dims.d0 && tensor.dims[1] == dims.d1 && tensor.dims[2] == dims.d2;
}

// Trailing ones are left out: "(4, 576)".
std::string DimsText(const Dims& dims) {
  std::string text = StrCat("(", dims.d0);
  if (dims.d1 != 1 || dims.d2 != 1) text += StrCat(", ", dims.d1);
  if (dims.d2 != 1) text += StrCat(", ", dims.d2);
  return text + ")";
}

std::string DTypesText(DTypeSet dtypes) {
  std::string text;
  for (int i = 0; i < kDTypeCount; ++i) {
    const DType dtype = static_cast<DType>(i);
    if (!dtypes.Contains(dtype)) continue;
    text += StrCat(text.empty() ? "" : " or ", DTypeName(dtype));
  }
  return text;
}

absl::Status Mismatch(OpKind op, const TensorRule& rule) {
  return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": ", rule.name, " is ",
                                           DimsText(DimsOf(rule.tensor)), " ",
                                           DTypeName(rule.tensor.dtype), ", expected ",
                                           DimsText(rule.dims), " ", DTypesText(rule.dtypes)));
}

bool RowsFit(const TensorRule& rule) {
  const Tensor& t = rule.tensor;
  if (t.stride == 0 || t.dims[0] <= 1) return true;
  return rule.may_be_columns && t.dims[2] == 1 && t.stride >= t.dims[1];
}

}  // namespace

absl::Status CheckTensors(OpKind op, std::initializer_list<TensorRule> rules) {
  for (const TensorRule& rule : rules) {
    if (!HasDims(rule.tensor, rule.dims) || !rule.dtypes.Contains(rule.tensor.dtype)) {
      return Mismatch(op, rule);
    }
    if (!RowsFit(rule)) {
      return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": ", rule.name,
                                               " has rows ", rule.tensor.stride,
                                               " elements apart, expected ", rule.tensor.dims[1]));
    }
    if (rule.tensor.data == nullptr && rule.tensor.element_count() > 0) {
      return absl::InvalidArgumentError(
          StrCat(planner::OpKindName(op), ": ", rule.name, " has no storage"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckThat(OpKind op, bool holds, std::string_view message) {
  if (holds) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(planner::OpKindName(op), ": ", message));
}

}  // namespace tunesmith::trainer
