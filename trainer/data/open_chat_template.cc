#include <filesystem>
#include <utility>

#include "common/file.h"
#include "common/gguf.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/data/chat_template.h"
#include "trainer/model_io/tokenizer_gguf.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

// A template and the special tokens that it may name.
struct Parts {
  std::string what;
  std::optional<std::string> source;
  ChatVariables special_tokens;
};

absl::StatusOr<json> ParseFileIfThere(const std::string& path) {
  if (!std::filesystem::exists(path)) return json::object();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

// A token is a string, or an object with "content".
void AddSpecialTokens(const json& config, ChatVariables* tokens) {
  if (!config.is_object()) return;
  for (const char* name : kSpecialTokens) {
    const auto at = config.find(name);
    if (at == config.end()) continue;
    const json& text = at->is_object() && at->contains("content") ? (*at)["content"] : *at;
    if (text.is_string()) SetKey(name, text.get<std::string>(), tokens);
  }
}

// "chat_template": a string, or a list of {"name", "template"}, of which "default" counts, else the first.
absl::StatusOr<std::optional<std::string>> TemplateIn(const json& config, std::string_view what) {
  if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
  const json& value = config["chat_template"];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return std::nullopt;
  if (!value.is_array() || value.empty())
    return absl::InvalidArgumentError(
        StrCat(what, ": \"chat_template\" is neither a string nor a list of templates"));
  const json* chosen = &value[0];
  for (const json& entry : value) {
    if (entry.is_object() && entry.value("name", json()) == "default") chosen = &entry;
  }
  TUNESMITH_ASSIGN_OR_RETURN(std::string text, JsonField<std::string>(*chosen, "template", what));
  return text;
}

absl::StatusOr<Parts> PartsOfDirectory(const std::string& directory) {
  Parts parts;
  const std::string config_path = directory + "/tokenizer_config.json";
  TUNESMITH_ASSIGN_OR_RETURN(const json map,
                             ParseFileIfThere(directory + "/special_tokens_map.json"));
  TUNESMITH_ASSIGN_OR_RETURN(const json config, ParseFileIfThere(config_path));
  AddSpecialTokens(map, &parts.special_tokens);
  AddSpecialTokens(config, &parts.special_tokens);
  parts.what = directory + "/chat_template.jinja";
  if (std::filesystem::exists(parts.what)) {
    TUNESMITH_ASSIGN_OR_RETURN(parts.source, ReadFile(parts.what));
    return parts;
  }
  parts.what = directory + "/chat_template.json";
  TUNESMITH_ASSIGN_OR_RETURN(const json file, ParseFileIfThere(parts.what));
  TUNESMITH_ASSIGN_OR_RETURN(parts.source, TemplateIn(file, parts.what));
  if (parts.source.has_value()) return parts;
  parts.what = StrCat(config_path, ", chat_template");
  TUNESMITH_ASSIGN_OR_RETURN(parts.source, TemplateIn(config, config_path));
  return parts;
}

absl::StatusOr<Parts> PartsOfGguf(const std::string& path) {
  Parts parts;
  TUNESMITH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  TUNESMITH_ASSIGN_OR_RETURN(const TokenizerSpec spec, TokenizerSpecFromGguf(file.header()));
  if (spec.bos_id.has_value())
    SetKey("bos_token", TokenText(spec, *spec.bos_id), &parts.special_tokens);
  if (spec.eos_id.has_value())
    SetKey("eos_token", TokenText(spec, *spec.eos_id), &parts.special_tokens);
  parts.what = StrCat(path, ", tokenizer.chat_template");
  if (!file.header().Has("tokenizer.chat_template")) return parts;
  TUNESMITH_ASSIGN_OR_RETURN(parts.source, file.header().String("tokenizer.chat_template"));
  return parts;
}

absl::StatusOr<Parts> PartsOf(const std::string& model_path) {
  return std::filesystem::is_directory(model_path) ? PartsOfDirectory(model_path)
                                                   : PartsOfGguf(model_path);
}

}  // namespace

absl::StatusOr<std::optional<ChatTemplate>> OpenChatTemplate(const std::string& model_path) {
  TUNESMITH_ASSIGN_OR_RETURN(Parts parts, PartsOf(model_path));
  if (!parts.source.has_value()) return std::nullopt;
  TUNESMITH_ASSIGN_OR_RETURN(
      ChatTemplate result,
      ChatTemplate::Create(*parts.source, parts.what, std::move(parts.special_tokens)));
  return result;
}

absl::StatusOr<ChatTemplate> ReadChatTemplate(const std::string& path,
                                              const std::string& model_path) {
  TUNESMITH_ASSIGN_OR_RETURN(Parts parts, PartsOf(model_path));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string source, ReadFile(path));
  return ChatTemplate::Create(source, path, std::move(parts.special_tokens));
}

}  // namespace tunesmith::trainer
