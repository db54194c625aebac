#pragma once

#include "planner/program/program.h"

namespace tunesmith::trainer {

class ThreadPool;
class CudaContext;
class Collectives;
class Communicator;

// Where an op runs. The pointers are borrowed; the one that belongs to `device` is not null.
struct OpContext {
  planner::BackendKind device = planner::BackendKind::kCpu;
  ThreadPool* threads = nullptr;  // kCpu; kCuda: for ops of the host's processors
  CudaContext* cuda = nullptr;    // kCuda: streams, library handles, workspaces
  Communicator* comm = nullptr;   // the other ranks, over memory of the host; null: alone
  Collectives* collectives =
      nullptr;  // the other ranks, over memory of the device; null on the CPU, whose memory is the host's
};

// What programs for the context's device are built with.
planner::Backend BackendOf(const OpContext& context);

}  // namespace tunesmith::trainer
