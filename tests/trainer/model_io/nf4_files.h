#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/json.h"
#include "planner/model/family.h"
#include "tests/trainer/model_io/model_files.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer {

// A file's tensors by name, to be changed before they are written.
struct RawTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};
using RawTensors = std::map<std::string, RawTensor>;

template <typename T>
RawTensor RawOf(DType dtype, const T* values, size_t count) {
  return {dtype,
          {static_cast<int64_t>(count)},
          std::string(reinterpret_cast<const char*>(values), count * sizeof(T))};
}

// What bitsandbytes writes for a matrix of these rows, which are outputs.
inline void AddNf4(const std::string& name, const std::vector<int64_t>& shape,
                   const std::vector<float>& rows, bool twice, RawTensors* tensors) {
  const Nf4Weight w = QuantizeNf4(rows, twice);
  nlohmann::json state = {
      {"quant_type", "nf4"}, {"blocksize", 64}, {"dtype", "bfloat16"}, {"shape", shape}};
  (*tensors)[name] = RawOf(DType::kU8, w.codes.data(), w.codes.size());
  (*tensors)[name].shape.push_back(1);
  (*tensors)[name + ".quant_map"] = RawOf(DType::kF32, kNf4Values.data(), 16);
  if (twice) {
    state.update({{"nested_blocksize", 256},
                  {"nested_dtype", "float32"},
                  {"nested_offset", w.absmax_offset}});
    (*tensors)[name + ".absmax"] = RawOf(DType::kU8, w.absmax_codes.data(), w.absmax_codes.size());
    (*tensors)[name + ".nested_absmax"] =
        RawOf(DType::kF32, w.absmax_scales.data(), w.absmax_scales.size());
    (*tensors)[name + ".nested_quant_map"] = RawOf(DType::kF32, kSignedMap.values.data(), 256);
  } else {
    (*tensors)[name + ".absmax"] = RawOf(DType::kF32, w.absmax.data(), w.absmax.size());
  }
  const std::string text = state.dump();
  (*tensors)[name + ".quant_state.bitsandbytes__nf4"] = RawOf(DType::kU8, text.data(), text.size());
}

// The tensors of a checkpoint whose linear layers are stored in 4 bits.
inline RawTensors Nf4Checkpoint(const WeightSource& source, bool twice) {
  RawTensors tensors;
  for (const NamedShape& tensor : TensorsOfModel(source.spec())) {
    const std::vector<float> values = ReadTensor(source, tensor.name);
    if (tensor.role == planner::TensorRole::kProjection && !tensor.bias) {
      AddNf4(tensor.name, tensor.shape, values, twice, &tensors);
    } else {
      RawTensor& raw = tensors[tensor.name] = RawOf(DType::kF32, values.data(), values.size());
      raw.shape = tensor.shape;
    }
  }
  return tensors;
}

inline void WriteRaw(const std::string& path, const RawTensors& tensors) {
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& [name, tensor] : tensors)
    declarations.push_back({name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::Create(path, declarations);
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const auto& declaration : std::vector(writer->order()))
    ASSERT_TRUE(writer->Write(declaration.name, tensors.at(declaration.name).bytes).ok());
  ASSERT_TRUE(writer->Commit().ok());
}

// model.safetensors and a config.json that says how they were quantized.
inline void WriteNf4Model(const std::string& directory, const planner::ModelSpec& spec,
                          const RawTensors& tensors) {
  std::filesystem::create_directories(directory);
  WriteRaw(directory + "/model.safetensors", tensors);
  auto config = *ParseJson(planner::ConfigJsonFromModelSpec(spec), "config");
  config["quantization_config"] = {
      {"quant_method", "bitsandbytes"}, {"load_in_4bit", true}, {"bnb_4bit_quant_type", "nf4"}};
  ASSERT_TRUE(WriteFileAtomically(directory + "/config.json", config.dump()).ok());
}

}  // namespace tunesmith::trainer
