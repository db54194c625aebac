#include "trainer/model_io/weight_source.h"

#include <filesystem>
#include <map>

#include "common/random.h"
#include "common/str_cat.h"
#include "trainer/model_io/gguf_weights.h"
#include "trainer/model_io/safetensors_weights.h"
#include "trainer/model_io/tensor_names.h"

namespace tunesmith::trainer {

struct WeightSource::Shapes {
  std::map<std::string, NamedShape, std::less<>> by_name;
};

namespace {

class RandomWeights : public WeightSource {
 public:
  RandomWeights(planner::ModelSpec spec, uint64_t seed)
      : WeightSource(std::move(spec)), seed_(seed) {}

  absl::Status Read(std::string_view name, absl::Span<float> out) const override {
    constexpr double kDeviation = 0.02;
    if (absl::Status status = CheckRead(name, out.size()); !status.ok()) return status;
    if (IsVector(name)) {
      std::fill(out.begin(), out.end(), IsBias(name) || spec().norm_adds_one ? 0.0f : 1.0f);
      return absl::OkStatus();
    }
    const uint64_t key = RandomKey(seed_, name);
    for (size_t i = 0; i < out.size(); ++i)
      out[i] = static_cast<float>(kDeviation * RandomNormal(key, i));
    return absl::OkStatus();
  }

 private:
  // Norms and biases.
  bool IsVector(std::string_view name) const { return Shape(name)->size() == 1; }
  static bool IsBias(std::string_view name) { return name.ends_with(".bias"); }

  uint64_t seed_;
};

}  // namespace

WeightSource::WeightSource(planner::ModelSpec spec) : spec_(std::move(spec)) {
  auto shapes = std::make_shared<Shapes>();
  for (NamedShape& tensor : TensorsOfModel(spec_))
    shapes->by_name.emplace(tensor.name, std::move(tensor));
  shapes_ = std::move(shapes);
}

absl::StatusOr<std::vector<int64_t>> WeightSource::Shape(std::string_view name) const {
  const auto at = shapes_->by_name.find(name);
  if (at == shapes_->by_name.end())
    return absl::NotFoundError(StrCat("the model ", spec_.name, " has no tensor ", name));
  return at->second.shape;
}

std::optional<Nf4Weight> WeightSource::ReadNf4(std::string_view) const { return std::nullopt; }

absl::Status WeightSource::CheckRead(std::string_view name, size_t out_size) const {
  const absl::StatusOr<std::vector<int64_t>> shape = Shape(name);
  if (!shape.ok()) return shape.status();
  int64_t count = 1;
  for (const int64_t size : *shape) count *= size;
  if (count == static_cast<int64_t>(out_size)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("tensor ", name, " has ", count, " elements, room was given for ", out_size));
}

absl::StatusOr<std::unique_ptr<WeightSource>> OpenModel(const std::string& path) {
  if (std::filesystem::is_directory(path)) return OpenSafetensorsModel(path);
  if (path.ends_with(".gguf") || std::filesystem::is_regular_file(path)) return OpenGgufModel(path);
  return absl::NotFoundError(StrCat(
      path, " is neither a directory with config.json and model.safetensors nor a .gguf file"));
}

std::unique_ptr<WeightSource> RandomModel(const planner::ModelSpec& spec, uint64_t seed) {
  return std::make_unique<RandomWeights>(spec, seed);
}

}  // namespace tunesmith::trainer
