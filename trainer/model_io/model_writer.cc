#include "trainer/model_io/model_writer.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
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
                                        "tokenizer.model",
                                        "chat_template.json",
                                        "chat_template.jinja"};

// What another tokenizer left in the directory would be read beside this one, or before it.
void RemoveLeftover(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
}

absl::Status CopyFiles(const std::string& source, const std::string& directory) {
  for (const char* name : kCopiedFiles) {
    const std::string path = source + "/" + name;
    if (!std::filesystem::exists(path)) {
      RemoveLeftover(directory + "/" + name);
      continue;
    }
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
  for (const char* name : kCopiedFiles) RemoveLeftover(directory + "/" + name);
  TUNESMITH_RETURN_IF_ERROR(
      WriteFileAtomically(directory + "/tokenizer.json", TokenizerJsonFromSpec(spec)));
  return WriteFileAtomically(directory + "/tokenizer_config.json",
                             FormatJson(TokenizerConfig(spec, file.header())));
}

constexpr const char* kSingleFile = "/model.safetensors";
constexpr const char* kIndexFile = "/model.safetensors.index.json";

size_t ElementCount(const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

using Shard = std::vector<SafetensorsWriter::Declaration>;

int64_t BytesOf(const SafetensorsWriter::Declaration& tensor) {
  return static_cast<int64_t>(ElementCount(tensor.shape)) * SizeOf(tensor.dtype);
}

int64_t BytesOf(const std::vector<Shard>& shards) {
  int64_t bytes = 0;
  for (const Shard& shard : shards)
    for (const SafetensorsWriter::Declaration& tensor : shard) bytes += BytesOf(tensor);
  return bytes;
}

// The tensors in the model's order, a new shard where the next would not fit.
std::vector<Shard> ShardsOf(const planner::ModelSpec& spec, DType dtype, int64_t shard_bytes) {
  std::vector<Shard> shards;
  int64_t room = 0;
  for (NamedShape& tensor : TensorsOfModel(spec)) {
    SafetensorsWriter::Declaration declared{std::move(tensor.name), dtype, std::move(tensor.shape)};
    const int64_t size = BytesOf(declared);
    if (shards.empty() || size > room) {
      shards.emplace_back();
      room = shard_bytes;
    }
    room -= size;
    shards.back().push_back(std::move(declared));
  }
  return shards;
}

std::string ShardName(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  return absl::StrFormat("model-%05d-of-%05d.safetensors", index + 1, count);
}

// So that no second copy of a large tensor is made.
absl::Status WriteInPieces(const SafetensorsWriter::Declaration& tensor,
                           absl::Span<const float> values, SafetensorsWriter& writer) {
  constexpr size_t kPieceElements = size_t{1} << 20;
  std::string bytes;
  for (size_t begin = 0; begin < values.size(); begin += kPieceElements) {
    TUNESMITH_RETURN_IF_ERROR(
        BytesFromFloats(tensor.dtype, values.subspan(begin, kPieceElements), &bytes));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(tensor.name, bytes));
  }
  return absl::OkStatus();
}

absl::Status WriteShard(const std::string& path, const Shard& shard, TensorReader read) {
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(path, shard));
  for (const SafetensorsWriter::Declaration& tensor : writer.order()) {
    std::vector<float> values(ElementCount(tensor.shape));
    TUNESMITH_RETURN_IF_ERROR(read(tensor.name, absl::MakeSpan(values)));
    TUNESMITH_RETURN_IF_ERROR(WriteInPieces(tensor, values, writer));
  }
  return writer.Commit();
}

// In the spelling before transformers 5, which version 5 reads too. Without a dtype, both would load the model in fp32.
absl::Status WriteConfig(const std::string& path, const planner::ModelSpec& spec, DType dtype) {
  TUNESMITH_ASSIGN_OR_RETURN(json config, ParseJson(planner::ConfigJsonFromModelSpec(spec), path));
  config["torch_dtype"] = dtype == DType::kBF16 ? "bfloat16" : "float32";
  return WriteFileAtomically(path, FormatJson(config));
}

}  // namespace

absl::Status WriteModel(const std::string& directory, const planner::ModelSpec& spec, DType dtype,
                        TensorReader read, int64_t shard_bytes) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  const std::vector<Shard> shards = ShardsOf(spec, dtype, shard_bytes);
  json weight_map = json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = ShardName(i, shards.size());
    for (const SafetensorsWriter::Declaration& tensor : shards[i]) weight_map[tensor.name] = name;
    TUNESMITH_RETURN_IF_ERROR(WriteShard(directory + "/" + name, shards[i], read));
  }
  if (shards.size() > 1) {
    const json index = {{"metadata", {{"total_size", BytesOf(shards)}}},
                        {"weight_map", std::move(weight_map)}};
    TUNESMITH_RETURN_IF_ERROR(WriteFileAtomically(directory + kIndexFile, FormatJson(index)));
  }
  // What an older model left here would be read instead, or beside.
  std::error_code ignored;
  std::filesystem::remove(directory + (shards.size() > 1 ? kSingleFile : kIndexFile), ignored);
  return WriteConfig(directory + "/config.json", spec, dtype);
}

absl::Status WriteTokenizerFiles(const std::string& source, const std::string& directory) {
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  return std::filesystem::is_directory(source) ? CopyFiles(source, directory)
                                               : WriteFromGguf(source, directory);
}

}  // namespace tunesmith::trainer
