#include <filesystem>
#include <utility>

#include "common/file.h"
#include "common/gguf.h"
#include "common/json.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/tokenizer_gguf.h"
#include "trainer/model_io/tokenizer_json.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

// An empty object where there is no such file.
absl::StatusOr<json> ParseFileIfThere(const std::string& path) {
  if (!std::filesystem::exists(path)) return json::object();
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

// The content of "bos_token": a string, an object with "content", or nothing.
std::string TokenText(const json& config, const char* field) {
  if (!config.is_object() || !config.contains(field)) return "";
  const json& value = config[field];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return "";
}

// "eos_token_id" of config.json: an id, or a list whose first counts.
std::optional<int32_t> ConfiguredId(const json& config, const char* field) {
  if (!config.is_object() || !config.contains(field)) return std::nullopt;
  const json& value = config[field];
  const json& first = value.is_array() && !value.empty() ? value[0] : value;
  if (!first.is_number_integer()) return std::nullopt;
  return static_cast<int32_t>(first.get<int64_t>());
}

absl::StatusOr<std::optional<int32_t>> FindSpecial(const TokenizerSpec& spec,
                                                   const json& tokenizer_config,
                                                   const json& model_config,
                                                   const std::string& name) {
  const std::string text = TokenText(tokenizer_config, name.c_str());
  if (text.empty()) return ConfiguredId(model_config, (name + "_id").c_str());
  if (const std::optional<int32_t> id = FindToken(spec, text)) return id;
  return absl::InvalidArgumentError(StrCat(spec.what, ": the ", name,
                                           " of tokenizer_config.json, \"", text,
                                           "\", is not in the vocabulary"));
}

absl::StatusOr<Tokenizer> OpenDirectory(const std::string& directory) {
  const std::string path = directory + "/tokenizer.json";
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TUNESMITH_ASSIGN_OR_RETURN(TokenizerSpec spec, TokenizerSpecFromJson(text, path));
  TUNESMITH_ASSIGN_OR_RETURN(const json tokenizer_config,
                             ParseFileIfThere(directory + "/tokenizer_config.json"));
  TUNESMITH_ASSIGN_OR_RETURN(const json model_config, ParseFileIfThere(directory + "/config.json"));
  TUNESMITH_ASSIGN_OR_RETURN(spec.bos_id,
                             FindSpecial(spec, tokenizer_config, model_config, "bos_token"));
  TUNESMITH_ASSIGN_OR_RETURN(spec.eos_id,
                             FindSpecial(spec, tokenizer_config, model_config, "eos_token"));
  return Tokenizer::Create(std::move(spec));
}

}  // namespace

absl::StatusOr<Tokenizer> OpenTokenizer(const std::string& path) {
  if (std::filesystem::is_directory(path)) return OpenDirectory(path);
  TUNESMITH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  TUNESMITH_ASSIGN_OR_RETURN(TokenizerSpec spec, TokenizerSpecFromGguf(file.header()));
  return Tokenizer::Create(std::move(spec));
}

}  // namespace tunesmith::trainer
