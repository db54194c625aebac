#include "trainer/model_io/model_writer.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/gguf.h"
#include "common/json.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/tokenizer_gguf.h"
#include "trainer/model_io/tokenizer_json.h"

namespace tunesmith::trainer {
namespace {

using nlohmann::json;

constexpr const char* kCopiedFiles[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "generation_config.json",
                                        "chat_template.jinja"};

absl::Status CopyFiles(const std::string& source, const std::string& directory) {
  for (const char* name : kCopiedFiles) {
    const std::string path = source + "/" + name;
    if (!std::filesystem::exists(path)) continue;
    TUNESMITH_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
    TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(directory + "/" + name, contents));
  }
  return absl::OkStatus();
}

json TokenizerConfig(const TokenizerSpec& spec, const GgufHeader& header) {
  json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  if (spec.bos_id.has_value()) config["bos_token"] = spec.tokens[static_cast<size_t>(*spec.bos_id)];
  if (spec.eos_id.has_value()) config["eos_token"] = spec.tokens[static_cast<size_t>(*spec.eos_id)];
  if (const auto text = header.String("tokenizer.chat_template"); text.ok())
    config["chat_template"] = *text;
  return config;
}

absl::Status WriteFromGguf(const std::string& source, const std::string& directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(source));
  TUNESMITH_ASSIGN_OR_RETURN(const TokenizerSpec spec, TokenizerSpecFromGguf(file.header()));
  TUNESMITH_RETURN_IF_ERROR(
      WriteFileAtomically(directory + "/tokenizer.json", TokenizerJsonFromSpec(spec)));
  return WriteFileAtomically(directory + "/tokenizer_config.json",
                             FormatJson(TokenizerConfig(spec, file.header())));
}

size_t ElementCount(const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

}  // namespace

absl::Status WriteModel(const std::string& directory, const planner::ModelSpec& spec, DType dtype,
                        TensorReader read) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (NamedShape& tensor : TensorsOfModel(spec))
    declarations.push_back({std::move(tensor.name), dtype, std::move(tensor.shape)});
  TUNESMITH_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(directory + "/model.safetensors", std::move(declarations)));
  std::vector<float> values;
  std::string bytes;
  for (const SafetensorsWriter::Declaration& tensor : writer.order()) {
    values.resize(ElementCount(tensor.shape));
    TUNESMITH_RETURN_IF_ERROR(read(tensor.name, absl::MakeSpan(values)));
    TUNESMITH_RETURN_IF_ERROR(BytesFromFloats(dtype, values, &bytes));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(tensor.name, bytes));
  }
  TUNESMITH_RETURN_IF_ERROR(writer.Commit());
  return WriteFileAtomically(directory + "/config.json", planner::ConfigJsonFromModelSpec(spec));
}

absl::Status WriteTokenizerFiles(const std::string& source, const std::string& directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  return std::filesystem::is_directory(source) ? CopyFiles(source, directory)
                                               : WriteFromGguf(source, directory);
}

}  // namespace tunesmith::trainer
