#include "common/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "common/dtype.h"
#include "tests/common/gguf_builder.h"

namespace tunesmith {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(GgufTest, ValuesAndTensorsAreRead) {
  GgufBuilder builder;
  builder.version = 2;
  builder.Integer("general.alignment", 64);
  builder.alignment_bytes = 64;
  builder.Unsigned32("count", 7);
  builder.Float("ratio", 0.5f);
  builder.Bool("flag", true);
  builder.String("name", "x\0y");
  builder.Integers("ints", {-1, 2});
  builder.Strings("strings", {"", "ab"});
  builder.AddValue("i8", 1, "\xff");
  builder.Tensor("b", {3}, {1.0f, 2.0f, 3.0f});
  builder.Tensor("a", {2, 1}, {4.0f, 5.0f});
  const std::string path = testing::TempDir() + "gguf_test_" + std::to_string(::getpid());
  ASSERT_TRUE(WriteFileAtomically(path, builder.Build()).ok());
  const auto file = GgufFile::Open(path);
  ::unlink(path.c_str());
  ASSERT_TRUE(file.ok()) << file.status();
  const GgufHeader& header = file->header();
  EXPECT_EQ(*header.Integer("count"), 7);
  EXPECT_EQ(*header.Integer("i8"), -1);
  EXPECT_EQ(*header.Number("ratio"), 0.5);
  EXPECT_EQ(*header.Number("count"), 7.0);
  EXPECT_TRUE(**header.Find<bool>("flag"));
  EXPECT_EQ(*header.String("name"), "x");
  EXPECT_THAT(**header.Find<std::vector<int64_t>>("ints"), ElementsAre(-1, 2));
  EXPECT_THAT(**header.Find<std::vector<std::string>>("strings"), ElementsAre("", "ab"));
  EXPECT_THAT(std::string(header.Integer("absent").status().message()),
              HasSubstr("key absent is missing"));
  EXPECT_THAT(std::string(header.Integer("name").status().message()),
              HasSubstr("key name has another type"));
  const GgufTensor* tensor = header.FindTensor("a");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(1, 2));
  EXPECT_EQ(tensor->ElementCount(), 2);
  std::vector<float> out(2);
  Dequantize(tensor->type, file->Bytes(*tensor), absl::MakeSpan(out));
  EXPECT_THAT(out, ElementsAre(4.0f, 5.0f));
  EXPECT_EQ(header.FindTensor("c"), nullptr);
}

std::string With(const std::function<void(GgufBuilder&)>& change) {
  GgufBuilder builder;
  change(builder);
  return builder.Build();
}

TEST(GgufTest, MalformedFilesAreRefusedWithTheReason) {
  const std::string huge = GgufBuilder::Raw<uint64_t>(uint64_t{1} << 60);
  const struct {
    std::string file;
    const char* message;
  } cases[] = {
      {"", "does not begin with \"GGUF\""},
      {"GGML0000", "does not begin with \"GGUF\""},
      {"GGUF", "truncated"},
      {With([](auto& b) { b.version = 1; }), "GGUF version 1;"},
      {With([](auto& b) { b.version = 0x03000000; }), "a big-endian file"},
      {"GGUF" + GgufBuilder::Raw<uint32_t>(3) + huge + huge, "tensors do not fit"},
      {"GGUF" + GgufBuilder::Raw<uint32_t>(3) + GgufBuilder::Raw<uint64_t>(0) + huge,
       "metadata values do not fit"},
      {With([](auto& b) { b.String("k", "v"); }).substr(0, 40), "truncated"},
      {With([&](auto& b) { b.AddValue("k", 8, huge); }), "bytes of a string do not fit"},
      {With([&](auto& b) { b.AddValue("k", 9, GgufBuilder::Raw<uint32_t>(8) + huge); }),
       "elements of an array do not fit"},
      {With([&](auto& b) {
         b.AddValue("k", 9, GgufBuilder::Raw<uint32_t>(9) + GgufBuilder::Raw<uint64_t>(0));
       }),
       "value type 9 is not known here"},
      {With([](auto& b) { b.AddValue("k", 77, ""); }), "value type 77"},
      {With([](auto& b) { b.AddValue("k", 7, "\2"); }), "the bool 2"},
      {With([](auto& b) { b.AddValue("k", 10, std::string(8, '\xff')); }), "more than 63 bits"},
      {With([](auto& b) { b.Integer("k", 1), b.Integer("k", 1); }), "the key k occurs twice"},
      {With([](auto& b) { b.Integer("general.alignment", 24); }),
       "general.alignment 24 is not a power of two"},
      {With([](auto& b) { b.Integer("general.alignment", 0); }),
       "general.alignment 0 is not a power of two"},
      {With([](auto& b) { b.String("general.alignment", "x"); }), "another type"},
      {With([](auto& b) {
         b.TensorAt("t", {1, 1, 1, 1, 1}, 0, 0);
       }),
       "tensor t: 5 dims"},
      {With([](auto& b) { b.TensorAt("t", {0}, 0, 0); }), "tensor t: a dim is 0"},
      {With([](auto& b) { b.TensorAt("t", {1}, 12, 0); }), "tensor t has ggml type 12"},
      {With([](auto& b) { b.TensorAt("t", {1}, 0, 4); }), "its offset 4 is not a multiple of 32"},
      {With([](auto& b) { b.TensorAt("t", {33}, 2, 0); }),
       "rows of 33 elements are not whole blocks of 32"},
      {With([](auto& b) {
         b.TensorAt("t", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0);
       }),
       "is not a size that fits"},
      {With([](auto& b) { b.TensorAt("t", {1}, 0, uint64_t{1} << 62); }),
       "truncated: tensor t has 4 bytes"},
      {With([](auto& b) { b.TensorAt("t", {1}, 0, 0); }), "truncated: tensor t"},
      {With([](auto& b) {
         b.Tensor("a", {16}, std::vector<float>(16)), b.TensorAt("b", {1}, 0, 32);
       }),
       "overlaps the one before"},
      {With([](auto& b) { b.Tensor("a", {1}, {0.f}), b.Tensor("a", {1}, {0.f}); }),
       "the tensor a occurs twice"},
  };
  for (const auto& c : cases) {
    const auto result = ParseGgufHeader(c.file, "f.gguf");
    ASSERT_FALSE(result.ok()) << c.message;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("f.gguf"));
  }
}

TEST(GgufTest, EveryPrefixOfAFileIsRefused) {
  GgufBuilder builder;
  builder.String("name", "x");
  builder.Strings("strings", {"a", "b"});
  builder.Tensor("t", {8}, std::vector<float>(8, 1.0f));
  const std::string file = builder.Build();
  ASSERT_TRUE(ParseGgufHeader(file, "f").ok());
  for (size_t size = 0; size < file.size(); ++size)
    EXPECT_FALSE(ParseGgufHeader(file.substr(0, size), "f").ok()) << size;
}

// One block whose expected values follow from the format's definition.
TEST(GgufTest, BlocksAreDequantized) {
  const std::string half = GgufBuilder::Raw(F16FromFloat(0.5f));
  const std::string three = GgufBuilder::Raw(F16FromFloat(3.0f));
  std::string nibbles;
  std::string bytes;
  for (int i = 0; i < 16; ++i) nibbles.push_back(static_cast<char>(i | ((15 - i) << 4)));
  for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<char>(i * 8 - 128));
  std::vector<float> q4_0(32), q4_1(32), q8_0(64);
  Dequantize(GgmlType::kQ4_0, half + nibbles, absl::MakeSpan(q4_0));
  Dequantize(GgmlType::kQ4_1, half + three + nibbles, absl::MakeSpan(q4_1));
  Dequantize(GgmlType::kQ8_0, half + bytes + three + bytes, absl::MakeSpan(q8_0));
  for (int i = 0; i < 32; ++i) {
    const int nibble = i < 16 ? i : 31 - i;
    const auto at = static_cast<size_t>(i);
    EXPECT_EQ(q4_0[at], 0.5f * static_cast<float>(nibble - 8));
    EXPECT_EQ(q4_1[at], 0.5f * static_cast<float>(nibble) + 3.0f);
    EXPECT_EQ(q8_0[at], 0.5f * static_cast<float>(i * 8 - 128));
    EXPECT_EQ(q8_0[at + 32], 3.0f * static_cast<float>(i * 8 - 128));
  }
  std::vector<float> small(1);
  Dequantize(GgmlType::kBF16, GgufBuilder::Raw(Bf16FromFloat(1.5f)), absl::MakeSpan(small));
  EXPECT_EQ(small[0], 1.5f);
  Dequantize(GgmlType::kF16, half, absl::MakeSpan(small));
  EXPECT_EQ(small[0], 0.5f);
}

}  // namespace
}  // namespace tunesmith
