#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "trainer/model_io/adapter.h"
#include "trainer/model_io/weight_source.h"

namespace tunesmith::trainer {

// The weights of `base` in a form that an adapter was trained on (kUnknown is kWide), and with an adapter, if there is one, its product added: W + scale * B A, in
// fp32. In 4 bits a linear layer is what its codes stand for: those of `base`, where it is stored so, else codes that are made of its weights as QLoRA makes them.
// Errors as LoraOf; UNIMPLEMENTED for 4 bits of layers with rows of an odd size.
absl::StatusOr<std::unique_ptr<WeightSource>> MergeAdapter(std::unique_ptr<WeightSource> base,
                                                           BaseForm form,
                                                           std::optional<Adapter> adapter);

}  // namespace tunesmith::trainer
