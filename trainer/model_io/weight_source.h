#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "planner/model/model_spec.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer {

// A model's weights by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight"),
// wherever they come from. Thread-safe. Opening has checked that every tensor of the model
// (TensorsOfModel) is there in its shape, so reading fails for unknown names only.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  const planner::ModelSpec& spec() const { return spec_; }

  // NOT_FOUND for a name that the model does not have; a tied model has no lm_head.weight.
  virtual absl::StatusOr<std::vector<int64_t>> Shape(std::string_view name) const;

  // Fills `out`, row-major, dequantized and in the order of Hugging Face's rows. INVALID_ARGUMENT
  // unless out.size() is the product of the shape.
  virtual absl::Status Read(std::string_view name, absl::Span<float> out) const = 0;

  // The codes of a matrix that the files hold in 4 bits, as rows of outputs; nothing for any other.
  virtual std::optional<Nf4Weight> ReadNf4(std::string_view name) const;

 protected:
  explicit WeightSource(planner::ModelSpec spec);

  // OK when `name` is a tensor of out_size elements.
  absl::Status CheckRead(std::string_view name, size_t out_size) const;

 private:
  planner::ModelSpec spec_;
  struct Shapes;
  std::shared_ptr<const Shapes> shapes_;
};

// `path` is a Hugging Face directory (config.json with model.safetensors or a sharded index; F32,
// F16, BF16, or 4 bits as bitsandbytes stores NF4) or a .gguf file. The head is tied where lm_head.weight is absent. Errors: those of
// the file formats; INVALID_ARGUMENT that lists every missing, unexpected or wrongly shaped tensor;
// NOT_FOUND for a path that is neither.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenModel(const std::string& path);

// Random weights: matrices normal with deviation 0.02, norms 1, biases 0. An element depends on the
// seed, the tensor's name and its index alone. REQUIRES: ValidateModelSpec(spec).ok().
std::unique_ptr<WeightSource> RandomModel(const planner::ModelSpec& spec, uint64_t seed);

}  // namespace tunesmith::trainer
