#include "trainer/model_io/weight_layout.h"

#include <algorithm>
#include <utility>

namespace tunesmith::trainer {
namespace {

using planner::TensorLayout;

// (columns, rows) from (rows, columns).
std::vector<float> Transpose(const std::vector<float>& values, size_t rows) {
  const size_t columns = values.size() / rows;
  std::vector<float> turned(values.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column)
      turned[column * rows + row] = values[row * columns + column];
  }
  return turned;
}

// The program's row of a checkpoint's row: groups of query heads, key head and value head become all query heads, all key heads, all value
// heads.
int64_t ProgramRow(const planner::ModelSpec& spec, int64_t row) {
  const int64_t queries = spec.head_count / spec.kv_head_count;
  const int64_t head = row / spec.head_size, element = row % spec.head_size;
  const int64_t group = head / (queries + 2), member = head % (queries + 2);
  const int64_t place = member < queries    ? group * queries + member
                        : member == queries ? spec.head_count + group
                                            : spec.head_count + spec.kv_head_count + group;
  return place * spec.head_size + element;
}

template <typename T>
std::vector<T> MoveRows(const planner::ModelSpec& spec, int64_t rows, bool to_program,
                        const std::vector<T>& values) {
  const auto columns = static_cast<int64_t>(values.size()) / rows;
  std::vector<T> moved(values.size());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t program_row = ProgramRow(spec, row);
    const auto from = values.begin() + (to_program ? row : program_row) * columns;
    std::copy_n(from, columns, moved.begin() + (to_program ? program_row : row) * columns);
  }
  return moved;
}

// The scales of magnitudes that were moved, which come with their old ones; nothing where magnitudes of one block have several.
std::optional<std::vector<float>> ScalesOf(const std::vector<float>& scale_of_magnitude) {
  std::vector<float> scales;
  for (size_t i = 0; i < scale_of_magnitude.size(); ++i) {
    if (i % planner::kNf4ScaleBlockSize == 0) scales.push_back(scale_of_magnitude[i]);
    if (scale_of_magnitude[i] != scales.back()) return std::nullopt;
  }
  return scales;
}

}  // namespace

std::vector<float> ToProgramOrder(const planner::ModelSpec& spec, TensorLayout layout, int64_t rows,
                                  std::vector<float> values) {
  switch (layout) {
    case TensorLayout::kTransposed:
      return Transpose(values, values.size() / static_cast<size_t>(rows));
    case TensorLayout::kHeadGroups:
      return MoveRows(spec, rows, /*to_program=*/true, values);
    case TensorLayout::kPlain:
      break;
  }
  return values;
}

std::optional<Nf4Weight> ToProgramOrder(const planner::ModelSpec& spec, TensorLayout layout,
                                        int64_t rows, Nf4Weight weight) {
  if (layout != TensorLayout::kHeadGroups) return weight;
  const auto columns = static_cast<int64_t>(weight.codes.size()) * 2 / rows;
  if (columns % planner::kNf4BlockSize != 0) return std::nullopt;
  weight.codes = MoveRows(spec, rows, true, weight.codes);
  weight.absmax = MoveRows(spec, rows, true, weight.absmax);
  if (!weight.double_quantized()) return weight;
  std::vector<float> scales(weight.absmax_codes.size());
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = weight.absmax_scales[i / planner::kNf4ScaleBlockSize];
  std::optional<std::vector<float>> moved = ScalesOf(MoveRows(spec, rows, true, scales));
  if (!moved) return std::nullopt;
  weight.absmax_codes = MoveRows(spec, rows, true, weight.absmax_codes);
  weight.absmax_scales = *std::move(moved);
  return weight;
}

std::vector<float> FromProgramOrder(const planner::ModelSpec& spec, TensorLayout layout,
                                    int64_t rows, std::vector<float> values) {
  switch (layout) {
    case TensorLayout::kTransposed:
      return Transpose(values, static_cast<size_t>(rows));
    case TensorLayout::kHeadGroups:
      return MoveRows(spec, rows, /*to_program=*/false, values);
    case TensorLayout::kPlain:
      break;
  }
  return values;
}

}  // namespace tunesmith::trainer
