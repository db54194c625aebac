#include "common/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "common/float_conversion.h"

namespace tunesmith {
namespace {

using testing::HasSubstr;

std::string FileOf(const std::string& header, int64_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), 8);
  return file + header + std::string(static_cast<size_t>(data_bytes), 'x');
}

std::string WithLength(uint64_t length) {
  return std::string(reinterpret_cast<const char*>(&length), 8) + "{}";
}

TEST(SafetensorsTest, MalformedFilesAreRefusedWithTheReason) {
  const struct {
    std::string file;
    const char* message;
  } cases[] = {
      {"", "truncated: 0 bytes"},
      {"1234567", "truncated: 7 bytes"},
      {WithLength(0), "header length 0 is outside"},
      {WithLength(1), "header length 1 is outside"},
      {WithLength(100'000'001), "header length 100000001 is outside"},
      {WithLength(~uint64_t{0}), "header length 18446744073709551615"},
      {WithLength(3), "truncated: the header has 3 bytes, the file 10"},
      {FileOf("[]", 0), "does not begin with '{'"},
      {FileOf("{\"a\"", 0), "not valid JSON at line 1"},
      {FileOf("{\"\xff\": 1}", 0), "not valid JSON"},
      {FileOf(R"({"a": 1})", 0), "tensor a: expected an object"},
      {FileOf(R"({"a": {"shape": [1], "data_offsets": [0, 4]}})", 4), "\"dtype\" is missing"},
      {FileOf(R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", 4), "\"shape\" is missing"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1]}})", 4), "\"data_offsets\" is missing"},
      {FileOf(R"({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}})", 4),
       "dtype F31 is not known"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1.5], "data_offsets": [0, 4]}})", 4),
       "\"shape\" must be"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4),
       "is not a size"},
      {FileOf(
           R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}})",
           4),
       "is not a size that fits"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}})", 4),
       "needs 8 bytes, data_offsets span 4"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})", 4),
       "are not a range"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}})", 4),
       "are not a range"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})", 4),
       "are not a range"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", 3),
       "truncated: tensor a ends at data byte 4"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})", 5),
       "a hole: the tensors end at data byte 4"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})", 8),
       "a hole after byte 0"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                  "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}})",
              6),
       "an overlap before byte 4"},
      {FileOf(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                  "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})",
              8),
       "\"a\" occurs twice"},
      {FileOf(R"({"__metadata__": {"format": 1}})", 0), "__metadata__ format is not a string"},
      {FileOf(R"({"__metadata__": []})", 0), "__metadata__ is not an object"},
  };
  for (const auto& c : cases) {
    const auto result = ParseSafetensorsHeader(c.file, "f.safetensors");
    ASSERT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument) << c.message;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(c.message));
    EXPECT_THAT(std::string(result.status().message()), HasSubstr("f.safetensors"));
  }
}

TEST(SafetensorsTest, ScalarsAndEmptyTensorsAreFine) {
  const auto header = ParseSafetensorsHeader(
      FileOf(
          R"({"e": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]}, "s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}  )",
          4),
      "f");
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].byte_count, 0);
  EXPECT_EQ(header->tensors[1].byte_count, 4);
}

class SafetensorsFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "safetensors_test_" + std::to_string(::getpid());
    ASSERT_TRUE(MakeDirectories(directory_).ok());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  // A file with f32 tensors of one element each.
  void WriteScalars(const std::string& file, const std::map<std::string, float>& values) {
    std::vector<SafetensorsWriter::Declaration> declarations;
    for (const auto& [name, value] : values) declarations.push_back({name, DType::kF32, {1}});
    auto writer = SafetensorsWriter::Create(Path(file), declarations);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const auto& [name, value] : values) {
      ASSERT_TRUE(writer->Write(name, {reinterpret_cast<const char*>(&value), 4}).ok());
    }
    ASSERT_TRUE(writer->Commit().ok());
  }

  std::string directory_;
};

TEST_F(SafetensorsFilesTest, RoundTripOfMixedTypes) {
  const std::vector<float> values = {1.0f, -2.5f, 0.25f, 3e4f};
  auto writer = SafetensorsWriter::Create(Path("m"), {{"half", DType::kBF16, {2, 2}},
                                                      {"byte", DType::kU8, {3}},
                                                      {"b.full", DType::kF32, {4}},
                                                      {"empty", DType::kF32, {0}},
                                                      {"a.full", DType::kF32, {2, 2}}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_EQ(writer->order().front().name, "a.full");
  ASSERT_EQ(writer->order().back().name, "byte");
  std::string full;
  std::string half;
  ASSERT_TRUE(BytesFromFloats(DType::kF32, values, &full).ok());
  ASSERT_TRUE(BytesFromFloats(DType::kBF16, values, &half).ok());
  ASSERT_TRUE(writer->Write("a.full", full.substr(0, 5)).ok());
  EXPECT_FALSE(writer->Write("b.full", full).ok());
  EXPECT_FALSE(writer->Write("a.full", full).ok());
  ASSERT_TRUE(writer->Write("a.full", full.substr(5)).ok());
  ASSERT_TRUE(writer->Write("b.full", full).ok());
  ASSERT_TRUE(writer->Write("half", half).ok());
  EXPECT_FALSE(writer->Commit().ok());
  ASSERT_TRUE(writer->Write("byte", "xyz").ok());
  ASSERT_TRUE(writer->Commit().ok());

  const auto file = SafetensorsFile::Open(Path("m"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->header().metadata.at("format"), "pt");
  EXPECT_EQ(file->Find("a.full")->begin_bytes % 64, 0);
  EXPECT_EQ(file->Find("nothing"), nullptr);
  const SafetensorsTensor* tensor = file->Find("half");
  EXPECT_EQ(tensor->shape, (std::vector<int64_t>{2, 2}));
  std::vector<float> read(4);
  ASSERT_TRUE(FloatsFromBytes(tensor->dtype, file->Bytes(*tensor), absl::MakeSpan(read)).ok());
  EXPECT_EQ(read, (std::vector<float>{1.0f, -2.5f, 0.25f, 29952.0f}));
  EXPECT_EQ(file->Bytes(*file->Find("byte")), "xyz");
  EXPECT_EQ(FloatsFromBytes(DType::kI32, {}, {}).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(SafetensorsFilesTest, DeclarationsAreChecked) {
  EXPECT_FALSE(
      SafetensorsWriter::Create(Path("m"), {{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}})
          .ok());
  EXPECT_FALSE(SafetensorsWriter::Create(Path("m"), {{"a", DType::kF32, {-1}}}).ok());
  EXPECT_FALSE(std::filesystem::exists(Path("m")));
}

TEST_F(SafetensorsFilesTest, ShardsAreFoundThroughTheIndex) {
  EXPECT_EQ(SafetensorsDirectory::Open(directory_).status().code(), absl::StatusCode::kNotFound);
  WriteScalars("one.safetensors", {{"a", 1.0f}, {"b", 2.0f}});
  WriteScalars("two.safetensors", {{"c", 3.0f}});
  const std::string index = Path("model.safetensors.index.json");
  ASSERT_TRUE(
      WriteFileAtomically(
          index,
          R"({"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}})")
          .ok());
  const auto directory = SafetensorsDirectory::Open(directory_);
  ASSERT_TRUE(directory.ok()) << directory.status();
  ASSERT_EQ(directory->entries().size(), 3u);
  float c = 0;
  std::memcpy(&c, directory->entries().at("c").Bytes().data(), 4);
  EXPECT_EQ(c, 3.0f);

  const struct {
    const char* index;
    const char* message;
  } cases[] = {
      {R"({"weight_map": {"a": "one.safetensors", "d": "one.safetensors"}})",
       "tensor d is not in one.safetensors"},
      {R"({"weight_map": {"a": "three.safetensors"}})", "three.safetensors"},
      {R"({"weight_map": {"a": "../one.safetensors"}})",
       "is not a file name in the same directory"},
      {R"({"weight_map": {"a": 1}})", "\"a\" must be a string"},
      {R"({})", "\"weight_map\" is missing"},
  };
  for (const auto& c_case : cases) {
    ASSERT_TRUE(WriteFileAtomically(index, c_case.index).ok());
    EXPECT_THAT(std::string(SafetensorsDirectory::Open(directory_).status().message()),
                HasSubstr(c_case.message));
  }
}

}  // namespace
}  // namespace tunesmith
