#include "trainer/model_io/tokenizer_json.h"

#include <map>
#include <utility>

#include "common/json.h"
#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/tokenizer_json_steps.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr std::string_view kKnownModels =
    "only BPE models are (Llama, Mistral, Qwen, Gemma, Phi, Falcon, GPT-2 and their like)";

// Reads the parts of one tokenizer.json into a spec.
class Reader {
 public:
  Reader(const json& root, std::string_view what) : root_(root), what_(what) { spec_.what = what; }

  absl::StatusOr<TokenizerSpec> Read() {
    TUNESMITH_ASSIGN_OR_RETURN(const json* model, JsonObject(root_, "model", what_));
    TUNESMITH_RETURN_IF_ERROR(ReadModel(*model));
    TUNESMITH_RETURN_IF_ERROR(ReadAddedTokens());
    TUNESMITH_RETURN_IF_ERROR(ReadUnknownToken(*model));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.normalizer, NormalizerFromJson(Part("normalizer"), what_));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.pre_tokenizer,
                               PreTokenizerFromJson(Part("pre_tokenizer"), what_));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.decoder, DecoderFromJson(Part("decoder"), what_));
    TUNESMITH_ASSIGN_OR_RETURN(TextFrame frame, FrameFromJson(Part("post_processor"), what_));
    spec_.prefix_ids = std::move(frame.prefix_ids);
    spec_.suffix_ids = std::move(frame.suffix_ids);
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
    if (type != "BPE") return NotKnown(what_, "model", type, kKnownModels);
    for (const char* text : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      TUNESMITH_ASSIGN_OR_RETURN(const std::string value,
                                 JsonFieldOr<std::string>(model, text, "", what_));
      if (!value.empty()) return NotKnown(what_, text, value, kKnownModels);
    }
    TUNESMITH_ASSIGN_OR_RETURN(const double dropout,
                               JsonFieldOr<double>(model, "dropout", 0.0, what_));
    if (dropout == 0.0) return absl::OkStatus();
    return NotKnown(what_, "a BPE dropout of", FormatDouble(dropout), "set it to null");
  }

  absl::Status ReadModel(const json& model) {
    TUNESMITH_RETURN_IF_ERROR(CheckModelOptions(model));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.ignores_merges,
                               JsonFieldOr<bool>(model, "ignore_merges", false, what_));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.falls_back_to_bytes,
                               JsonFieldOr<bool>(model, "byte_fallback", false, what_));
    TUNESMITH_ASSIGN_OR_RETURN(spec_.fuses_unknown,
                               JsonFieldOr<bool>(model, "fuse_unk", false, what_));
    TUNESMITH_ASSIGN_OR_RETURN(const json* vocab, JsonObject(model, "vocab", what_));
    for (const auto& [token, value] : vocab->items()) {
      if (!value.is_number_integer())
        return absl::InvalidArgumentError(
            StrCat(what_, ": the id of token \"", token, "\" is not an integer"));
      TUNESMITH_RETURN_IF_ERROR(SetToken(value.get<int64_t>(), token));
    }
    TUNESMITH_ASSIGN_OR_RETURN(const json* merges, JsonArray(model, "merges", what_));
    spec_.merges.reserve(merges->size());
    for (const json& merge : *merges) TUNESMITH_RETURN_IF_ERROR(AddMerge(merge));
    return absl::OkStatus();
  }

  absl::Status ReadUnknownToken(const json& model) {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string token,
                               JsonFieldOr<std::string>(model, "unk_token", "", what_));
    if (token.empty()) return absl::OkStatus();
    spec_.unknown_id = FindToken(spec_, token);
    if (spec_.unknown_id.has_value()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        StrCat(what_, ": the unk_token \"", token, "\" is not in the vocabulary"));
  }

  absl::Status SetToken(int64_t number, const std::string& token) {
    TUNESMITH_ASSIGN_OR_RETURN(const int32_t id, CheckedTokenId(number, what_));
    const auto at = static_cast<size_t>(id);
    if (spec_.tokens.size() <= at) spec_.tokens.resize(at + 1);
    if (!spec_.tokens[at].empty() && spec_.tokens[at] != token)
      return TwoTokens(id, spec_.tokens[at], token);
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
      TUNESMITH_ASSIGN_OR_RETURN(AddedToken token, AddedTokenOf(value));
      TUNESMITH_RETURN_IF_ERROR(CheckAddedToken(token));
      spec_.added_tokens.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<AddedToken> AddedTokenOf(const json& value) const {
    AddedToken token;
    const std::string where = StrCat(what_, ": added_tokens");
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t id, JsonField<int64_t>(value, "id", where));
    TUNESMITH_ASSIGN_OR_RETURN(token.id, CheckedTokenId(id, where));
    TUNESMITH_ASSIGN_OR_RETURN(token.content, JsonField<std::string>(value, "content", where));
    TUNESMITH_ASSIGN_OR_RETURN(token.special, JsonFieldOr<bool>(value, "special", false, where));
    TUNESMITH_ASSIGN_OR_RETURN(token.lstrip, JsonFieldOr<bool>(value, "lstrip", false, where));
    TUNESMITH_ASSIGN_OR_RETURN(token.rstrip, JsonFieldOr<bool>(value, "rstrip", false, where));
    TUNESMITH_ASSIGN_OR_RETURN(token.normalized,
                               JsonFieldOr<bool>(value, "normalized", !token.special, where));
    TUNESMITH_ASSIGN_OR_RETURN(token.single_word,
                               JsonFieldOr<bool>(value, "single_word", false, where));
    return token;
  }

  absl::Status CheckAddedToken(const AddedToken& token) {
    if (token.content.empty())
      return absl::InvalidArgumentError(
          StrCat(what_, ": added_tokens: the content of token ", token.id, " is empty"));
    const std::string& old = added_contents_.emplace(token.id, token.content).first->second;
    if (old != token.content) return TwoTokens(token.id, old, token.content);
    const auto at = static_cast<size_t>(token.id);
    if (at >= spec_.tokens.size() || spec_.tokens[at].empty()) return absl::OkStatus();
    return spec_.tokens[at] == token.content ? absl::OkStatus()
                                             : TwoTokens(token.id, spec_.tokens[at], token.content);
  }

  absl::Status TwoTokens(int32_t id, const std::string& first, const std::string& second) const {
    return absl::InvalidArgumentError(
        StrCat(what_, ": the id ", id, " belongs to \"", first, "\" and to \"", second, "\""));
  }

  const json& root_;
  std::string_view what_;
  TokenizerSpec spec_;
  std::map<int32_t, std::string> added_contents_;
};

}  // namespace

absl::StatusOr<TokenizerSpec> TokenizerSpecFromJson(std::string_view text, std::string_view what) {
  TUNESMITH_ASSIGN_OR_RETURN(const json root, ParseJson(text, what));
  if (!root.is_object()) return absl::InvalidArgumentError(StrCat(what, ": not a JSON object"));
  return Reader(root, what).Read();
}

}  // namespace tunesmith::trainer
