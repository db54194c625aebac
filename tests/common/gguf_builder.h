#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/gguf.h"

namespace tunesmith {

// Builds small GGUF files for tests, correct unless told otherwise.
class GgufBuilder {
 public:
  uint32_t version = 3;
  int64_t alignment_bytes = 32;  // of the tensors; the file says so only when
                                 // `Integer("general.alignment", ..)` is called

  void Integer(const std::string& key, int64_t value) { AddValue(key, 11, Raw(value)); }
  void Unsigned32(const std::string& key, uint32_t value) { AddValue(key, 4, Raw(value)); }
  void Float(const std::string& key, float value) { AddValue(key, 6, Raw(value)); }
  void Bool(const std::string& key, bool value) { AddValue(key, 7, std::string(1, value ? 1 : 0)); }
  void String(const std::string& key, const std::string& value) { AddValue(key, 8, Text(value)); }
  void Integers(const std::string& key, const std::vector<int32_t>& values) {
    std::string array = Raw<uint32_t>(5) + Raw<uint64_t>(values.size());
    for (const int32_t value : values) array += Raw(value);
    AddValue(key, 9, array);
  }
  void Strings(const std::string& key, const std::vector<std::string>& values) {
    std::string array = Raw<uint32_t>(8) + Raw<uint64_t>(values.size());
    for (const std::string& value : values) array += Text(value);
    AddValue(key, 9, array);
  }
  void Floats(const std::string& key, const std::vector<float>& values) {
    std::string array = Raw<uint32_t>(6) + Raw<uint64_t>(values.size());
    for (const float value : values) array += Raw(value);
    AddValue(key, 9, array);
  }
  // A value of any type, given as it lies in the file.
  void AddValue(const std::string& key, uint32_t type, const std::string& bytes) {
    values_.push_back(Text(key) + Raw(type) + bytes);
  }

  // `dims` fastest first, as in the file. Tensors follow each other, aligned.
  void Tensor(const std::string& name, const std::vector<uint64_t>& dims, GgmlType type,
              const std::string& bytes) {
    TensorAt(name, dims, static_cast<uint32_t>(type), data_.size());
    data_ += bytes;
    while (data_.size() % static_cast<size_t>(alignment_bytes) != 0) data_.push_back('\0');
  }
  void Tensor(const std::string& name, const std::vector<uint64_t>& dims,
              const std::vector<float>& values) {
    Tensor(name, dims, GgmlType::kF32,
           {reinterpret_cast<const char*>(values.data()), values.size() * 4});
  }
  // Only the tensor's description.
  void TensorAt(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                uint64_t offset) {
    std::string info = Text(name) + Raw(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) info += Raw(dim);
    tensors_.push_back(info + Raw(type) + Raw(offset));
  }

  std::string Build() const {
    std::string file =
        "GGUF" + Raw(version) + Raw<uint64_t>(tensors_.size()) + Raw<uint64_t>(values_.size());
    for (const std::string& value : values_) file += value;
    for (const std::string& tensor : tensors_) file += tensor;
    while (file.size() % static_cast<size_t>(alignment_bytes) != 0) file.push_back('\0');
    return file + data_;
  }

  template <typename T>
  static std::string Raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  static std::string Text(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }

 private:
  std::vector<std::string> values_;
  std::vector<std::string> tensors_;
  std::string data_;
};

}  // namespace tunesmith
