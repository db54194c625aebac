#include "trainer/cuda/cudnn_attention.h"

namespace tunesmith::trainer {

planner::OpAttributes AttributesOf(const CudnnAttentionShape& shape) {
  const AttentionShape& a = shape.attention;
  return {.scale = a.scale,
          .head_count = a.head_count,
          .kv_head_count = a.kv_head_count,
          .head_size = a.head_size,
          .context = a.context,
          .window = a.window,
          .soft_cap = a.soft_cap,
          .alibi_bias_max = a.alibi_bias_max,
          .alibi_factor = a.alibi_factor};
}

}  // namespace tunesmith::trainer
