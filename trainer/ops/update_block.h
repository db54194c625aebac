#pragma once

#include <array>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "planner/program/op.h"
#include "trainer/ops/op_call.h"
#include "trainer/thread_pool.h"

// How the CPU's optimizer ops read and write what is not stored as they compute: blocks of kStateBlockSize elements, widened to f32 on
// the stack and stored again by their dtype's rule.
namespace tunesmith::trainer::cpu {

using UpdateBlock = std::array<float, planner::kStateBlockSize>;

// Elements [begin, begin + count) of a tensor. REQUIRES: begin is a multiple of the block size, count at most it.
struct BlockRange {
  int64_t begin = 0;
  int64_t count = 0;
  int64_t element = 0;  // of the parameter, that `begin` is: what keys random bits
};

// Elements stored in f32 or bf16.
void LoadBlock(const Tensor& tensor, BlockRange range, UpdateBlock& values);

// Which of an element's random bits a store uses: those of one element are independent.
enum class RandomSlice { kParameter, kMoment1, kMoment2 };

// In f32 as they are, in bf16 rounded to nearest even.
void StoreBlock(const UpdateBlock& values, BlockRange range, const Tensor& tensor);
// In f32 as they are, in bf16 rounded stochastically by bits of RandomBits(key, element).
void StoreBlockStochastic(const UpdateBlock& values, BlockRange range, uint64_t key,
                          RandomSlice slice, const Tensor& tensor);

// An updated parameter: to its master and, rounded to nearest, to the parameter; or, where it has no master, to itself, stochastically.
void StoreParameter(const UpdateBlock& values, BlockRange range, uint64_t key,
                    const Tensor& parameter, const Tensor& master);

// The key of a parameter's random bits in this step; 0 where `step_key` has no data, and nothing is rounded stochastically.
uint64_t UpdateKey(const Tensor& step_key, uint64_t parameter_key, int64_t instance);

// function(range) for the blocks of `count` elements, of which the first is `first_element` of the parameter, on the pool.
void ForEachBlock(ThreadPool& threads, int64_t count, int64_t first_element,
                  absl::FunctionRef<void(BlockRange range)> function);

// Moments stored in 8 bits (dynamic_map.h); `scale` holds one f32 per block.
void LoadSignedCodes(const Tensor& codes, const Tensor& scale, BlockRange range,
                     UpdateBlock& values);
void LoadUnsignedCodes(const Tensor& codes, const Tensor& scale, BlockRange range,
                       UpdateBlock& values);
void StoreSignedCodes(const UpdateBlock& values, BlockRange range, const Tensor& codes,
                      const Tensor& scale);
void StoreUnsignedCodes(const UpdateBlock& values, BlockRange range, const Tensor& codes,
                        const Tensor& scale);

}  // namespace tunesmith::trainer::cpu
