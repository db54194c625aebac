#include "trainer/model_io/tokenizer_json_steps.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/split_behavior.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

// Character classes of Hugging Face's Digits (Rust's char::is_numeric), Punctuation (ASCII punctuation and what was P in Unicode 8), Whitespace and
// WhitespaceSplit.
constexpr char kDigit[] = R"(\p{N})";
constexpr char kPunctuation[] =
    R"((?![\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b7d}\x{1b7e}\x{2e43}-\x{2e4f}\x{2e52}-\x{2e5d}\x{10ead})"
    R"(\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{111c9}\x{1144b}-\x{1145d}\x{11660}-\x{1166c}\x{116b9}\x{1183b})"
    R"(\x{11944}-\x{11946}\x{119e2}\x{11a3f}-\x{11aa2}\x{11c41}-\x{11c45}\x{11c70}\x{11c71}\x{11ef7}\x{11ef8})"
    R"(\x{11fff}\x{12ff1}\x{12ff2}\x{16e97}-\x{16e9a}\x{16fe2}\x{1e95e}\x{1e95f}])[!-/:-@\[-`{-~\p{P}\x{166d}])";
constexpr char kWords[] = R"(\w+|[^\w\s]+)";
constexpr char kSpaces[] = R"(\s+)";

absl::StatusOr<std::string> TypeOf(const json& part, std::string_view what) {
  return JsonField<std::string>(part, "type", what);
}

// Calls `read` with every part that is no Sequence, in order. `field` holds a Sequence's parts.
template <typename Read>
absl::Status ForEachPart(const json& part, const char* field, std::string_view what,
                         const Read& read) {
  if (part.is_null()) return absl::OkStatus();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string type, TypeOf(part, what));
  if (type != "Sequence") return read(part, type);
  TUNESMITH_ASSIGN_OR_RETURN(const json* children, JsonArray(part, field, what));
  for (const json& child : *children)
    TUNESMITH_RETURN_IF_ERROR(ForEachPart(child, field, what, read));
  return absl::OkStatus();
}

absl::StatusOr<TextPattern> PatternOf(const json& part, std::string_view what) {
  TextPattern pattern;
  TUNESMITH_ASSIGN_OR_RETURN(const json* object, JsonObject(part, "pattern", what));
  pattern.is_literal = object->contains("String");
  TUNESMITH_ASSIGN_OR_RETURN(
      pattern.text, JsonField<std::string>(*object, pattern.is_literal ? "String" : "Regex", what));
  if (!pattern.text.empty()) return pattern;
  return absl::InvalidArgumentError(StrCat(what, ": a \"pattern\" is empty"));
}

absl::StatusOr<ReplaceStep> ReplaceOf(const json& part, std::string_view what) {
  ReplaceStep step;
  TUNESMITH_ASSIGN_OR_RETURN(step.pattern, PatternOf(part, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.content, JsonField<std::string>(part, "content", what));
  return step;
}

absl::StatusOr<NormalizerStep> NormalizerStepOf(const json& part, const std::string& type,
                                                std::string_view what) {
  if (type == "NFC") return UnicodeForm::kNfc;
  if (type == "NFD") return UnicodeForm::kNfd;
  if (type == "NFKC") return UnicodeForm::kNfkc;
  if (type == "NFKD") return UnicodeForm::kNfkd;
  if (type == "Lowercase") return LowercaseStep{};
  if (type == "Replace") return ReplaceOf(part, what);
  if (type == "Prepend") {
    TUNESMITH_ASSIGN_OR_RETURN(std::string content, JsonField<std::string>(part, "prepend", what));
    return PrependStep{std::move(content)};
  }
  if (type == "Strip") {
    StripStep step;
    TUNESMITH_ASSIGN_OR_RETURN(step.left, JsonFieldOr<bool>(part, "strip_left", true, what));
    TUNESMITH_ASSIGN_OR_RETURN(step.right, JsonFieldOr<bool>(part, "strip_right", true, what));
    return step;
  }
  return NotKnown(what, "normalizer", type,
                  "known: NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace");
}

absl::StatusOr<SplitBehavior> BehaviorOf(const json& part, const std::string& fallback,
                                         std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name,
                             JsonFieldOr<std::string>(part, "behavior", fallback, what));
  const std::optional<SplitBehavior> behavior = SplitBehaviorNamed(name);
  if (behavior.has_value()) return *behavior;
  return NotKnown(what, "split behavior", name,
                  "known: Isolated, Removed, Contiguous, MergedWithPrevious, MergedWithNext");
}

absl::StatusOr<SplitStep> SplitOf(const json& part, std::string_view what) {
  SplitStep step;
  TUNESMITH_ASSIGN_OR_RETURN(step.pattern, PatternOf(part, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.behavior, BehaviorOf(part, "Isolated", what));
  TUNESMITH_ASSIGN_OR_RETURN(step.invert, JsonFieldOr<bool>(part, "invert", false, what));
  return step;
}

// "prepend_scheme", or "add_prefix_space" of files before tokenizers 0.15.
absl::StatusOr<PrependScheme> PrependSchemeOf(const json& part, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const bool adds_space,
                             JsonFieldOr<bool>(part, "add_prefix_space", true, what));
  TUNESMITH_ASSIGN_OR_RETURN(
      const std::string name,
      JsonFieldOr<std::string>(part, "prepend_scheme", adds_space ? "always" : "never", what));
  if (name == "always") return PrependScheme::kAlways;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "never") return PrependScheme::kNever;
  return NotKnown(what, "prepend_scheme", name, "known: always, first, never");
}

absl::StatusOr<std::string> ReplacementOf(const json& part, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(
      std::string replacement,
      JsonFieldOr<std::string>(part, "replacement", MetaspaceStep().replacement, what));
  if (!replacement.empty()) return replacement;
  return absl::InvalidArgumentError(StrCat(what, ": Metaspace's \"replacement\" is empty"));
}

absl::StatusOr<MetaspaceStep> MetaspaceOf(const json& part, std::string_view what) {
  MetaspaceStep step;
  TUNESMITH_ASSIGN_OR_RETURN(step.replacement, ReplacementOf(part, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.prepends, PrependSchemeOf(part, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.splits, JsonFieldOr<bool>(part, "split", true, what));
  return step;
}

absl::StatusOr<ByteLevelStep> ByteLevelOf(const json& part, std::string_view what) {
  ByteLevelStep step;
  TUNESMITH_ASSIGN_OR_RETURN(step.prepends_space,
                             JsonFieldOr<bool>(part, "add_prefix_space", true, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.splits, JsonFieldOr<bool>(part, "use_regex", true, what));
  return step;
}

absl::Status AddPreTokenizer(const json& part, const std::string& type, std::string_view what,
                             std::vector<PreTokenizerStep>* steps) {
  if (type == "ByteLevel") {
    TUNESMITH_ASSIGN_OR_RETURN(steps->emplace_back(), ByteLevelOf(part, what));
  } else if (type == "Split") {
    TUNESMITH_ASSIGN_OR_RETURN(steps->emplace_back(), SplitOf(part, what));
  } else if (type == "Metaspace") {
    TUNESMITH_ASSIGN_OR_RETURN(steps->emplace_back(), MetaspaceOf(part, what));
  } else if (type == "Digits") {
    TUNESMITH_ASSIGN_OR_RETURN(const bool individual,
                               JsonFieldOr<bool>(part, "individual_digits", false, what));
    steps->emplace_back(
        SplitStep{{kDigit}, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
  } else if (type == "Punctuation") {
    TUNESMITH_ASSIGN_OR_RETURN(const SplitBehavior behavior, BehaviorOf(part, "Isolated", what));
    steps->emplace_back(SplitStep{{kPunctuation}, behavior});
  } else if (type == "Whitespace") {
    steps->emplace_back(SplitStep{{kWords}, SplitBehavior::kRemoved, true});
  } else if (type == "WhitespaceSplit") {
    steps->emplace_back(SplitStep{{kSpaces}, SplitBehavior::kRemoved});
  } else {
    return NotKnown(what, "pre_tokenizer", type,
                    "known: Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, "
                    "WhitespaceSplit");
  }
  return absl::OkStatus();
}

absl::StatusOr<StripDecoder> StripDecoderOf(const json& part, std::string_view what) {
  StripDecoder step;
  TUNESMITH_ASSIGN_OR_RETURN(step.content, JsonField<std::string>(part, "content", what));
  TUNESMITH_ASSIGN_OR_RETURN(step.start_count, JsonFieldOr<int64_t>(part, "start", 0, what));
  TUNESMITH_ASSIGN_OR_RETURN(step.stop_count, JsonFieldOr<int64_t>(part, "stop", 0, what));
  return step;
}

absl::StatusOr<DecoderStep> DecoderStepOf(const json& part, const std::string& type,
                                          std::string_view what) {
  if (type == "ByteLevel") return ByteLevelDecoder{};
  if (type == "ByteFallback") return ByteFallbackDecoder{};
  if (type == "Fuse") return FuseDecoder{};
  if (type == "Replace") return ReplaceOf(part, what);
  if (type == "Strip") return StripDecoderOf(part, what);
  if (type == "Metaspace") {
    MetaspaceDecoder step;
    TUNESMITH_ASSIGN_OR_RETURN(step.replacement, ReplacementOf(part, what));
    TUNESMITH_ASSIGN_OR_RETURN(const PrependScheme scheme, PrependSchemeOf(part, what));
    step.prepends = scheme != PrependScheme::kNever;
    return step;
  }
  return NotKnown(what, "decoder", type,
                  "known: ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace");
}

bool IsSequenceItem(const json& item) { return item.is_object() && item.contains("Sequence"); }

// The ids of {"SpecialToken": {"id": NAME}}, which "special_tokens" lists.
absl::StatusOr<std::vector<int64_t>> SpecialIds(const json& item, const json& part,
                                                std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* special, JsonObject(item, "SpecialToken", what));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string name, JsonField<std::string>(*special, "id", what));
  TUNESMITH_ASSIGN_OR_RETURN(const json* known, JsonObject(part, "special_tokens", what));
  TUNESMITH_ASSIGN_OR_RETURN(const json* entry, JsonObject(*known, name, what));
  return JsonField<std::vector<int64_t>>(*entry, "ids", what);
}

absl::StatusOr<TextFrame> TemplateOf(const json& part, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* single, JsonArray(part, "single", what));
  if (std::count_if(single->begin(), single->end(), IsSequenceItem) != 1) {
    return absl::InvalidArgumentError(
        StrCat(what, ": \"single\" of the TemplateProcessing must hold one \"Sequence\""));
  }
  TextFrame frame;
  std::vector<int32_t>* ids = &frame.prefix_ids;
  for (const json& item : *single) {
    if (IsSequenceItem(item)) {
      ids = &frame.suffix_ids;
      continue;
    }
    TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int64_t> numbers, SpecialIds(item, part, what));
    for (const int64_t number : numbers) {
      TUNESMITH_ASSIGN_OR_RETURN(ids->emplace_back(), CheckedTokenId(number, what));
    }
  }
  return frame;
}

// The id of "cls" or "sep": ["<s>", 0].
absl::StatusOr<int32_t> PairedId(const json& part, const char* field, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json* pair, JsonArray(part, field, what));
  if (pair->size() == 2 && (*pair)[1].is_number_integer())
    return CheckedTokenId((*pair)[1].get<int64_t>(), what);
  return absl::InvalidArgumentError(
      StrCat(what, ": \"", field, "\" of the post_processor is not a token and its id"));
}

absl::StatusOr<TextFrame> FrameOf(const json& part, const std::string& type,
                                  std::string_view what) {
  if (type == "ByteLevel") return TextFrame();  // trims offsets only
  if (type == "TemplateProcessing") return TemplateOf(part, what);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    TUNESMITH_ASSIGN_OR_RETURN(const int32_t before, PairedId(part, "cls", what));
    TUNESMITH_ASSIGN_OR_RETURN(const int32_t after, PairedId(part, "sep", what));
    return TextFrame{{before}, {after}};
  }
  return NotKnown(what, "post_processor", type,
                  "known: TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing");
}

}  // namespace

absl::Status NotKnown(std::string_view what, std::string_view part, std::string_view found,
                      std::string_view known) {
  return absl::UnimplementedError(
      StrCat(what, ": ", part, " ", found, " is not known here; ", known));
}

absl::StatusOr<int32_t> CheckedTokenId(int64_t id, std::string_view what) {
  if (id >= 0 && id <= kMaxTokenId) return static_cast<int32_t>(id);
  return absl::InvalidArgumentError(
      StrCat(what, ": the token id ", id, " is outside 0 to ", kMaxTokenId));
}

absl::StatusOr<std::vector<NormalizerStep>> NormalizerFromJson(const json& part,
                                                               std::string_view what) {
  std::vector<NormalizerStep> steps;
  TUNESMITH_RETURN_IF_ERROR(ForEachPart(
      part, "normalizers", what, [&](const json& child, const std::string& type) -> absl::Status {
        TUNESMITH_ASSIGN_OR_RETURN(NormalizerStep step, NormalizerStepOf(child, type, what));
        steps.push_back(std::move(step));
        return absl::OkStatus();
      }));
  return steps;
}

absl::StatusOr<std::vector<PreTokenizerStep>> PreTokenizerFromJson(const json& part,
                                                                   std::string_view what) {
  std::vector<PreTokenizerStep> steps;
  TUNESMITH_RETURN_IF_ERROR(
      ForEachPart(part, "pretokenizers", what, [&](const json& child, const std::string& type) {
        return AddPreTokenizer(child, type, what, &steps);
      }));
  return steps;
}

absl::StatusOr<std::vector<DecoderStep>> DecoderFromJson(const json& part, std::string_view what) {
  std::vector<DecoderStep> steps;
  TUNESMITH_RETURN_IF_ERROR(ForEachPart(
      part, "decoders", what, [&](const json& child, const std::string& type) -> absl::Status {
        TUNESMITH_ASSIGN_OR_RETURN(DecoderStep step, DecoderStepOf(child, type, what));
        steps.push_back(std::move(step));
        return absl::OkStatus();
      }));
  return steps;
}

absl::StatusOr<TextFrame> FrameFromJson(const json& part, std::string_view what) {
  TextFrame frame;
  // A later processor puts its tokens around what the earlier ones made.
  const auto wrap = [&](const json& child, const std::string& type) -> absl::Status {
    TUNESMITH_ASSIGN_OR_RETURN(TextFrame outer, FrameOf(child, type, what));
    outer.prefix_ids.insert(outer.prefix_ids.end(), frame.prefix_ids.begin(),
                            frame.prefix_ids.end());
    frame.suffix_ids.insert(frame.suffix_ids.end(), outer.suffix_ids.begin(),
                            outer.suffix_ids.end());
    frame.prefix_ids = std::move(outer.prefix_ids);
    return absl::OkStatus();
  };
  TUNESMITH_RETURN_IF_ERROR(ForEachPart(part, "processors", what, wrap));
  return frame;
}

}  // namespace tunesmith::trainer
