#include "tests/trainer/comm/run_mpi.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace tunesmith::trainer {
namespace {

std::string Plugin() {
  const char* folder = std::getenv("TUNESMITH_BIN_DIR");
  return std::filesystem::absolute(folder == nullptr ? "build/bin" : folder) /
         "libtunesmith_mpi.so";
}

}  // namespace

std::string WhyNoMpi() {
  if (std::system("command -v mpirun >/dev/null") != 0)
    return "mpirun is not installed (openmpi-bin)";
  if (access(Plugin().c_str(), R_OK) != 0) return Plugin() + " was not built (libopenmpi-dev)";
  return "";
}

MpiRun RunMpi(int rank_count, const std::string& command) {
  return RunMpi("-n " + std::to_string(rank_count) + " " + command);
}

MpiRun RunMpi(const std::string& commands) {
  // What MPI leaks is not ours. As root mpirun wants to be asked twice. Few processors serve many ranks here, none of them bound to one.
  const std::string line =
      "ASAN_OPTIONS=detect_leaks=0 TUNESMITH_MPI_PLUGIN=" + Plugin() +
      " OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe "
      "--bind-to none --mca odls_base_sigkill_timeout 2 " +
      commands + " </dev/null 2>&1";
  const auto start = std::chrono::steady_clock::now();
  MpiRun run;
  FILE* pipe = popen(line.c_str(), "r");
  char buffer[4096];
  for (size_t n = fread(buffer, 1, sizeof buffer, pipe); n > 0;
       n = fread(buffer, 1, sizeof buffer, pipe))
    run.output.append(buffer, n);
  const int status = pclose(pipe);
  run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return run;
}

}  // namespace tunesmith::trainer
