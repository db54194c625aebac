#include "trainer/selftest_model.h"

namespace tunesmith::trainer {

planner::ModelSpec SelfTestModel() {
  return {.name = "selftest",
          .family = "llama",
          .layer_count = 2,
          .hidden_size = 64,
          .intermediate_size = 176,
          .head_count = 4,
          .kv_head_count = 2,
          .head_size = 16,
          .vocab_size = 512,
          .context_limit = 1024,
          .source = "made up for checks"};
}

}  // namespace tunesmith::trainer
