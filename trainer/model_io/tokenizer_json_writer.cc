#include <algorithm>
#include <string>

#include "common/json.h"
#include "common/str_cat.h"
#include "trainer/model_io/split_behavior.h"
#include "trainer/model_io/tokenizer_json.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

json PatternJson(const TextPattern& pattern) {
  return {{pattern.is_literal ? "String" : "Regex", pattern.text}};
}

json ByteLevelJson(const ByteLevelStep& step) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", step.prepends_space},
          {"trim_offsets", true},
          {"use_regex", step.splits}};
}

const char* SchemeName(PrependScheme scheme) {
  if (scheme == PrependScheme::kNever) return "never";
  return scheme == PrependScheme::kFirst ? "first" : "always";
}

json MetaspaceJson(const std::string& replacement, PrependScheme scheme, bool splits) {
  return {{"type", "Metaspace"},
          {"replacement", replacement},
          {"prepend_scheme", SchemeName(scheme)},
          {"split", splits}};
}

// Writes one step of any part.
struct StepWriter {
  json operator()(UnicodeForm form) const {
    constexpr const char* kNames[] = {"NFC", "NFD", "NFKC", "NFKD"};
    return {{"type", kNames[static_cast<size_t>(form)]}};
  }
  json operator()(const LowercaseStep&) const { return {{"type", "Lowercase"}}; }
  json operator()(const StripStep& step) const {
    return {{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}};
  }
  json operator()(const PrependStep& step) const {
    return {{"type", "Prepend"}, {"prepend", step.content}};
  }
  json operator()(const ReplaceStep& step) const {
    return {{"type", "Replace"}, {"pattern", PatternJson(step.pattern)}, {"content", step.content}};
  }
  json operator()(const SplitStep& step) const {
    return {{"type", "Split"},
            {"pattern", PatternJson(step.pattern)},
            {"behavior", SplitBehaviorName(step.behavior)},
            {"invert", step.invert}};
  }
  json operator()(const ByteLevelStep& step) const { return ByteLevelJson(step); }
  json operator()(const MetaspaceStep& step) const {
    return MetaspaceJson(step.replacement, step.prepends, step.splits);
  }
  json operator()(const ByteLevelDecoder&) const { return ByteLevelJson({}); }
  json operator()(const ByteFallbackDecoder&) const { return {{"type", "ByteFallback"}}; }
  json operator()(const FuseDecoder&) const { return {{"type", "Fuse"}}; }
  json operator()(const StripDecoder& step) const {
    return {{"type", "Strip"},
            {"content", step.content},
            {"start", step.start_count},
            {"stop", step.stop_count}};
  }
  json operator()(const MetaspaceDecoder& step) const {
    const auto scheme = step.prepends ? PrependScheme::kAlways : PrependScheme::kNever;
    return MetaspaceJson(step.replacement, scheme, true);
  }
};

// Null without a step, the step itself where there is one, else a Sequence of them.
template <typename Step>
json StepsJson(const std::vector<Step>& steps, const char* field) {
  json list = json::array();
  for (const Step& step : steps) list.push_back(std::visit(StepWriter(), step));
  if (list.size() < 2) return list.empty() ? json() : list[0];
  return {{"type", "Sequence"}, {field, std::move(list)}};
}

json PostProcessorJson(const TokenizerSpec& spec) {
  if (spec.prefix_ids.empty() && spec.suffix_ids.empty()) return {};
  json special_tokens = json::object();
  const auto item = [&](int32_t id) -> json {
    const std::string token(TokenText(spec, id));
    special_tokens[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    return {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  };
  json single = json::array();
  for (const int32_t id : spec.prefix_ids) single.push_back(item(id));
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (const int32_t id : spec.suffix_ids) single.push_back(item(id));
  const json pair = {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                     {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}};
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", pair},
          {"special_tokens", std::move(special_tokens)}};
}

// As "a b"; as pairs, which older readers do not know, only where a token has a space in it.
json MergesJson(const TokenizerSpec& spec) {
  const auto has_space = [](const auto& merge) {
    return merge.first.find(' ') != std::string::npos ||
           merge.second.find(' ') != std::string::npos;
  };
  const bool as_pairs = std::any_of(spec.merges.begin(), spec.merges.end(), has_space);
  json merges = json::array();
  for (const auto& [left, right] : spec.merges)
    merges.push_back(as_pairs ? json{left, right} : json(StrCat(left, " ", right)));
  return merges;
}

json ModelJson(const TokenizerSpec& spec) {
  json vocab = json::object();
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!spec.tokens[id].empty()) vocab[spec.tokens[id]] = id;
  }
  return {
      {"type", "BPE"},
      {"dropout", nullptr},
      {"unk_token", spec.unknown_id.has_value() ? json(TokenText(spec, *spec.unknown_id)) : json()},
      {"continuing_subword_prefix", nullptr},
      {"end_of_word_suffix", nullptr},
      {"fuse_unk", spec.fuses_unknown},
      {"byte_fallback", spec.falls_back_to_bytes},
      {"ignore_merges", spec.ignores_merges},
      {"vocab", std::move(vocab)},
      {"merges", MergesJson(spec)}};
}

json AddedTokensJson(const TokenizerSpec& spec) {
  json added = json::array();
  for (const AddedToken& token : spec.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  return added;
}

}  // namespace

std::string TokenizerJsonFromSpec(const TokenizerSpec& spec) {
  return FormatJson({{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", AddedTokensJson(spec)},
                     {"normalizer", StepsJson(spec.normalizer, "normalizers")},
                     {"pre_tokenizer", StepsJson(spec.pre_tokenizer, "pretokenizers")},
                     {"post_processor", PostProcessorJson(spec)},
                     {"decoder", StepsJson(spec.decoder, "decoders")},
                     {"model", ModelJson(spec)}});
}

}  // namespace tunesmith::trainer
