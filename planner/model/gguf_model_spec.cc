#include "planner/model/gguf_model_spec.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/model/config_window.h"

namespace tunesmith::planner {
namespace {

// Reads keys of one architecture and collects what is wrong, so that one message names everything.
class Keys {
 public:
  Keys(const GgufHeader& header, std::string architecture)
      : header_(header), prefix_(std::move(architecture) + ".") {}

  bool Has(std::string_view key) const { return header_.Has(StrCat(prefix_, key)); }
  int64_t Integer(std::string_view key) {
    return Take(header_.Integer(StrCat(prefix_, key)), int64_t{0});
  }
  int64_t IntegerOr(std::string_view key, int64_t fallback) {
    return Has(key) ? Integer(key) : fallback;
  }
  double Number(std::string_view key) { return Take(header_.Number(StrCat(prefix_, key)), 0.0); }
  double NumberOr(std::string_view key, double fallback) {
    return Has(key) ? Number(key) : fallback;
  }
  std::string StringOr(std::string_view key, const std::string& fallback) {
    return Has(key) ? Take(header_.String(StrCat(prefix_, key)), fallback) : fallback;
  }
  void Problem(std::string_view text) {
    problems_ = StrCat(problems_, problems_.empty() ? "" : "; ", text);
  }
  absl::Status Result() const {
    return problems_.empty() ? absl::OkStatus() : absl::InvalidArgumentError(problems_);
  }

 private:
  template <typename T>
  T Take(absl::StatusOr<T> value, T fallback) {
    if (value.ok()) return *std::move(value);
    Problem(ToStd(value.status().message()));
    return fallback;
  }

  const GgufHeader& header_;
  std::string prefix_;
  std::string problems_;
};

// What inference programs divide the rotary frequencies by, for Llama 3 scaling: the same piecewise
// function as Hugging Face's modeling_rope_utils.py.
double Llama3Divisor(const RopeScaling& scaling, double theta, int64_t head_size, int64_t i) {
  const double frequency =
      std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(scaling.original_context_limit);
  if (wavelength < original / scaling.high_frequency_factor) return 1.0;
  if (wavelength > original / scaling.low_frequency_factor) return scaling.factor;
  const double smooth = (original / wavelength - scaling.low_frequency_factor) /
                        (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return 1.0 / ((1.0 - smooth) / scaling.factor + smooth);
}

// Llama 3.x files keep the divisors themselves (rope_freqs.weight); they must be those of the
// published parameters.
absl::StatusOr<RopeScaling> Llama3Scaling(const GgufFile& file, const GgufTensor& tensor,
                                          const ModelSpec& spec) {
  std::vector<float> divisors(static_cast<size_t>(tensor.ElementCount()));
  Dequantize(tensor.type, file.Bytes(tensor), absl::MakeSpan(divisors));
  RopeScaling scaling;
  scaling.kind = RopeScalingKind::kLlama3;
  scaling.factor = divisors.empty() ? 0.0 : *std::max_element(divisors.begin(), divisors.end());
  bool matches = static_cast<int64_t>(divisors.size()) * 2 == spec.head_size;
  for (size_t i = 0; matches && i < divisors.size(); ++i) {
    const double expected =
        Llama3Divisor(scaling, spec.rope_theta, spec.head_size, static_cast<int64_t>(i));
    matches = std::abs(divisors[i] - expected) <= 1e-3 * expected;
  }
  if (matches) return scaling;
  return absl::UnimplementedError(StrCat(
      file.header().what, ": rope_freqs.weight holds frequency divisors other than Llama 3's; ",
      "such a model is not known here"));
}

absl::StatusOr<RopeScaling> ReadRopeScaling(const GgufFile& file, const ModelSpec& spec,
                                            Keys& keys) {
  if (const GgufTensor* tensor = file.header().FindTensor("rope_freqs.weight"); tensor != nullptr) {
    return Llama3Scaling(file, *tensor, spec);
  }
  RopeScaling scaling;
  const std::string type = keys.StringOr("rope.scaling.type", "none");
  if (type == "none") return scaling;
  if (type != "linear") {
    return absl::UnimplementedError(StrCat(file.header().what, ": rope.scaling.type \"", type,
                                           "\" is not known; known: none, linear"));
  }
  scaling.kind = RopeScalingKind::kLinear;
  scaling.factor = keys.Number("rope.scaling.factor");
  return scaling;
}

void ReadSizes(const GgufHeader& header, Keys& keys, ModelSpec* spec) {
  spec->layer_count = keys.Integer("block_count");
  spec->hidden_size = keys.Integer("embedding_length");
  spec->intermediate_size = keys.Integer("feed_forward_length");
  spec->head_count = keys.Integer("attention.head_count");
  spec->kv_head_count = keys.IntegerOr("attention.head_count_kv", spec->head_count);
  spec->head_size = keys.IntegerOr("attention.key_length",
                                   spec->head_count > 0 ? spec->hidden_size / spec->head_count : 0);
  spec->context_limit = keys.Integer("context_length");
  spec->norm_epsilon = keys.Number("attention.layer_norm_rms_epsilon");
  spec->rope_theta = keys.NumberOr("rope.freq_base", 10000.0);
  const int64_t rotated = keys.IntegerOr("rope.dimension_count", spec->head_size);
  if (rotated != spec->head_size) {
    keys.Problem(StrCat("rope.dimension_count(", rotated, ") != head size(", spec->head_size,
                        "): partial rotation is not known here"));
  }
  const GgufTensor* embedding = header.FindTensor("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    keys.Problem("the tensor token_embd.weight is missing or not a matrix");
  } else {
    spec->vocab_size = embedding->shape[0];
  }
  // The file holds single precision: 1e-5 comes as 9.99999975e-06. What a float cannot hold stays as it is and is refused with the rest.
  if (std::abs(spec->norm_epsilon) <= std::numeric_limits<float>::max())
    spec->norm_epsilon = std::stod(StrCat(static_cast<float>(spec->norm_epsilon)));
}

}  // namespace

absl::StatusOr<ModelSpec> ModelSpecFromGguf(const GgufFile& file, std::string_view name) {
  const GgufHeader& header = file.header();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string architecture, header.String("general.architecture"));
  if (architecture != "llama" && architecture != "qwen2") {
    return absl::UnimplementedError(StrCat(header.what, ": general.architecture \"", architecture,
                                           "\" is not known; known: llama, qwen2"));
  }
  Keys keys(header, architecture);
  if (keys.IntegerOr("expert_count", 0) > 0) {
    return absl::UnimplementedError(StrCat(header.what, ": a mixture of experts (", architecture,
                                           ".expert_count) is not known here"));
  }
  ModelSpec spec;
  spec.name = name;
  spec.family = architecture;
  ReadSizes(header, keys, &spec);
  spec.tied_head = header.FindTensor("output.weight") == nullptr;
  spec.qkv_bias = header.FindTensor("blk.0.attn_q.bias") != nullptr;
  spec.source = header.what;
  // Inference programs apply it to some layers or to all, by rules of their own.
  if (const int64_t window = keys.IntegerOr("attention.sliding_window", 0); window > 0)
    LimitContextToWindow(window, &spec);
  if (absl::Status status = keys.Result(); !status.ok()) {
    return absl::InvalidArgumentError(StrCat(header.what, ": ", status.message()));
  }
  TUNESMITH_ASSIGN_OR_RETURN(spec.rope_scaling, ReadRopeScaling(file, spec, keys));
  TUNESMITH_RETURN_IF_ERROR(keys.Result());
  TUNESMITH_RETURN_IF_ERROR(ValidateModelSpec(spec));
  return spec;
}

}  // namespace tunesmith::planner
