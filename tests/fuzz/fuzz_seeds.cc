// Writes a few valid inputs for each fuzz target: fuzz_seeds DIRECTORY.
#include <iostream>
#include <string>

#include "common/file.h"
#include "common/safetensors.h"
#include "tests/common/gguf_builder.h"
#include "trainer/model_io/tokenizer_json.h"

namespace tunesmith {
namespace {

absl::Status WriteSafetensorsSeed(const std::string& path) {
  auto writer =
      SafetensorsWriter::Create(path, {{"a", DType::kF32, {2, 1}}, {"b", DType::kBF16, {1}}});
  if (!writer.ok()) return writer.status();
  absl::Status status = writer->Write("a", std::string(8, '\1'));
  status.Update(writer->Write("b", "xy"));
  status.Update(writer->Commit());
  return status;
}

std::string GgufSeed() {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", "smollm");
  builder.Strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>"});
  builder.Integers("tokenizer.ggml.token_type", {1, 1, 1, 3});
  builder.Strings("tokenizer.ggml.merges", {"a b"});
  builder.Unsigned32("tokenizer.ggml.bos_token_id", 3);
  builder.Bool("tokenizer.ggml.add_bos_token", true);
  builder.Float("ratio", 0.5f);
  builder.Tensor("x", {2}, {1.0f, 2.0f});
  builder.Tensor("q", {32}, GgmlType::kQ4_1, std::string(20, '\1'));
  return builder.Build();
}

std::string TokenizerSeed() {
  trainer::TokenizerSpec spec;
  spec.tokens = {"a", "b", "ab", "<s>"};
  spec.merges = {{"a", "b"}};
  spec.added_tokens = {{.id = 3, .content = "<s>", .special = true}};
  spec.splits = {{"\\p{N}"}, {trainer::kGpt2Pattern}};
  spec.prefix_ids = {3};
  spec.normalizes_nfc = true;
  return trainer::TokenizerJsonFromSpec(spec);
}

absl::Status WriteSeeds(const std::string& directory) {
  absl::Status status;
  for (const char* name : {"safetensors", "gguf", "tokenizer_json", "jsonl"}) {
    status.Update(MakeDirectories(directory + "/" + name));
  }
  status.Update(WriteSafetensorsSeed(directory + "/safetensors/seed"));
  status.Update(WriteFileAtomically(directory + "/gguf/seed", GgufSeed()));
  status.Update(WriteFileAtomically(directory + "/tokenizer_json/seed", TokenizerSeed()));
  status.Update(WriteFileAtomically(directory + "/jsonl/text",
                                    "{\"text\": \"a\"}\n{\"text\": \"b\\u00e9\"}\n"));
  status.Update(WriteFileAtomically(directory + "/jsonl/pair",
                                    "{\"prompt\": \"a\", \"completion\": \"b\"}\n"));
  return status;
}

}  // namespace
}  // namespace tunesmith

int main(int argc, char** argv) {
  const absl::Status status = argc == 2 ? tunesmith::WriteSeeds(argv[1])
                                        : absl::InvalidArgumentError("usage: fuzz_seeds DIRECTORY");
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
