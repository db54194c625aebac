#pragma once

#include "trainer/cuda/kernel.cuh"

// Rows of a matrix dealt to threads: what the ops that work row by row have in common. Row r of `packs` packs begins at packs * r.
namespace tunesmith::trainer {

// A thread keeps so many packs of a row in registers: together 32 KiB of it, which leaves each thread 128 registers.
inline constexpr int kHeldPacks = 4;
inline constexpr int kMaxRowThreads = 512;

struct RowPlace {
  int64_t row;
  int thread, threads;  // this one of those that have the row
};

// How many threads a row gets: a power of two, so that sums over them go by halves. Rows of few threads share a block.
struct RowThreads {
  int bits;  // log2 of the threads of a row

  __host__ __device__ int count() const { return 1 << bits; }
  int block_size() const { return count() > kWarpSize ? count() : kBlockSize; }

  LaunchShape ShapeFor(int64_t rows) const {
    return {BlockCount(rows, block_size() / count()), dim3(block_size())};
  }
  // The row may be beyond the last one.
  __device__ RowPlace Place() const {
    const int64_t rows_per_block = blockDim.x >> bits;
    return {blockIdx.x * rows_per_block + (threadIdx.x >> bits),
            static_cast<int>(threadIdx.x) & (count() - 1), count()};
  }
};

// Within a warp while that suffices, for sums need no barrier there; then so many that they hold the row.
inline RowThreads RowThreadsFor(int64_t pack_count) {
  RowThreads threads = {0};
  while (threads.count() < kWarpSize && threads.count() < pack_count) ++threads.bits;
  while (threads.count() < kMaxRowThreads && kHeldPacks * threads.count() < pack_count)
    ++threads.bits;
  return threads;
}

// Rows in packs of N, and the threads that have them.
template <typename T, int N>
struct RowPacks {
  RowThreads threads;
  int64_t count;  // of rows
  int packs;      // of a row

  LaunchShape launch_shape() const { return threads.ShapeFor(count); }
};

// visitor(RowPacks<T, N>) for `count` rows of `width` elements, whose packs are of 16 bytes where the width and the addresses allow. Nothing where there are no elements.
template <typename Visitor>
absl::Status VisitRows(DType dtype, int64_t count, int64_t width,
                       std::initializer_list<const void*> addresses, Visitor visitor) {
  if (count * width == 0) return absl::OkStatus();
  return VisitFloat(dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, addresses, [&](auto pack) {
      const int64_t packs = width / pack.value;
      return visitor(RowPacks<T, pack.value>{RowThreadsFor(packs), count, static_cast<int>(packs)});
    });
  });
}

// One row each of kRows matrices, or what they share, as a thread sees them: it reads its packs at once, keeps them, and goes over them any number of times. What is
// beyond kHeldPacks is read from memory each time; so outputs may be in a row's storage, as each thread writes only what it has read. Outputs that are added to are
// rows, too: the compiler moves no load before a store, which may be to the same place, and a loop of both would wait for memory in each of its turns.
// The last kOptional rows may be null: their packs hold anything.
template <typename T, int N, int kRows, int kOptional = 0>
class HeldRows {
 public:
  using Packs = Pack<T, N>[kRows];

  __device__ HeldRows(const Pack<T, N>* const (&rows)[kRows], int count, const RowPlace& place)
      : count_(count), first_(place.thread), step_(place.threads) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) rows_[r] = rows[r];
#pragma unroll
    for (int j = 0; j < kHeldPacks; ++j) {
      if (IndexOf(j) >= count_) continue;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (Exists(r)) held_[j][r] = LoadedPack<T, N>(rows_[r][IndexOf(j)]);
      }
    }
  }

  // f(index in the row, packs of the rows there) for each of this thread's.
  template <typename F>
  __device__ void ForEach(F f) {
#pragma unroll
    for (int j = 0; j < kHeldPacks; ++j) {
      if (IndexOf(j) >= count_) continue;
      Packs packs;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        held_[j][r].Forget();
        packs[r] = held_[j][r].Unpacked();
      }
      f(IndexOf(j), packs);
    }
    for (int i = IndexOf(kHeldPacks); i < count_; i += step_) {
      Packs packs;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (Exists(r)) packs[r] = rows_[r][i];
      }
      f(i, packs);
    }
  }

 private:
  __device__ int IndexOf(int j) const { return first_ + j * step_; }
  __device__ bool Exists(int row) const { return row < kRows - kOptional || rows_[row] != nullptr; }

  const Pack<T, N>* rows_[kRows];
  int count_, first_, step_;
  LoadedPack<T, N> held_[kHeldPacks][kRows];
};

template <int kCount>
struct RowSums {
  float values[kMaxWarpCount][kCount];
};

// Adds each of `sums` over the threads of a row, in a fixed order; each of them gets the results. All threads of the block must call it.
template <int kCount>
__device__ void SumOverRow(const RowThreads& threads, float (&sums)[kCount]) {
  for (int offset = min(threads.count(), kWarpSize) / 2; offset > 0; offset /= 2) {
    for (int k = 0; k < kCount; ++k) sums[k] += __shfl_xor_sync(kAllLanes, sums[k], offset);
  }
  if (threads.count() <= kWarpSize) return;
  auto& warp_sums = Shared<RowSums<kCount>>().values;  // the block has this row alone
  const int warp = threadIdx.x / kWarpSize;
  if (threadIdx.x % kWarpSize == 0) {
    for (int k = 0; k < kCount; ++k) warp_sums[warp][k] = sums[k];
  }
  __syncthreads();
  for (int k = 0; k < kCount; ++k) {
    sums[k] = 0.0f;
    for (int w = 0; w < threads.count() / kWarpSize; ++w) sums[k] += warp_sums[w][k];
  }
  __syncthreads();
}

}  // namespace tunesmith::trainer
