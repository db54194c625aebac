#include "trainer/job/merge_adapter.h"

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "planner/program/layer_parameters.h"
#include "trainer/job/load_adapter.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/weight_layout.h"

namespace tunesmith::trainer {
namespace {

using planner::TensorLayout;

// Adds scale * B A to W, which is (output, input), or (input, output) where `transposed`.
void AddProduct(const AdapterModule& module, float scale, bool transposed, absl::Span<float> w) {
  const auto rank = static_cast<size_t>(module.rank),
             inputs = static_cast<size_t>(module.input_size),
             outputs = static_cast<size_t>(module.output_size);
  std::vector<float> row(inputs);
  for (size_t o = 0; o < outputs; ++o) {
    std::fill(row.begin(), row.end(), 0.0f);
    for (size_t r = 0; r < rank; ++r) {
      const float b = module.b[o * rank + r];
      for (size_t i = 0; i < inputs; ++i) row[i] += b * module.a[r * inputs + i];
    }
    for (size_t i = 0; i < inputs; ++i)
      w[transposed ? i * outputs + o : o * inputs + i] += scale * row[i];
  }
}

class MergedWeights : public WeightSource {
 public:
  MergedWeights(std::unique_ptr<WeightSource> base, BaseForm form, std::optional<Adapter> adapter)
      : WeightSource(base->spec()),
        base_(std::move(base)),
        form_(form),
        adapter_(std::move(adapter)) {
    for (NamedShape& tensor : TensorsOfModel(spec())) {
      const bool projects = tensor.role == planner::TensorRole::kProjection && !tensor.bias;
      if (projects) linear_layers_.emplace(tensor.name, std::move(tensor));
    }
    if (!adapter_) return;
    for (const AdapterModule& module : adapter_->modules)
      modules_.emplace(module.name + ".weight", &module);
  }

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(base_->Read(name, out));
    const auto layer = linear_layers_.find(name);
    if (layer == linear_layers_.end()) return absl::OkStatus();
    if (form_ == BaseForm::kNf4 || form_ == BaseForm::kNf4Double)
      ToFourBitsAndBack(layer->second, out);
    const auto module = modules_.find(name);
    if (module == modules_.end()) return absl::OkStatus();
    AddProduct(*module->second, static_cast<float>(ScaleOf(*adapter_)),
               layer->second.layout == TensorLayout::kTransposed, out);
    return absl::OkStatus();
  }

 private:
  void ToFourBitsAndBack(const NamedShape& layer, absl::Span<float> out) const {
    const bool twice = form_ == BaseForm::kNf4Double;
    const std::optional<Nf4Weight> stored = base_->ReadNf4(layer.name);
    if (stored && stored->double_quantized() == twice) return;  // out is what its codes stand for
    if (layer.layout == TensorLayout::kPlain) return trainer::ReadNf4(QuantizeNf4(out, twice), out);
    const int64_t rows = layer.shape[layer.layout == TensorLayout::kTransposed ? 1 : 0];
    std::vector<float> values =
        ToProgramOrder(spec(), layer.layout, rows, std::vector<float>(out.begin(), out.end()));
    trainer::ReadNf4(QuantizeNf4(values, twice), absl::MakeSpan(values));
    values = FromProgramOrder(spec(), layer.layout, rows, std::move(values));
    std::copy(values.begin(), values.end(), out.begin());
  }

  std::unique_ptr<WeightSource> base_;
  BaseForm form_;
  std::optional<Adapter> adapter_;
  std::map<std::string, NamedShape, std::less<>> linear_layers_;
  std::map<std::string, const AdapterModule*, std::less<>> modules_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> MergeAdapter(std::unique_ptr<WeightSource> base,
                                                           BaseForm form,
                                                           std::optional<Adapter> adapter) {
  if (adapter) TUNESMITH_RETURN_IF_ERROR(LoraOf(*adapter, *base).status());
  const bool quantizes = form == BaseForm::kNf4 || form == BaseForm::kNf4Double;
  if (quantizes && !planner::CanQuantize(base->spec()))
    return absl::UnimplementedError(
        "the model's layers have rows of odd sizes: 4 bits need even ones");
  return std::make_unique<MergedWeights>(std::move(base), form, std::move(adapter));
}

}  // namespace tunesmith::trainer
