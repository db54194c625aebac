#include "trainer/cuda/cudnn_engines.h"

#include <utility>

#include "common/status_macros.h"
#include "common/str_cat.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

// What the project's own kernels make up for: an engine runs nothing before it is made, so that whatever fails is cuDNN's own, a library of its parts or its compiler among it.
bool CanDoWithout(const absl::Status& status) { return !absl::IsInvalidArgument(status); }

}  // namespace

CudnnEngines::Key CudnnEngines::KeyOf(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  return {shape.rows,   shape.query_stride, shape.key_stride, a.context,
          a.head_count, a.kv_head_count,    a.head_size,      a.window,
          a.scale,      a.soft_cap,         a.alibi_bias_max};
}

absl::StatusOr<const CudnnAttention*> CudnnEngines::Find(CudaContext& cuda,
                                                         const CudnnAttentionShape& shape) {
  const Key key = KeyOf(shape);
  if (const auto found = engines_.find(key); found != engines_.end()) return found->second.get();
  absl::StatusOr<std::unique_ptr<CudnnAttention>> engine = CudnnAttention::Create(cuda, shape);
  if (!engine.ok()) {
    if (!CanDoWithout(engine.status())) return engine.status();
    const std::string note = StrCat("attention=cudnn runs on Tunesmith's own kernels, slower: ",
                                    ToStd(engine.status().message()));
    if (reasons_.insert(note).second) cuda.AddNote(note);
    engine = nullptr;
  }
  return engines_.emplace(key, *std::move(engine)).first->second.get();
}

}  // namespace tunesmith::trainer
