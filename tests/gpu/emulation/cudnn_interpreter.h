#pragma once

#include <cudnn_graph.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

// What cuDNN's descriptors say, and graphs computed from it, one operation after the other. For tests.
namespace tunesmith::emulation {

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  std::map<int, std::vector<std::byte>> attributes;

  bool Has(cudnnBackendAttributeName_t name) const { return attributes.count(name) > 0; }
  // REQUIRES: it was set, as values of T.
  template <typename T>
  std::vector<T> All(cudnnBackendAttributeName_t name) const {
    const std::vector<std::byte>& bytes = attributes.at(name);
    const T* const first = reinterpret_cast<const T*>(bytes.data());
    return std::vector<T>(first, first + bytes.size() / sizeof(T));
  }
  template <typename T>
  T One(cudnnBackendAttributeName_t name) const {
    return All<T>(name).at(0);
  }
  const Descriptor* Part(cudnnBackendAttributeName_t name) const { return One<Descriptor*>(name); }
};

// Computes in double; results are rounded to their dtypes. Tensors in memory are read where an operation needs them, and written as they are computed. Ends the process
// where a graph has what no graph of the project has.
void Interpret(const Descriptor& graph, const std::map<int64_t, std::byte*>& addresses);

}  // namespace tunesmith::emulation
