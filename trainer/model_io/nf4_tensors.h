#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/safetensors.h"
#include "trainer/ops/nf4.h"

namespace tunesmith::trainer {

// The matrices that bitsandbytes stored in 4 bits in a checkpoint. Under a matrix's name W lie its codes; beside it
//   W.absmax                               magnitudes of the blocks, f32, or their 8-bit codes
//   W.nested_absmax                        where there are codes: their scales, f32
//   W.quant_map, W.nested_quant_map        the numbers that codes stand for
//   W.quant_state.bitsandbytes__nf4        JSON as bytes: shape, sizes of blocks, the magnitudes' offset
// Thread-safe.
class Nf4Tensors {
 public:
  // All of `files`, which must outlive the result. INVALID_ARGUMENT names `where`, the tensor and what is wrong with it; UNIMPLEMENTED other 4-bit types,
  // sizes of blocks and numbers than those of trainer/ops/nf4.h.
  static absl::StatusOr<Nf4Tensors> Find(std::string_view where, const SafetensorsDirectory& files);

  // (rows, columns) of a matrix; nullptr where it is not stored in 4 bits.
  const std::vector<int64_t>* ShapeOf(std::string_view name) const;
  // Whether a tensor is one of those that lie beside a matrix's codes.
  bool IsPart(std::string_view name) const;
  // REQUIRES: ShapeOf(name) != nullptr.
  Nf4Weight Read(std::string_view name) const;

 private:
  struct Matrix {
    std::vector<int64_t> shape;
    SafetensorsDirectory::Entry codes, absmax;
    SafetensorsDirectory::Entry scales;  // with double quantization, else without a tensor
    float offset = 0;
  };
  static absl::StatusOr<Matrix> MatrixOf(const SafetensorsDirectory& files, const std::string& name,
                                         const std::string& where);

  std::map<std::string, Matrix, std::less<>> matrices_;
};

}  // namespace tunesmith::trainer
