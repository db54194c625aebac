#pragma once

#include "planner/program/program.h"

namespace tunesmith::trainer {

class ThreadPool;
class CudaContext;
class Communicator;

// Where an op runs. The pointers are borrowed; the one that belongs to `device` is not null.
struct OpContext {
  planner::BackendKind device = planner::BackendKind::kCpu;
  ThreadPool* threads = nullptr;  // kCpu
  CudaContext* cuda = nullptr;    // kCuda: stream, library handles, workspaces
  Communicator* comm = nullptr;   // the other ranks; null: alone
};

}  // namespace tunesmith::trainer
