#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "planner/program/program.h"
#include "trainer/arena.h"

// What a rank has of tensors that ranks share. A tensor is named, typed and shaped as one rank alone would have it; of a bucket a rank may hold
// all or its shard.
namespace tunesmith::trainer {

// Bytes of a tensor, and where they lie.
struct Piece {
  int32_t buffer = -1;
  int64_t instance = 0;
  int64_t buffer_first = 0;  // bytes from the start of the buffer's instance
  int64_t tensor_first = 0;  // and of the tensor
  int64_t bytes = 0;
};

// Where this rank holds a weight, copies that the host updates included, or a parameter's master copy: none where it has no part of it.
std::vector<Piece> WeightPieces(const planner::Program& program, int64_t rank, int32_t buffer,
                                int64_t instance);
std::vector<Piece> MasterPieces(const planner::Program& program, int64_t rank, int32_t parameter,
                                int64_t instance);

// Writes what this rank holds of a weight, or of a master copy: `bytes` are of the whole tensor.
absl::Status WriteWeightPiece(Arena& arena, int32_t buffer, int64_t instance, const void* bytes);
absl::Status WriteMasterPiece(Arena& arena, int32_t parameter, int64_t instance, const void* bytes);

// Of a trained weight, or of what the optimizer keeps of it.
struct StateTensor {
  std::string name;  // the weight's, with ".moment1" and the like behind it
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  int64_t bytes = 0;  // of the whole tensor
  // What this rank holds, in its device's memory and its host's, and copies of that in the host's, to be written with it.
  std::vector<Piece> held;
  // Of what is held what this rank saves, so that every byte is saved by one rank, once.
  std::vector<Piece> saved;
};

// Of every trained weight, in a fixed order; on every rank the same tensors.
std::vector<StateTensor> StateTensorsOf(const planner::Program& program, int64_t rank);

// What `rank` holds of the gradients at the end of a step's micro-batches: for tests.
std::optional<Piece> GradientPiece(const planner::Program& program, int64_t rank, int32_t parameter,
                                   int64_t instance);

}  // namespace tunesmith::trainer
