#include "trainer/model_io/model_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/json.h"
#include "tests/trainer/model_io/model_files.h"
#include "trainer/model_io/tokenizer.h"

namespace tunesmith::trainer {
namespace {

constexpr char kTokenizer[] =
    "tests/trainer/model_io/testdata/smollm";  // tests run in the root of the tree

TEST(ModelWriterTest, WhatIsWrittenOpensAgain) {
  const TemporaryDirectory directory;
  const auto model = RandomModel(TinySpec(), 4);
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    return model->Read(name, out);
  };
  ASSERT_TRUE(WriteModel(directory.File("out"), model->spec(), DType::kF32, read).ok());
  const auto opened = OpenModel(directory.File("out"));
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (const NamedShape& tensor : TensorsOfModel(TinySpec())) {
    EXPECT_EQ(ReadTensor(**opened, tensor.name), ReadTensor(*model, tensor.name));
  }
}

TEST(ModelWriterTest, ALargeModelIsWrittenInShards) {
  const TemporaryDirectory directory;
  const auto model = RandomModel(TinySpec(), 4);
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    return model->Read(name, out);
  };
  const std::string out = directory.File("out");
  ASSERT_TRUE(WriteModel(out, model->spec(), DType::kF32, read).ok());
  ASSERT_TRUE(WriteModel(out, model->spec(), DType::kF32, read, 4000).ok());
  EXPECT_FALSE(std::filesystem::exists(out + "/model.safetensors"));
  const auto index = *ParseJson(*ReadFile(out + "/model.safetensors.index.json"), "index");
  int64_t bytes = 0;
  for (const NamedShape& tensor : TensorsOfModel(TinySpec())) {
    int64_t size = 4;
    for (const int64_t dim : tensor.shape) size *= dim;
    bytes += size;
    const std::string file = index["weight_map"][tensor.name].get<std::string>();
    EXPECT_EQ(file.find("model-000"), 0u) << file;
    EXPECT_LE(std::filesystem::file_size(out + "/" + file), std::max<size_t>(4000, size) + 4000);
  }
  EXPECT_EQ(index["metadata"]["total_size"].get<int64_t>(), bytes);
  const auto opened = OpenModel(out);
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (const NamedShape& tensor : TensorsOfModel(TinySpec()))
    EXPECT_EQ(ReadTensor(**opened, tensor.name), ReadTensor(*model, tensor.name));
  ASSERT_TRUE(WriteModel(out, model->spec(), DType::kF32, read).ok());
  EXPECT_FALSE(std::filesystem::exists(out + "/model.safetensors.index.json"));
  EXPECT_TRUE(OpenModel(out).ok());
}

TEST(ModelWriterTest, AFailingReaderLeavesNoModel) {
  const TemporaryDirectory directory;
  const auto fail = [](std::string_view, absl::Span<float>) { return absl::InternalError("no"); };
  EXPECT_FALSE(WriteModel(directory.path(), TinySpec(), DType::kBF16, fail).ok());
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(ModelWriterTest, TokenizerFilesAreCopied) {
  const TemporaryDirectory directory;
  ASSERT_TRUE(WriteTokenizerFiles(kTokenizer, directory.File("out")).ok());
  EXPECT_EQ(*ReadFile(directory.File("out/tokenizer.json")),
            *ReadFile(std::string(kTokenizer) + "/tokenizer.json"));
}

// Of what another tokenizer left, some would be read before what is written.
TEST(ModelWriterTest, ATokenizerReplacesAnother) {
  const TemporaryDirectory directory;
  for (const char* name : {"chat_template.jinja", "added_tokens.json", "mine.txt"})
    ASSERT_TRUE(WriteFileAtomically(directory.File(name), "left").ok());
  ASSERT_TRUE(WriteTokenizerFiles(kTokenizer, directory.path()).ok());
  EXPECT_FALSE(std::filesystem::exists(directory.File("chat_template.jinja")));
  EXPECT_FALSE(std::filesystem::exists(directory.File("added_tokens.json")));
  EXPECT_EQ(*ReadFile(directory.File("mine.txt")), "left");
}

TEST(ModelWriterTest, TheConfigurationSaysTheDtype) {
  const TemporaryDirectory directory;
  const auto model = RandomModel(TinySpec(), 4);
  const auto read = [&](std::string_view name, absl::Span<float> out) {
    return model->Read(name, out);
  };
  for (const auto& [dtype, name] :
       {std::pair(DType::kF32, "float32"), {DType::kBF16, "bfloat16"}}) {
    ASSERT_TRUE(WriteModel(directory.path(), model->spec(), dtype, read).ok());
    EXPECT_EQ((*ParseJson(*ReadFile(directory.File("config.json")), "config"))["torch_dtype"],
              name);
  }
}

TEST(ModelWriterTest, TokenizerFilesAreMadeFromGguf) {
  const TemporaryDirectory directory;
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "gpt2");
  builder.String("tokenizer.ggml.pre", "smollm");
  builder.Strings("tokenizer.ggml.tokens", {"a", "b", "ab", "<s>"});
  builder.Integers("tokenizer.ggml.token_type", {1, 1, 1, 3});
  builder.Strings("tokenizer.ggml.merges", {"a b"});
  builder.Unsigned32("tokenizer.ggml.eos_token_id", 3);
  builder.String("tokenizer.chat_template", "{{ messages }}");
  ASSERT_TRUE(WriteFileAtomically(directory.File("m.gguf"), builder.Build()).ok());
  ASSERT_TRUE(WriteTokenizerFiles(directory.File("m.gguf"), directory.File("out")).ok());
  const auto tokenizer = OpenTokenizer(directory.File("out"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT(*tokenizer->Encode("ab<s>b", false), testing::ElementsAre(2, 3, 1));
  EXPECT_EQ(tokenizer->eos_id(), 3);
  const auto config = ParseJson(*ReadFile(directory.File("out/tokenizer_config.json")), "config");
  EXPECT_EQ((*config)["chat_template"], "{{ messages }}");
}

}  // namespace
}  // namespace tunesmith::trainer
