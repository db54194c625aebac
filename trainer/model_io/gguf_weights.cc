#include "trainer/model_io/gguf_weights.h"

#include <map>
#include <utility>

#include "common/drop_pages.h"
#include "common/gguf.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/gguf_model_spec.h"
#include "trainer/model_io/tensor_check.h"

namespace tunesmith::trainer {
namespace {

class GgufWeights : public WeightSource {
 public:
  GgufWeights(planner::ModelSpec spec, GgufFile file)
      : WeightSource(std::move(spec)), file_(std::move(file)) {}

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    TUNESMITH_RETURN_IF_ERROR(CheckRead(name, out.size()));
    const GgufTensor& tensor = *file_.header().FindTensor(*GgufTensorName(name));
    const int64_t heads = PermutedHeadCount(name);
    if (heads == 0) {
      Dequantize(tensor.type, file_.Bytes(tensor), out);
    } else {
      ReadUnpermuted(tensor, heads, out);
    }
    DropPages(file_.Bytes(tensor));
    return absl::OkStatus();
  }

 private:
  // Heads of a tensor whose rows the converter to GGUF interleaved (queries and keys of the llama
  // architecture), else 0.
  int64_t PermutedHeadCount(std::string_view name) const {
    if (spec().family != "llama") return 0;
    if (name.find(".q_proj.") != std::string_view::npos) return spec().head_count;
    if (name.find(".k_proj.") != std::string_view::npos) return spec().kv_head_count;
    return 0;
  }

  // The file holds, for rotation of neighbours, row 2j+p of a head where Hugging Face, rotating
  // halves, has row p * head_size/2 + j.
  void ReadUnpermuted(const GgufTensor& tensor, int64_t heads, absl::Span<float> out) const {
    const int64_t head_size = tensor.shape[0] / heads;
    const auto row_size = out.size() / static_cast<size_t>(tensor.shape[0]);
    const auto row_bytes = static_cast<size_t>(tensor.byte_count / tensor.shape[0]);
    const std::string_view bytes = file_.Bytes(tensor);
    for (int64_t row = 0; row < tensor.shape[0]; ++row) {
      const int64_t head = row / head_size;
      const int64_t half = row % head_size / (head_size / 2);
      const int64_t pair = row % (head_size / 2);
      const auto stored = static_cast<size_t>(head * head_size + 2 * pair + half);
      Dequantize(tensor.type, bytes.substr(stored * row_bytes, row_bytes),
                 out.subspan(static_cast<size_t>(row) * row_size, row_size));
    }
  }

  GgufFile file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenGgufModel(const std::string& path) {
  TUNESMITH_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  TUNESMITH_ASSIGN_OR_RETURN(planner::ModelSpec spec, planner::ModelSpecFromGguf(file, path));
  std::vector<NamedShape> expected = TensorsOfModel(spec);
  for (NamedShape& tensor : expected) tensor.name = *GgufTensorName(tensor.name);
  std::map<std::string, std::vector<int64_t>> found;
  for (const GgufTensor& tensor : file.header().tensors) {
    if (tensor.shape.size() == 1 && BlockElementCount(tensor.type) != 1) {
      return absl::InvalidArgumentError(
          StrCat(path, ": the vector ", tensor.name, " is quantized"));
    }
    if (tensor.name != "rope_freqs.weight")
      found.emplace(tensor.name, tensor.shape);  // read as rope scaling
  }
  TUNESMITH_RETURN_IF_ERROR(CheckTensors(path, "its metadata", expected, found));
  return std::make_unique<GgufWeights>(std::move(spec), std::move(file));
}

}  // namespace tunesmith::trainer
