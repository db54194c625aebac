#include "trainer/model_io/tokenizer_json.h"

#include <algorithm>
#include <array>

#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTokenId = 1 << 21;  // a larger id is a damaged file, not a vocabulary

constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kBehaviors = {{
    {"Isolated", SplitBehavior::kIsolated},
    {"Removed", SplitBehavior::kRemoved},
    {"Contiguous", SplitBehavior::kContiguous},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
}};

// Character classes of Hugging Face's Digits (Rust's char::is_numeric) and Punctuation (ASCII punctuation and Unicode's P).
constexpr char kDigit[] = R"(\p{N})";
constexpr char kPunctuation[] = R"([!-/:-@\[-`{-~\p{P}])";

std::string_view BehaviorName(SplitBehavior behavior) {
  return kBehaviors[static_cast<size_t>(behavior)].first;
}

absl::Status NotKnown(std::string_view what, std::string_view part, std::string_view found) {
  return absl::UnimplementedError(
      StrCat(what, ": ", part, " ", found,
             " is not known here; byte-level BPE tokenizers (Llama 3, Qwen 2, GPT-2, SmolLM) are"));
}

absl::StatusOr<int32_t> TokenId(int64_t id, std::string_view what) {
  if (id >= 0 && id <= kMaxTokenId) return static_cast<int32_t>(id);
  return absl::InvalidArgumentError(
      StrCat(what, ": the token id ", id, " is outside 0 to ", kMaxTokenId));
}

// Reads the parts of one tokenizer.json into a spec.
class Reader {
 public:
  Reader(const json& root, std::string_view what) : root_(root), what_(what) { spec_.what = what; }

  absl::StatusOr<TokenizerSpec> Read() {
    TUNESMITH_ASSIGN_OR_RETURN(const json* model, JsonObject(root_, "model", what_));
    TUNESMITH_RETURN_IF_ERROR(ReadModel(*model));
    TUNESMITH_RETURN_IF_ERROR(ReadAddedTokens());
    TUNESMITH_RETURN_IF_ERROR(ReadNormalizer(Part("normalizer")));
    TUNESMITH_RETURN_IF_ERROR(ReadPreTokenizer(Part("pre_tokenizer")));
    if (!byte_level_) return NotKnown(what_, "a pre_tokenizer without", "ByteLevel");
    TUNESMITH_RETURN_IF_ERROR(ReadPostProcessor(Part("post_processor")));
    return std::move(spec_);
  }

 private:
  const json& Part(const char* name) const {
    static const json* const null = new json;
    const auto at = root_.find(name);
    return at == root_.end() ? *null : *at;
  }

  // Options of the model that change the result and are not built.
  absl::Status CheckModelOptions(const json& model) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string type,
                               JsonFieldOr<std::string>(model, "type", "BPE", what_));
    if (type != "BPE") return NotKnown(what_, "model", type);
    for (const char* text : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      TUNESMITH_ASSIGN_OR_RETURN(const std::string value,
                                 JsonFieldOr<std::string>(model, text, "", what_));
      if (!value.empty()) return NotKnown(what_, text, value);
    }
    TUNESMITH_ASSIGN_OR_RETURN(const bool byte_fallback,
                               JsonFieldOr<bool>(model, "byte_fallback", false, what_));
    if (byte_fallback) return NotKnown(what_, "SentencePiece-style BPE with", "byte_fallback");
    TUNESMITH_ASSIGN_OR_RETURN(const double dropout,
                               JsonFieldOr<double>(model, "dropout", 0.0, what_));
    if (dropout != 0.0) return NotKnown(what_, "BPE with", "dropout");
    return absl::OkStatus();
  }

  absl::Status ReadModel(const json& model) {
    TUNESMITH_RETURN_IF_ERROR(CheckModelOptions(model));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.ignores_merges,
                               JsonFieldOr<bool>(model, "ignore_merges", false, what_));
    TUNESMITH_ASSIGN_OR_RETURN(const json* vocab, JsonObject(model, "vocab", what_));
    for (const auto& [token, value] : vocab->items()) {
      if (!value.is_number_integer())
        return absl::InvalidArgumentError(
            StrCat(what_, ": the id of token \"", token, "\" is not an integer"));
      TUNESMITH_RETURN_IF_ERROR(SetToken(value.get<int64_t>(), token));
    }
    TUNESMITH_RETURN_IF_ERROR(ReadUnknownToken(model));
    TUNESMITH_ASSIGN_OR_RETURN(const json* merges, JsonArray(model, "merges", what_));
    spec_.merges.reserve(merges->size());
    for (const json& merge : *merges) TUNESMITH_RETURN_IF_ERROR(AddMerge(merge));
    return absl::OkStatus();
  }

  absl::Status ReadUnknownToken(const json& model) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string token,
                               JsonFieldOr<std::string>(model, "unk_token", "", what_));
    TUNESMITH_ASSIGN_OR_RETURN(const bool fuses,
                               JsonFieldOr<bool>(model, "fuse_unk", false, what_));
    if (token.empty()) return absl::OkStatus();
    if (fuses) return NotKnown(what_, "BPE with", "fuse_unk");
    const auto at = std::find(spec_.tokens.begin(), spec_.tokens.end(), token);
    if (at == spec_.tokens.end()) {
      return absl::InvalidArgumentError(
          StrCat(what_, ": the unk_token \"", token, "\" is not in the vocabulary"));
    }
    spec_.unknown_id = static_cast<int32_t>(at - spec_.tokens.begin());
    return absl::OkStatus();
  }

  absl::Status SetToken(int64_t number, const std::string& token) {
    TUNESMITH_ASSIGN_OR_RETURN(const int32_t id, TokenId(number, what_));
    const auto at = static_cast<size_t>(id);
    if (spec_.tokens.size() <= at) spec_.tokens.resize(at + 1);
    if (!spec_.tokens[at].empty() && spec_.tokens[at] != token) {
      return absl::InvalidArgumentError(StrCat(what_, ": the id ", id, " belongs to \"",
                                               spec_.tokens[at], "\" and to \"", token, "\""));
    }
    spec_.tokens[at] = token;
    return absl::OkStatus();
  }

  // "a b", or ["a", "b"] since tokenizers 0.20.
  absl::Status AddMerge(const json& merge) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      return absl::OkStatus();
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const size_t space = text.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == text.size() ||
        text.find(' ', space + 1) != std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat(what_, ": merge ", spec_.merges.size(), " is not a pair of tokens"));
    }
    spec_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    return absl::OkStatus();
  }

  absl::Status ReadAddedTokens() {
    const json& list = Part("added_tokens");
    if (list.is_null()) return absl::OkStatus();
    if (!list.is_array())
      return absl::InvalidArgumentError(StrCat(what_, ": \"added_tokens\" must be an array"));
    for (const json& value : list) {
      AddedToken token;
      const std::string where = StrCat(what_, ": added_tokens");
      TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JsonField<int64_t>(value, "id", where));
      TUNESMITH_ASSIGN_OR_RETURN(token.id, TokenId(id, where));
      TUNESMITH_ASSIGN_OR_RETURN(token.content, JsonField<std::string>(value, "content", where));
      TUNESMITH_ASSIGN_OR_RETURN(token.special, JsonFieldOr<bool>(value, "special", false, where));
      TUNESMITH_ASSIGN_OR_RETURN(token.lstrip, JsonFieldOr<bool>(value, "lstrip", false, where));
      TUNESMITH_ASSIGN_OR_RETURN(token.rstrip, JsonFieldOr<bool>(value, "rstrip", false, where));
      TUNESMITH_ASSIGN_OR_RETURN(token.normalized,
                                 JsonFieldOr<bool>(value, "normalized", !token.special, where));
      TUNESMITH_ASSIGN_OR_RETURN(const bool single_word,
                                 JsonFieldOr<bool>(value, "single_word", false, where));
      if (single_word) return NotKnown(what_, "an added token with", "single_word");
      if (token.content.empty())
        return absl::InvalidArgumentError(
            StrCat(where, ": the content of token ", id, " is empty"));
      TUNESMITH_RETURN_IF_ERROR(SetToken(id, token.content));
      spec_.added_tokens.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  // The "type" of a part, and for a Sequence the parts in it.
  absl::StatusOr<std::string> Type(const json& part) {
    return JsonField<std::string>(part, "type", what_);
  }
  absl::StatusOr<const json*> Children(const json& part, const char* field) {
    return JsonArray(part, field, what_);
  }

  absl::Status ReadNormalizer(const json& part) {
    if (part.is_null()) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(const std::string type, Type(part));
    if (type == "NFC") {
      spec_.normalizes_nfc = true;
      return absl::OkStatus();
    }
    if (type != "Sequence") return NotKnown(what_, "normalizer", type);
    TUNESMITH_ASSIGN_OR_RETURN(const json* children, Children(part, "normalizers"));
    for (const json& child : *children) TUNESMITH_RETURN_IF_ERROR(ReadNormalizer(child));
    return absl::OkStatus();
  }

  absl::Status ReadPreTokenizer(const json& part) {
    if (part.is_null()) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(const std::string type, Type(part));
    if (byte_level_) return NotKnown(what_, "behind ByteLevel the pre_tokenizer", type);
    if (type == "Split") return ReadSplit(part);
    if (type == "ByteLevel") return ReadByteLevel(part);
    if (type == "Digits") return ReadDigits(part);
    if (type == "Punctuation") return ReadPunctuation(part);
    if (type != "Sequence") return NotKnown(what_, "pre_tokenizer", type);
    TUNESMITH_ASSIGN_OR_RETURN(const json* children, Children(part, "pretokenizers"));
    for (const json& child : *children) TUNESMITH_RETURN_IF_ERROR(ReadPreTokenizer(child));
    return absl::OkStatus();
  }

  absl::StatusOr<SplitBehavior> Behavior(const json& part, const std::string& fallback) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string name,
                               JsonFieldOr<std::string>(part, "behavior", fallback, what_));
    const auto at = std::find_if(kBehaviors.begin(), kBehaviors.end(),
                                 [&](const auto& row) { return row.first == name; });
    if (at == kBehaviors.end()) return NotKnown(what_, "split behavior", name);
    return at->second;
  }

  absl::Status ReadSplit(const json& part) {
    SplitStep step;
    TUNESMITH_ASSIGN_OR_RETURN(const json* pattern, JsonObject(part, "pattern", what_));
    if (pattern->contains("String")) {
      TUNESMITH_ASSIGN_OR_RETURN(const std::string literal,
                                 JsonField<std::string>(*pattern, "String", what_));
      if (literal.find("\\E") != std::string::npos) return NotKnown(what_, "split at", literal);
      step.pattern = StrCat("\\Q", literal, "\\E");
    } else {
      TUNESMITH_ASSIGN_OR_RETURN(step.pattern, JsonField<std::string>(*pattern, "Regex", what_));
    }
    TUNESMITH_ASSIGN_OR_RETURN(step.behavior, Behavior(part, "Isolated"));
    TUNESMITH_ASSIGN_OR_RETURN(step.invert, JsonFieldOr<bool>(part, "invert", false, what_));
    spec_.splits.push_back(std::move(step));
    return absl::OkStatus();
  }

  absl::Status ReadByteLevel(const json& part) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool add_prefix_space,
                               JsonFieldOr<bool>(part, "add_prefix_space", true, what_));
    TUNESMITH_ASSIGN_OR_RETURN(const bool use_regex,
                               JsonFieldOr<bool>(part, "use_regex", true, what_));
    if (add_prefix_space) return NotKnown(what_, "ByteLevel with", "add_prefix_space");
    if (use_regex) spec_.splits.push_back({kGpt2Pattern});
    byte_level_ = true;
    return absl::OkStatus();
  }

  absl::Status ReadDigits(const json& part) {
    TUNESMITH_ASSIGN_OR_RETURN(const bool individual,
                               JsonFieldOr<bool>(part, "individual_digits", false, what_));
    spec_.splits.push_back(
        {kDigit, individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous});
    return absl::OkStatus();
  }

  absl::Status ReadPunctuation(const json& part) {
    TUNESMITH_ASSIGN_OR_RETURN(const SplitBehavior behavior, Behavior(part, "Isolated"));
    spec_.splits.push_back({kPunctuation, behavior});
    return absl::OkStatus();
  }

  absl::Status ReadPostProcessor(const json& part) {
    if (part.is_null()) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(const std::string type, Type(part));
    if (type == "ByteLevel") return absl::OkStatus();  // trims offsets only
    if (type == "TemplateProcessing") return ReadTemplate(part);
    if (type != "Sequence") return NotKnown(what_, "post_processor", type);
    TUNESMITH_ASSIGN_OR_RETURN(const json* children, Children(part, "processors"));
    for (const json& child : *children) TUNESMITH_RETURN_IF_ERROR(ReadPostProcessor(child));
    return absl::OkStatus();
  }

  absl::Status ReadTemplate(const json& part) {
    TUNESMITH_ASSIGN_OR_RETURN(const json* single, JsonArray(part, "single", what_));
    bool behind_text = false;
    for (const json& item : *single) {
      if (item.is_object() && item.contains("Sequence")) {
        behind_text = true;
        continue;
      }
      TUNESMITH_ASSIGN_OR_RETURN(const json* special, JsonObject(item, "SpecialToken", what_));
      TUNESMITH_ASSIGN_OR_RETURN(const std::string name,
                                 JsonField<std::string>(*special, "id", what_));
      TUNESMITH_ASSIGN_OR_RETURN(const json* known, JsonObject(part, "special_tokens", what_));
      TUNESMITH_ASSIGN_OR_RETURN(const json* entry, JsonObject(*known, name, what_));
      TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int64_t> ids,
                                 JsonField<std::vector<int64_t>>(*entry, "ids", what_));
      for (const int64_t number : ids) {
        TUNESMITH_ASSIGN_OR_RETURN(const int32_t id, TokenId(number, what_));
        (behind_text ? spec_.suffix_ids : spec_.prefix_ids).push_back(id);
      }
    }
    return absl::OkStatus();
  }

  const json& root_;
  std::string_view what_;
  TokenizerSpec spec_;
  bool byte_level_ = false;
};

json ByteLevelJson() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", false}};
}

json PreTokenizerJson(const TokenizerSpec& spec) {
  json steps = json::array();
  for (const SplitStep& step : spec.splits) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", step.pattern}}},
                     {"behavior", BehaviorName(step.behavior)},
                     {"invert", step.invert}});
  }
  steps.push_back(ByteLevelJson());
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

json PostProcessorJson(const TokenizerSpec& spec) {
  if (spec.prefix_ids.empty() && spec.suffix_ids.empty()) return ByteLevelJson();
  json special_tokens = json::object();
  const auto item = [&](int32_t id) -> json {
    const std::string& token = spec.tokens[static_cast<size_t>(id)];
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

json ModelJson(const TokenizerSpec& spec) {
  json vocab = json::object();
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!spec.tokens[id].empty()) vocab[spec.tokens[id]] = id;
  }
  json merges = json::array();
  for (const auto& [left, right] : spec.merges) merges.push_back(StrCat(left, " ", right));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", spec.unknown_id.has_value()
                            ? json(spec.tokens[static_cast<size_t>(*spec.unknown_id)])
                            : json()},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", spec.ignores_merges},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromJson(std::string_view text, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json root, ParseJson(text, what));
  if (!root.is_object()) return absl::InvalidArgumentError(StrCat(what, ": not a JSON object"));
  return Reader(root, what).Read();
}

std::string TokenizerJsonFromSpec(const TokenizerSpec& spec) {
  json added = json::array();
  for (const AddedToken& token : spec.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  const json normalizer = spec.normalizes_nfc ? json{{"type", "NFC"}} : json();
  return FormatJson({{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", std::move(added)},
                     {"normalizer", normalizer},
                     {"pre_tokenizer", PreTokenizerJson(spec)},
                     {"post_processor", PostProcessorJson(spec)},
                     {"decoder", ByteLevelJson()},
                     {"model", ModelJson(spec)}});
}

}  // namespace tunesmith::trainer
