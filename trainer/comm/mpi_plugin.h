// The C interface between the trainer and libtunesmith_mpi.so, which alone is built against MPI and is looked up at run time: one set of binaries runs
// with and without MPI. Messages between the processes of a job, nothing more; what ranks say to each other is made of them in message_communicator.cc.
//
// One thread at a time. Functions that return int return 0, or an MPI error code for error_text.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised whenever a field or a meaning changes.
#define TUNESMITH_MPI_INTERFACE 1
#define TUNESMITH_MPI_ANY_RANK (-1)

struct TunesmithMpi {
  int32_t interface_number;  // TUNESMITH_MPI_INTERFACE of the plugin
  // Joins the job, once in a process. Blocks until all of its processes have come; later calls may come from another thread.
  int (*start)(int64_t* rank, int64_t* size);
  // Begin to send or receive a message of exactly `bytes` (below 2^31) and store a handle for `test`. `peer` of `receive` may be TUNESMITH_MPI_ANY_RANK.
  int (*send)(const void* data, int64_t bytes, int64_t peer, int32_t tag, int32_t* handle);
  int (*receive)(void* data, int64_t bytes, int64_t peer, int32_t tag, int32_t* handle);
  // Whether the message has gone or come; the handle is used up once it has. `peer` (may be null): who sent it.
  int (*test)(int32_t handle, int32_t* is_done, int64_t* peer);
  // Uses a handle up without waiting for its message.
  int (*cancel)(int32_t handle);
  // Leaves the job. Blocks until all processes do. Not called after an error.
  int (*finish)(void);
  void (*error_text)(int error, char* text, int64_t capacity);
};

const struct TunesmithMpi* tunesmith_mpi_plugin(void);

#ifdef __cplusplus
}
#endif
