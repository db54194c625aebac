#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "trainer/comm/message_transport.h"
#include "trainer/comm/mpi_plugin.h"

namespace tunesmith::trainer {

// Messages by MPI. `mpi` must outlive it and be started. MPI itself sees to ranks that are gone, or its launcher does: FindLost tells of none.
absl::StatusOr<std::unique_ptr<MessageTransport>> MakeMpiTransport(const TunesmithMpi& mpi);

}  // namespace tunesmith::trainer
