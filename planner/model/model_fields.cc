#include "planner/model/model_fields.h"

#include <algorithm>
#include <utility>

#include "common/text.h"

namespace tunesmith::planner {
namespace {

// 100 trillion: a hundred times the largest model that has been trained.
constexpr int64_t kLargestParameterCount = 100'000'000'000'000;

struct RealRange {
  std::string_view name;
  double value;
  double lowest;
  double highest;
};

// Collects the problems of one spec.
class ProblemList {
 public:
  ProblemList(const ModelSpec& spec, FieldNaming naming) : spec_(spec), naming_(naming) {}

  std::vector<ModelProblem> Find() {
    CheckFamily();
    CheckSizes();
    CheckReals();
    CheckTotal();
    CheckRelations();
    CheckWindow();
    return std::move(problems_);
  }

 private:
  std::string_view Name(std::string_view spec_name, std::string_view config_name) const {
    return naming_ == FieldNaming::kSpec ? spec_name : config_name;
  }
  void Add(std::string_view field, std::string text) {
    problems_.push_back({.field = field, .text = std::move(text)});
  }

  void CheckFamily() {
    const std::string_view name = Name("family", "model_type");
    if (!IsKnownFamily(spec_.family)) {
      Add(name, StrCat(name, " is '", spec_.family, "', known: ", StrJoin(kFamilies, ", ")));
    } else if (spec_.qkv_bias != (spec_.family == "qwen2")) {
      Add("qkv_bias", StrCat("qkv_bias is ", spec_.qkv_bias ? "true" : "false", " in family ",
                             spec_.family, "; qwen2 has biases on q, k and v, the others none"));
    }
  }

  void CheckSizes() {
    for (const SizeField& field : kSizeFields) {
      CheckSize(FieldName(field, naming_), spec_.*field.member, field.largest);
    }
  }

  void CheckSize(std::string_view name, int64_t value, int64_t largest) {
    if (value >= 1 && value <= largest) return;
    Add(name, StrCat(name, " is ", value, ", must be 1 to ", largest));
  }

  void CheckReal(const RealRange& range) {
    if (range.value >= range.lowest && range.value <= range.highest) return;  // false for NaN
    Add(range.name,
        StrCat(range.name, " is ", range.value, ", must be ", range.lowest, " to ", range.highest));
  }

  void CheckReals() {
    CheckReal({Name("norm_epsilon", "rms_norm_eps"), spec_.norm_epsilon, 1e-12, 0.1});
    CheckReal({"rope_theta", spec_.rope_theta, 1, 1e12});
    const RopeScaling& scaling = spec_.rope_scaling;
    if (scaling.kind == RopeScalingKind::kNone) return;
    CheckReal({"rope_scaling.factor", scaling.factor, 1, 1e6});
    if (scaling.kind == RopeScalingKind::kLlama3) CheckLlama3(scaling);
  }

  void CheckLlama3(const RopeScaling& scaling) {
    const std::string_view low =
        Name("rope_scaling.low_frequency_factor", "rope_scaling.low_freq_factor");
    const std::string_view high =
        Name("rope_scaling.high_frequency_factor", "rope_scaling.high_freq_factor");
    CheckReal({low, scaling.low_frequency_factor, 1e-6, 1e6});
    CheckReal({high, scaling.high_frequency_factor, 1e-6, 1e6});
    if (scaling.low_frequency_factor >= scaling.high_frequency_factor) {
      Add(low, StrCat(low, "(", scaling.low_frequency_factor, ") >= ", high, "(",
                      scaling.high_frequency_factor, ")"));
    }
    CheckSize(Name("rope_scaling.original_context_limit",
                   "rope_scaling.original_max_position_embeddings"),
              scaling.original_context_limit, 1 << 30);
  }

  // REQUIRES for ParameterCount: sizes in range, else the product may overflow.
  void CheckTotal() {
    if (!problems_.empty() || ParameterCount(spec_) <= kLargestParameterCount) return;
    Add("", StrCat("the sizes make ", ParameterCount(spec_), " parameters, more than ",
                   kLargestParameterCount));
  }

  void CheckRelations() {
    const std::string_view heads = Name("head_count", "num_attention_heads");
    const std::string_view kv_heads = Name("kv_head_count", "num_key_value_heads");
    const std::string_view head_size = Name("head_size", "head_dim");
    if (spec_.head_count > 0 && spec_.kv_head_count > 0 &&
        spec_.head_count % spec_.kv_head_count != 0) {
      Add(heads, StrCat(heads, "(", spec_.head_count, ") % ", kv_heads, "(", spec_.kv_head_count,
                        ") != 0"));
    }
    if (spec_.head_size > 0 && spec_.head_size % 2 != 0) {
      Add(head_size, StrCat(head_size, "(", spec_.head_size,
                            ") is odd; rotary positions turn pairs of elements"));
    }
  }

  void CheckWindow() {
    const int64_t window = spec_.sliding_window;
    if (window == 0) return;
    const std::string_view limit = Name("context_limit", "max_position_embeddings");
    if (window < 0 || window >= spec_.context_limit) {
      Add("sliding_window", StrCat("sliding_window is ", window, ", must be 0 (none) to ", limit,
                                   "(", spec_.context_limit, ") - 1"));
    } else if (spec_.family == "llama") {
      Add("sliding_window", StrCat("sliding_window is ", window,
                                   " in family llama, which has none; mistral and qwen2 have"));
    }
  }

  const ModelSpec& spec_;
  FieldNaming naming_;
  std::vector<ModelProblem> problems_;
};

}  // namespace

bool IsKnownFamily(std::string_view family) {
  return std::find(kFamilies.begin(), kFamilies.end(), family) != kFamilies.end();
}

std::string_view FieldName(const SizeField& field, FieldNaming naming) {
  return naming == FieldNaming::kSpec ? field.spec_name : field.config_name;
}

std::vector<ModelProblem> ModelProblems(const ModelSpec& spec, FieldNaming naming) {
  return ProblemList(spec, naming).Find();
}

}  // namespace tunesmith::planner
