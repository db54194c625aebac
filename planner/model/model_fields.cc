#include "planner/model/model_fields.h"

#include <algorithm>
#include <utility>

#include "common/text.h"
#include "planner/model/config_names.h"
#include "planner/model/family.h"

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
    CheckStructure();
    CheckSizes();
    CheckReals();
    CheckTotal();
    CheckRelations();
    CheckWindow();
    CheckPatterns();
    CheckExperts();
    return std::move(problems_);
  }

 private:
  std::string_view Name(std::string_view spec_name, const char* config_name) const {
    return naming_ == FieldNaming::kSpec ? spec_name : ConfigName(spec_.family, config_name);
  }
  void Add(std::string_view field, std::string text) {
    problems_.push_back({.field = field, .text = std::move(text)});
  }

  void CheckFamily() {
    const std::string_view name = Name("family", "model_type");
    if (FindFamily(spec_.family) != nullptr) return;
    Add(name, StrCat(name, " is '", spec_.family, "', known: ", KnownFamilies()));
  }

  // What the family fixes must be as it fixes it.
  void CheckStructure() {
    ModelSpec fixed = spec_;
    SetFamilyStructure(&fixed);
    const auto check = [&](std::string_view field, bool holds) {
      if (holds) return;
      Add(field, StrCat(field, " is not as in every model of the family ", spec_.family));
    };
    check("norm", spec_.norm == fixed.norm);
    check("norm_bias", spec_.norm_bias == fixed.norm_bias);
    check("norm_adds_one", spec_.norm_adds_one == fixed.norm_adds_one);
    check("post_norms", spec_.post_norms == fixed.post_norms);
    check("parallel_blocks", spec_.parallel_blocks == fixed.parallel_blocks);
    check("shared_norm", spec_.shared_norm == fixed.shared_norm);
    check("qk_norm", spec_.qk_norm == fixed.qk_norm);
    check("plain_mlp", spec_.plain_mlp == fixed.plain_mlp);
    check("positions", spec_.positions == fixed.positions);
    check("qkv_bias", spec_.qkv_bias == fixed.qkv_bias);
    check("output_bias", spec_.output_bias == fixed.output_bias);
    check("mlp_bias", spec_.mlp_bias == fixed.mlp_bias);
    check("head_bias", spec_.head_bias == fixed.head_bias);
    check("embedding_scale", spec_.embedding_scale == fixed.embedding_scale);
    check("alibi_before_scale", spec_.alibi_before_scale == fixed.alibi_before_scale);
    check("expert_count", spec_.expert_count == fixed.expert_count);
  }

  void CheckSizes() {
    for (const SizeField& field : kSizeFields) {
      CheckSize(FieldName(field, naming_, spec_.family), spec_.*field.member, field.largest);
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
    CheckStructureReals();
    const RopeScaling& scaling = spec_.rope_scaling;
    if (scaling.kind == RopeScalingKind::kNone) return;
    CheckReal({"rope_scaling.factor", scaling.factor, 1, 1e6});
    if (scaling.kind == RopeScalingKind::kLlama3) CheckLlama3(scaling);
    if (scaling.kind == RopeScalingKind::kYarn) CheckYarn(scaling);
    if (scaling.kind == RopeScalingKind::kLongRope) CheckLongRope(scaling);
  }

  // Zero is none everywhere.
  void CheckStructureReals() {
    const auto check = [&](std::string_view name, double value, double lowest, double highest) {
      if (value != 0) CheckReal({name, value, lowest, highest});
    };
    check("attention_scale", spec_.attention_scale, 1e-6, 1e3);
    check(Name("attention_soft_cap", "attn_logit_softcapping"), spec_.attention_soft_cap, 1e-3,
          1e6);
    check(Name("logit_soft_cap", "final_logit_softcapping"), spec_.logit_soft_cap, 1e-3, 1e6);
    check("embedding_scale", spec_.embedding_scale, 1e-6, 1e6);
    check("local_rope_theta", spec_.local_rope_theta, 1, 1e12);
    check("alibi_bias_max", spec_.alibi_bias_max, 1e-3, 1e3);
    if ((spec_.positions == Positions::kAlibi) != (spec_.alibi_bias_max > 0))
      Add("alibi_bias_max", StrCat("alibi_bias_max is ", spec_.alibi_bias_max,
                                   "; it belongs to ALiBi positions, which need it"));
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

  void CheckYarn(const RopeScaling& scaling) {
    CheckReal({"rope_scaling.beta_fast", scaling.beta_fast, 1e-3, 1e6});
    CheckReal({"rope_scaling.beta_slow", scaling.beta_slow, 1e-3, 1e6});
    CheckReal({"rope_scaling.attention_factor", scaling.attention_factor, 0, 1e3});
    CheckSize(Name("rope_scaling.original_context_limit",
                   "rope_scaling.original_max_position_embeddings"),
              scaling.original_context_limit, 1 << 30);
  }

  void CheckLongRope(const RopeScaling& scaling) {
    CheckReal({"rope_scaling.attention_factor", scaling.attention_factor, 0, 1e3});
    const std::string_view limit = Name("rope_scaling.original_context_limit",
                                        "rope_scaling.original_max_position_embeddings");
    CheckSize(limit, scaling.original_context_limit, 1 << 30);
    if (scaling.original_context_limit == 1)
      Add(limit, StrCat(limit, " is 1, must be 2 at least: its logarithm divides"));
    CheckFactors(Name("rope_scaling.short_factors", "rope_scaling.short_factor"),
                 scaling.short_factors);
    CheckFactors(Name("rope_scaling.long_factors", "rope_scaling.long_factor"),
                 scaling.long_factors);
  }

  void CheckFactors(std::string_view name, const std::vector<double>& factors) {
    const int64_t pairs = RotarySize(spec_) / 2;
    if (static_cast<int64_t>(factors.size()) != pairs)
      return Add(name, StrCat(name, " has ", factors.size(), " numbers, must have one for each of ",
                              pairs, " rotated pairs"));
    for (const double factor : factors) {
      if (factor >= 1e-3 && factor <= 1e6) continue;
      return Add(name, StrCat(name, " holds ", factor, ", must be 0.001 to 1e+06"));
    }
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
    const int64_t rotated = spec_.rotary_size;
    if (spec_.head_size > 0 && (rotated < 0 || rotated > spec_.head_size || rotated % 2 != 0)) {
      Add("rotary_size", StrCat("rotary_size is ", rotated, ", must be even and at most ",
                                head_size, "(", spec_.head_size, "); 0: all"));
    }
    const bool rotates = spec_.positions == Positions::kRotary;
    if (spec_.head_size > 0 && spec_.head_size % 2 != 0 && rotates) {
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

  void CheckPatterns() {
    const auto check = [&](std::string_view name, const LayerPattern& pattern) {
      const bool period = pattern.period >= 1 && pattern.period <= kLargestPatternPeriod;
      if (period && (pattern.period == 64 || pattern.bits >> pattern.period == 0)) return;
      Add(name, StrCat(name, ": period(", pattern.period, ") must be 1 to ", kLargestPatternPeriod,
                       ", and no bit set beyond it"));
    };
    check("full_layers", spec_.full_layers);
    check("unrotated_layers", spec_.unrotated_layers);
  }

  void CheckExperts() {
    const int64_t experts = spec_.expert_count, active = spec_.active_expert_count;
    if (experts == 0 && active == 0) return;
    const std::string_view name = Name("expert_count", "num_experts");
    // With so many, the experts' widths together stay within what one MLP may have.
    constexpr int64_t kLargestWidth = 1 << 23;
    if (experts < 1 || experts > 1024 || active < 1 || active > experts)
      Add(name,
          StrCat(name, "(", experts, ") must be 1 to 1024 and at least the experts of a token(",
                 active, "), of which there is at least one"));
    if (spec_.intermediate_size > 0 && experts > kLargestWidth / spec_.intermediate_size)
      Add(name, StrCat(name, "(", experts, ") x the width of an expert(", spec_.intermediate_size,
                       ") must be at most ", kLargestWidth));
  }

  const ModelSpec& spec_;
  FieldNaming naming_;
  std::vector<ModelProblem> problems_;
};

}  // namespace

std::string_view FieldName(const SizeField& field, FieldNaming naming, std::string_view family) {
  return naming == FieldNaming::kSpec ? field.spec_name
                                      : ConfigName(family, field.config_name.data());
}

std::vector<ModelProblem> ModelProblems(const ModelSpec& spec, FieldNaming naming) {
  return ProblemList(spec, naming).Find();
}

}  // namespace tunesmith::planner
