#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/float_conversion.h"
#include "common/safetensors.h"
#include "planner/model/model_spec.h"
#include "tests/common/gguf_builder.h"
#include "tests/common/temporary_directory.h"
#include "trainer/model_io/tensor_names.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// Two layers; grouped queries; a head of its own.
inline planner::ModelSpec TinySpec() {
  planner::ModelSpec spec;
  spec.name = "tiny";
  spec.family = "llama";
  spec.layer_count = 2;
  spec.hidden_size = 32;
  spec.intermediate_size = 64;
  spec.head_count = 4;
  spec.kv_head_count = 2;
  spec.head_size = 8;
  spec.vocab_size = 40;
  spec.context_limit = 64;
  return spec;
}

inline std::vector<float> ReadTensor(const WeightSource& source, const std::string& name) {
  size_t count = 1;
  const std::vector<int64_t> shape = *source.Shape(name);
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count);
  EXPECT_TRUE(source.Read(name, absl::MakeSpan(values)).ok()) << name;
  return values;
}

// A safetensors file with the tensors of `source` that are in `tensors`.
inline void WriteSafetensors(const std::string& path, const WeightSource& source, DType dtype,
                             const std::vector<NamedShape>& tensors) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const NamedShape& tensor : tensors)
    declarations.push_back({tensor.name, dtype, tensor.shape});
  auto writer = SafetensorsWriter::Create(path, declarations);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const auto& declaration : std::vector(writer->order())) {
    std::string bytes;
    ASSERT_TRUE(BytesFromFloats(dtype, ReadTensor(source, declaration.name), &bytes).ok());
    ASSERT_TRUE(writer->Write(declaration.name, bytes).ok());
  }
  ASSERT_TRUE(writer->Commit().ok());
}

// What a converter to GGUF writes as metadata for `spec`.
inline void AddModelKeys(const planner::ModelSpec& spec, GgufBuilder& builder) {
  const std::string a = spec.family + ".";
  const auto u32 = [&](const std::string& key, int64_t value) {
    builder.Unsigned32(a + key, static_cast<uint32_t>(value));
  };
  builder.String("general.architecture", spec.family);
  u32("block_count", spec.layer_count);
  u32("context_length", spec.context_limit);
  u32("embedding_length", spec.hidden_size);
  u32("feed_forward_length", spec.intermediate_size);
  u32("attention.head_count", spec.head_count);
  u32("attention.head_count_kv", spec.kv_head_count);
  u32("rope.dimension_count", spec.head_size);
  builder.Float(a + "attention.layer_norm_rms_epsilon", static_cast<float>(spec.norm_epsilon));
  builder.Float(a + "rope.freq_base", static_cast<float>(spec.rope_theta));
}

// The rows of one q or k matrix as the converter orders them: view(heads, 2, head_size / 2,
// columns) with the middle axes swapped.
inline std::vector<float> PermuteRows(const std::vector<float>& values, int64_t heads,
                                      int64_t rows) {
  const size_t columns = values.size() / static_cast<size_t>(rows);
  const auto half = static_cast<size_t>(rows / heads / 2);
  std::vector<float> out;
  for (size_t head = 0; head < static_cast<size_t>(heads); ++head) {
    for (size_t pair = 0; pair < half; ++pair) {
      for (size_t part = 0; part < 2; ++part) {
        const size_t row = (head * 2 + part) * half + pair;
        out.insert(out.end(), values.begin() + static_cast<std::ptrdiff_t>(row * columns),
                   values.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
      }
    }
  }
  return out;
}

// Adds the tensors of `source` in F32.
inline void AddModelTensors(const WeightSource& source, GgufBuilder& builder) {
  const planner::ModelSpec& spec = source.spec();
  for (const NamedShape& tensor : TensorsOfModel(spec)) {
    std::vector<float> values = ReadTensor(source, tensor.name);
    const bool query = tensor.name.find("q_proj") != std::string::npos;
    const bool key = tensor.name.find("k_proj") != std::string::npos;
    if (spec.family == "llama" && (query || key)) {
      values = PermuteRows(values, query ? spec.head_count : spec.kv_head_count, tensor.shape[0]);
    }
    builder.Tensor(*GgufTensorName(tensor.name), {tensor.shape.rbegin(), tensor.shape.rend()},
                   values);
  }
}

}  // namespace tunesmith::trainer
