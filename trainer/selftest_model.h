#pragma once

#include "planner/model/model_spec.h"

namespace tunesmith::trainer {

// "selftest", a Llama-style model of some 200 thousand parameters with grouped heads, smaller than any of the catalog: for parity checks, and for emulated devices.
planner::ModelSpec SelfTestModel();

}  // namespace tunesmith::trainer
