#include "tests/gpu/emulation/cudnn_interpreter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "common/dtype.h"

namespace tunesmith::emulation {
namespace {

using Index = std::array<int64_t, 4>;

struct TensorInfo {
  explicit TensorInfo(const Descriptor& d)
      : dtype(d.One<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)),
        id(d.One<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        is_virtual(d.Has(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) {
    const auto all_dims = d.All<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    const auto all_strides = d.All<int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
    std::copy_n(all_dims.begin(), 4, dims.begin());
    std::copy_n(all_strides.begin(), 4, strides.begin());
  }

  int64_t count() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
  int64_t OffsetOf(const Index& i) const {
    return i[0] * strides[0] + i[1] * strides[1] + i[2] * strides[2] + i[3] * strides[3];
  }
  // The place, among values in the order of dims, of the element that stands for `i` of a tensor of `larger` dims: dims of one are repeated, and heads that
  // others share stand for each of theirs.
  int64_t PlaceOf(const Index& i, const Index& larger) const {
    int64_t place = 0;
    for (size_t d = 0; d < 4; ++d) place = place * dims[d] + i[d] * dims[d] / larger[d];
    return place;
  }

  cudnnDataType_t dtype;
  int64_t id;
  bool is_virtual;
  Index dims, strides;
};

template <typename Visit>
void ForEach(const Index& dims, const Visit& visit) {
  Index i;
  for (i[0] = 0; i[0] < dims[0]; ++i[0])
    for (i[1] = 0; i[1] < dims[1]; ++i[1])
      for (i[2] = 0; i[2] < dims[2]; ++i[2])
        for (i[3] = 0; i[3] < dims[3]; ++i[3]) visit(i);
}

[[noreturn]] void Fail(const char* what, int number) {
  std::fprintf(stderr, "the emulation of cuDNN knows no %s %d\n", what, number);
  std::abort();
}

template <typename T>
T LoadAt(const std::byte* memory, int64_t i) {
  T value;
  std::memcpy(&value, memory + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

double Load(const std::byte* memory, int64_t i, cudnnDataType_t dtype) {
  switch (dtype) {
    case CUDNN_DATA_FLOAT:
      return static_cast<double>(LoadAt<float>(memory, i));
    case CUDNN_DATA_BFLOAT16:
      return static_cast<double>(FloatFromBf16(LoadAt<uint16_t>(memory, i)));
    case CUDNN_DATA_INT32:
      return LoadAt<int32_t>(memory, i);
    default:
      Fail("dtype", dtype);
  }
}

double Rounded(double value, cudnnDataType_t dtype) {
  if (dtype == CUDNN_DATA_BFLOAT16)
    return static_cast<double>(FloatFromBf16(Bf16FromFloat(static_cast<float>(value))));
  return static_cast<double>(static_cast<float>(value));
}

void Store(double value, std::byte* memory, int64_t i, cudnnDataType_t dtype) {
  const auto narrow = static_cast<float>(value);
  if (dtype == CUDNN_DATA_FLOAT) {
    std::memcpy(memory + i * 4, &narrow, 4);
  } else if (dtype == CUDNN_DATA_BFLOAT16) {
    const uint16_t bits = Bf16FromFloat(narrow);
    std::memcpy(memory + i * 2, &bits, 2);
  } else {
    Fail("dtype of results", dtype);
  }
}

double Apply(cudnnPointwiseMode_t mode, double x, double b) {
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
      return x + b;
    case CUDNN_POINTWISE_SUB:
      return x - b;
    case CUDNN_POINTWISE_MUL:
      return x * b;
    case CUDNN_POINTWISE_DIV:
      return x / b;
    case CUDNN_POINTWISE_EXP:
      return std::exp(x);
    case CUDNN_POINTWISE_LOG:
      return std::log(x);
    case CUDNN_POINTWISE_IDENTITY:
      return x;
    case CUDNN_POINTWISE_CMP_GE:
      return x >= b ? 1 : 0;
    case CUDNN_POINTWISE_CMP_GT:
      return x > b ? 1 : 0;
    case CUDNN_POINTWISE_CMP_LT:
      return x < b ? 1 : 0;
    default:
      Fail("pointwise mode", mode);
  }
}

class Interpreter {
 public:
  explicit Interpreter(const std::map<int64_t, std::byte*>& addresses) : addresses_(addresses) {}

  void Run(const Descriptor& operation) {
    switch (operation.type) {
      case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return Pointwise(operation);
      case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
        return Matmul(operation);
      case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
        return Reduce(operation);
      case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR:
        return Reshape(operation);
      default:
        Fail("operation", operation.type);
    }
  }

 private:
  // In the order of dims.
  using Values = std::vector<double>;

  const Values& Read(const Descriptor* tensor) {
    const auto found = values_.find(tensor);
    if (found != values_.end()) return found->second;
    const TensorInfo info(*tensor);
    if (info.is_virtual) Fail("operation that gave tensor", static_cast<int>(info.id));
    const std::byte* const memory = addresses_.at(info.id);
    Values values;
    ForEach(info.dims,
            [&](const Index& i) { values.push_back(Load(memory, info.OffsetOf(i), info.dtype)); });
    return values_[tensor] = std::move(values);
  }

  void Write(const Descriptor* tensor, Values values) {
    const TensorInfo info(*tensor);
    for (double& value : values) value = Rounded(value, info.dtype);
    if (!info.is_virtual) {
      std::byte* const memory = addresses_.at(info.id);
      size_t next = 0;
      ForEach(info.dims,
              [&](const Index& i) { Store(values[next++], memory, info.OffsetOf(i), info.dtype); });
    }
    values_[tensor] = std::move(values);
  }

  void Pointwise(const Descriptor& op) {
    const Descriptor& how = *op.Part(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const auto mode = how.One<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    const Descriptor* const y = op.Part(CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    const TensorInfo info(*y);
    Values values;
    if (mode == CUDNN_POINTWISE_GEN_INDEX) {
      const auto axis = static_cast<size_t>(how.One<int64_t>(CUDNN_ATTR_POINTWISE_AXIS));
      ForEach(info.dims, [&](const Index& i) { values.push_back(static_cast<double>(i[axis])); });
      return Write(y, std::move(values));
    }
    const Operand x(*this, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
    const Operand b(*this, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    const Operand t(*this, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
    ForEach(info.dims, [&](const Index& i) {
      const double x_value = x.At(i, info.dims), b_value = b.At(i, info.dims);
      if (mode == CUDNN_POINTWISE_BINARY_SELECT) {
        values.push_back(t.At(i, info.dims) != 0 ? x_value : b_value);
      } else {
        values.push_back(Apply(mode, x_value, b_value));
      }
    });
    Write(y, std::move(values));
  }

  // An operand that may be absent, and then is zero everywhere.
  class Operand {
   public:
    Operand(Interpreter& interpreter, const Descriptor& op, cudnnBackendAttributeName_t name) {
      if (!op.Has(name)) return;
      info_.emplace_back(*op.Part(name));
      values_ = &interpreter.Read(op.Part(name));
    }
    double At(const Index& i, const Index& larger) const {
      return values_ == nullptr ? 0 : (*values_)[static_cast<size_t>(info_[0].PlaceOf(i, larger))];
    }

   private:
    std::vector<TensorInfo> info_;
    const Values* values_ = nullptr;
  };

  void Matmul(const Descriptor& op) {
    const Descriptor* const c = op.Part(CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    const TensorInfo info(*c), a_info(*op.Part(CUDNN_ATTR_OPERATION_MATMUL_ADESC)),
        b_info(*op.Part(CUDNN_ATTR_OPERATION_MATMUL_BDESC));
    const Values& a = Read(op.Part(CUDNN_ATTR_OPERATION_MATMUL_ADESC));
    const Values& b = Read(op.Part(CUDNN_ATTR_OPERATION_MATMUL_BDESC));
    const int64_t rows = info.dims[2], columns = info.dims[3], inner = a_info.dims[3];
    if (a_info.dims[2] != rows || b_info.dims[3] != columns || b_info.dims[2] != inner)
      Fail("product of such dims with inner", static_cast<int>(inner));
    const Index matrices = {info.dims[0], info.dims[1], 1, 1};
    Values values(static_cast<size_t>(info.count()));
    ForEach(matrices, [&](const Index& m) {
      const auto first = [&](const TensorInfo& of) {
        return (m[0] * of.dims[0] / matrices[0] * of.dims[1] + m[1] * of.dims[1] / matrices[1]) *
               of.dims[2] * of.dims[3];
      };
      for (int64_t i = 0; i < rows; ++i) {
        double* const out = values.data() + first(info) + i * columns;
        for (int64_t l = 0; l < inner; ++l) {
          const double factor = a[static_cast<size_t>(first(a_info) + i * inner + l)];
          const double* const in = b.data() + first(b_info) + l * columns;
          for (int64_t j = 0; j < columns; ++j) out[j] += factor * in[j];
        }
      }
    });
    Write(c, std::move(values));
  }

  void Reduce(const Descriptor& op) {
    const bool is_max =
        op.Part(CUDNN_ATTR_OPERATION_REDUCTION_DESC)
            ->One<cudnnReduceTensorOp_t>(CUDNN_ATTR_REDUCTION_OPERATOR) == CUDNN_REDUCE_TENSOR_MAX;
    const TensorInfo x_info(*op.Part(CUDNN_ATTR_OPERATION_REDUCTION_XDESC));
    const Descriptor* const y = op.Part(CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    const TensorInfo y_info(*y);
    const Values& x = Read(op.Part(CUDNN_ATTR_OPERATION_REDUCTION_XDESC));
    Values values(static_cast<size_t>(y_info.count()),
                  is_max ? -std::numeric_limits<double>::infinity() : 0.0);
    size_t next = 0;
    ForEach(x_info.dims, [&](const Index& i) {
      double& value = values[static_cast<size_t>(y_info.PlaceOf(i, x_info.dims))];
      value = is_max ? std::max(value, x[next]) : value + x[next];
      ++next;
    });
    Write(y, std::move(values));
  }

  // Through memory in which both would lie.
  void Reshape(const Descriptor& op) {
    const TensorInfo x_info(*op.Part(CUDNN_ATTR_OPERATION_RESHAPE_XDESC));
    const Descriptor* const y = op.Part(CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
    const TensorInfo y_info(*y);
    const Values& x = Read(op.Part(CUDNN_ATTR_OPERATION_RESHAPE_XDESC));
    std::map<int64_t, double> memory;
    size_t next = 0;
    ForEach(x_info.dims, [&](const Index& i) { memory[x_info.OffsetOf(i)] = x[next++]; });
    Values values;
    ForEach(y_info.dims, [&](const Index& i) { values.push_back(memory.at(y_info.OffsetOf(i))); });
    Write(y, std::move(values));
  }

  const std::map<int64_t, std::byte*>& addresses_;
  std::map<const Descriptor*, Values> values_;
};

}  // namespace

void Interpret(const Descriptor& graph, const std::map<int64_t, std::byte*>& addresses) {
  Interpreter interpreter(addresses);
  for (const Descriptor* operation : graph.All<Descriptor*>(CUDNN_ATTR_OPERATIONGRAPH_OPS))
    interpreter.Run(*operation);
}

}  // namespace tunesmith::emulation
