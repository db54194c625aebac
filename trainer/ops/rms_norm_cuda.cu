#include "trainer/cuda/rows.cuh"
#include "trainer/ops/column_sum_cuda.cuh"
#include "trainer/ops/rms_norm_cuda.h"

// Every row is read once and kept in registers; sums in f32.
namespace tunesmith::trainer::cuda {
namespace {

template <typename T, int N>
struct ForwardArgs {
  RowPacks<T, N> rows;
  const Pack<T, N>* x;
  const Pack<T, N>* weight;
  Pack<T, N>* y;
  float* rstd;
  float epsilon, offset;
};

template <typename T, int N>
__global__ void __launch_bounds__(kMaxRowThreads) ForwardKernel(ForwardArgs<T, N> k) {
  const RowPlace place = k.rows.threads.Place();
  const bool exists = place.row < k.rows.count;
  const int64_t first = place.row * k.rows.packs;
  HeldRows<T, N, 2> row({k.x + first, k.weight}, exists ? k.rows.packs : 0, place);
  float squares[1] = {};
  row.ForEach([&](int, const auto& packs) {
    for (int j = 0; j < N; ++j) {
      const float x = ToFloat(packs[0].values[j]);
      squares[0] += x * x;
    }
  });
  SumOverRow(k.rows.threads, squares);
  const float r = 1.0f / sqrtf(squares[0] / static_cast<float>(k.rows.packs * N) + k.epsilon);
  if (exists && place.thread == 0) k.rstd[place.row] = r;
  row.ForEach([&](int i, const auto& packs) {
    Pack<T, N> out;
    for (int j = 0; j < N; ++j) {
      const float weight = k.offset + ToFloat(packs[1].values[j]);
      out.values[j] = FromFloat<T>(ToFloat(packs[0].values[j]) * r * weight);
    }
    k.y[first + i] = out;
  });
}

template <typename T, int N>
struct BackwardArgs {
  RowPacks<T, N> rows;
  const Pack<T, N>* dy;
  const Pack<T, N>* x;
  const Pack<T, N>* weight;
  const float* rstd;
  Pack<T, N>* dx;  // may be dy's storage
  float offset;
  bool accumulate;
};

template <typename T, int N>
__global__ void __launch_bounds__(kMaxRowThreads) BackwardKernel(BackwardArgs<T, N> k) {
  const RowPlace place = k.rows.threads.Place();
  const bool exists = place.row < k.rows.count;
  const int64_t first = place.row * k.rows.packs;
  HeldRows<T, N, 4, 1> row(
      {k.dy + first, k.x + first, k.weight, k.accumulate ? k.dx + first : nullptr},
      exists ? k.rows.packs : 0, place);
  const float r = exists ? k.rstd[place.row] : 0.0f;
  const auto gradient = [&](const auto& packs, int j) {
    return (k.offset + ToFloat(packs[2].values[j])) * ToFloat(packs[0].values[j]);
  };
  float products[1] = {};
  row.ForEach([&](int, const auto& packs) {
    for (int j = 0; j < N; ++j) products[0] += gradient(packs, j) * ToFloat(packs[1].values[j]) * r;
  });
  SumOverRow(k.rows.threads, products);
  const float mean = products[0] / static_cast<float>(k.rows.packs * N);
  row.ForEach([&](int i, const auto& packs) {
    Pack<T, N> out;
    for (int j = 0; j < N; ++j) {
      float value = r * (gradient(packs, j) - ToFloat(packs[1].values[j]) * r * mean);
      if (k.accumulate) value += ToFloat(packs[3].values[j]);
      out.values[j] = FromFloat<T>(value);
    }
    k.dx[first + i] = out;
  });
}

// Column sums of dy * x * rstd.
template <typename T, int N>
struct WeightGradient {
  static constexpr int kPack = N;
  static constexpr int kLoads = 4;
  struct Operands {
    LoadedPack<T, N> dy, x;
    float rstd;
  };
  const Pack<T, N>* dy;
  const Pack<T, N>* x;
  const float* rstd;
  int64_t packs;  // of a row

  __device__ Operands Load(int64_t row, int64_t pack) const {
    const int64_t i = row * packs + pack;
    return {LoadedPack<T, N>(dy[i]), LoadedPack<T, N>(x[i]), rstd[row]};
  }
  __device__ void Add(const Operands& o, float (&sums)[N]) const {
    const Pack<T, N> dy_pack = o.dy.Unpacked(), x_pack = o.x.Unpacked();
    for (int j = 0; j < N; ++j)
      sums[j] += ToFloat(dy_pack.values[j]) * ToFloat(x_pack.values[j]) * o.rstd;
  }
};

}  // namespace

absl::Status RmsNorm(CudaContext& cuda, const RmsNormArgs& args) {
  return VisitRows(
      args.x.dtype, args.x.dims[0], args.x.dims[1], {args.x.data, args.weight.data, args.y.data},
      [&]<typename T, int N>(const RowPacks<T, N>& rows) {
        using P = Pack<T, N>;
        const ForwardArgs<T, N> k = {
            .rows = rows,
            .x = args.x.as<const P>(),
            .weight = args.weight.as<const P>(),
            .y = args.y.as<P>(),
            .rstd = args.rstd.as<float>(),
            .epsilon = static_cast<float>(args.epsilon),
            .offset = static_cast<float>(args.weight_offset),
        };
        return LaunchKernel(ForwardKernel<T, N>, rows.launch_shape(), cuda.impl().stream.get(), k);
      });
}

absl::Status RmsNormBackward(CudaContext& cuda, const RmsNormBackwardArgs& args) {
  return VisitRows(args.x.dtype, args.x.dims[0], args.x.dims[1],
                   {args.dy.data, args.x.data, args.weight.data, args.dx.data},
                   [&]<typename T, int N>(const RowPacks<T, N>& rows) {
                     using P = Pack<T, N>;
                     const BackwardArgs<T, N> k = {
                         .rows = rows,
                         .dy = args.dy.as<const P>(),
                         .x = args.x.as<const P>(),
                         .weight = args.weight.as<const P>(),
                         .rstd = args.rstd.as<const float>(),
                         .dx = args.dx.as<P>(),
                         .offset = static_cast<float>(args.weight_offset),
                         .accumulate = args.accumulate,
                     };
                     return LaunchKernel(BackwardKernel<T, N>, rows.launch_shape(),
                                         cuda.impl().stream.get(), k);
                   });
}

absl::Status RmsNormBackwardWeight(CudaContext& cuda, const RmsNormBackwardWeightArgs& args) {
  const int64_t rows = args.x.dims[0], width = args.x.dims[1];
  return VisitFloat(args.x.dtype, [&](auto element) {
    using T = decltype(element);
    return VisitPacks<T>(width, {args.dy.data, args.x.data}, [&](auto pack) {
      using P = Pack<T, pack.value>;
      const WeightGradient<T, pack.value> value = {args.dy.as<const P>(), args.x.as<const P>(),
                                                   args.rstd.as<const float>(), width / pack.value};
      return VisitFloat(args.dweight.dtype, [&](auto sum) {
        return ColumnSums(cuda, rows, width, value, args.accumulate,
                          args.dweight.as<decltype(sum)>());
      });
    });
  });
}

}  // namespace tunesmith::trainer::cuda
