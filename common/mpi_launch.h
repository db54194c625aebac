#pragma once

#include <cstdint>
#include <string>
#include <vector>

// How processes that MPI connects are started on this host: one rule for jobs, for what is measured of them, and for who looks the plugin up.
namespace tunesmith {

// The environment's variable that says where the plugin is.
inline constexpr char kMpiPluginVariable[] = "TUNESMITH_MPI_PLUGIN";

// Where a binary's plugin is: what kMpiPluginVariable says, else libtunesmith_mpi.so in the folder of the binary.
std::string MpiPluginPath(const std::string& binary_path);

// What comes before the path and the arguments of `binary_path`, to run `rank_count` processes of it; the first is mpirun. Empty where mpirun is not on the PATH or the plugin is not there.
std::vector<std::string> MpirunCommand(const std::string& binary_path, int64_t rank_count);

// What of it was not found, for people: "mpirun is not on the PATH".
std::string MpirunNeeds();

}  // namespace tunesmith
