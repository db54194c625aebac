#include "trainer/comm/mpi_communicator.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include "common/mpi_launch.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/comm/mpi_plugin.h"
#include "trainer/comm/mpi_transport.h"

namespace tunesmith::trainer {
namespace {

std::string BinaryPath() {
  std::array<char, 4096> path = {};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  return {path.data(), length > 0 ? static_cast<size_t>(length) : 0};
}

absl::StatusOr<const TunesmithMpi*> LoadPlugin() {
  const std::string path = MpiPluginPath(BinaryPath());
  // MPI opens components of its own, which look for its symbols among the global ones.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(StrCat(
        "ranks that are processes need MPI and its plugin: ", dlerror(),
        "; install openmpi-bin, and where the plugin was not built, libopenmpi-dev, then build "
        "again; or say where it is with ",
        kMpiPluginVariable));
  }
  const auto plugin =
      reinterpret_cast<decltype(&tunesmith_mpi_plugin)>(dlsym(library, "tunesmith_mpi_plugin"));
  if (plugin == nullptr || plugin()->interface_number != TUNESMITH_MPI_INTERFACE)
    return absl::FailedPreconditionError(
        StrCat(path, " belongs to another version of the trainer; build it again"));
  return plugin();
}

struct Start {
  std::mutex mutex;
  std::condition_variable wake;
  bool is_done = false;
  int error = 0;
  int64_t rank = 0;
  int64_t size = 0;
};

// MPI's own start blocks for as long as a rank is absent, so it runs in a thread that is left behind when time is up: the process then ends.
absl::Status StartWithin(const TunesmithMpi& mpi, const RankPlace& place, const TimeLimits& limits,
                         const RankBoard& board, const std::shared_ptr<Start>& start) {
  std::thread([&mpi, start] {
    int64_t rank = 0, size = 0;
    const int error = mpi.start(&rank, &size);
    std::lock_guard lock(start->mutex);
    start->error = error;
    start->rank = rank;
    start->size = size;
    start->is_done = true;
    start->wake.notify_all();
  }).detach();
  std::unique_lock lock(start->mutex);
  if (start->wake.wait_for(lock, limits.start, [&] { return start->is_done; }))
    return absl::OkStatus();
  return absl::DeadlineExceededError(StrCat("rank ", place.rank, " has waited ",
                                            std::chrono::duration<double>(limits.start).count(),
                                            " s for ", board.Absent(), " to join"));
}

std::string ErrorText(const TunesmithMpi& mpi, int error) {
  std::array<char, 512> text = {};
  mpi.error_text(error, text.data(), static_cast<int64_t>(text.size()));
  return text.data();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> OpenMpiCommunicator(const RankPlace& place,
                                                                  const TimeLimits& limits,
                                                                  const RankBoard& board) {
  TUNESMITH_ASSIGN_OR_RETURN(const TunesmithMpi* const mpi, LoadPlugin());
  const auto start = std::make_shared<Start>();
  TUNESMITH_RETURN_IF_ERROR(StartWithin(*mpi, place, limits, board, start));
  if (start->error != 0)
    return absl::UnavailableError(StrCat("MPI does not start: ", ErrorText(*mpi, start->error)));
  if (start->rank != place.rank || start->size != place.size)
    return absl::FailedPreconditionError(
        StrCat("the environment says rank ", place.rank, " of ", place.size, " (",
               place.size_variable, "), MPI says rank ", start->rank, " of ", start->size,
               ": start the ranks with this MPI's mpirun, or with srun --mpi=pmix"));
  TUNESMITH_ASSIGN_OR_RETURN(auto transport, MakeMpiTransport(*mpi));
  return MakeMessageCommunicator(std::move(transport), place.rank, place.size, limits);
}

}  // namespace tunesmith::trainer
