#include "client/memory_classes.h"

namespace tunesmith::client {

std::vector<MemoryClass> MemoryClasses(const v1::MemoryPrediction& memory) {
  const v1::MemoryByClass& by_class = memory.by_class();
  return {{"weights", 'W', by_class.weights_bytes()},
          {"gradients", 'G', by_class.gradients_bytes()},
          {"optimizer", 'O', by_class.optimizer_bytes()},
          {"activations", 'A', by_class.activations_bytes()},
          {"logits", 'L', by_class.logits_bytes()},
          {"workspace", 'K', by_class.workspace_bytes()},
          {"communication", 'C', by_class.communication_bytes()},
          {"inputs", 'I', by_class.inputs_bytes()},
          {"outside the arena", 'X', memory.outside_arena_bytes()}};
}

}  // namespace tunesmith::client
