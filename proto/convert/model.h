#pragma once

#include <string_view>

#include "planner/model/hardware.h"
#include "planner/model/model_spec.h"
#include "planner/model/workload.h"
#include "proto/convert/violations.h"
#include "tunesmith/v1/plan.pb.h"

// Models, workloads and devices: proto <-> planner. Functions ...FromProto add what is wrong to
// `violations` under the path `field`, and their result is good only if they added nothing.
namespace tunesmith::convert {

v1::ModelSpec ToProto(const planner::ModelSpec& spec);
planner::ModelSpec ModelSpecFromProto(const v1::ModelSpec& proto, std::string_view field,
                                      Violations& violations);

v1::Workload ToProto(const planner::Workload& workload);
planner::Workload WorkloadFromProto(const v1::Workload& proto, std::string_view field,
                                    Violations& violations);

v1::Hardware ToProto(const planner::Hardware& hardware);
planner::Hardware HardwareFromProto(const v1::Hardware& proto, std::string_view field,
                                    Violations& violations);

v1::DeviceGroup ToProto(const planner::DeviceGroup& devices);
planner::DeviceGroup DeviceGroupFromProto(const v1::DeviceGroup& proto, std::string_view field,
                                          Violations& violations);

}  // namespace tunesmith::convert
