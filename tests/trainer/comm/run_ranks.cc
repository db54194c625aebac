#include "tests/trainer/comm/run_ranks.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/str_cat.h"
#include "common/text.h"

namespace tunesmith::trainer {
namespace {

std::string Plugin() {
  const char* folder = std::getenv("TUNESMITH_BIN_DIR");
  return std::filesystem::absolute(folder == nullptr ? "build/bin" : folder) /
         "libtunesmith_mpi.so";
}

RanksRun RunInShell(const std::string& line) {
  const auto start = std::chrono::steady_clock::now();
  RanksRun run;
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

std::string MpirunLine(const std::vector<std::string>& commands) {
  std::vector<std::string> parts;
  for (const std::string& command : commands) parts.push_back("-n 1 " + command);
  // What MPI leaks is not ours. As root mpirun wants to be asked twice. Few processors serve many ranks here, none of them bound to one.
  return StrCat("ASAN_OPTIONS=detect_leaks=0 TUNESMITH_MPI_PLUGIN=", Plugin(),
                " OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun "
                "--oversubscribe --bind-to none --mca odls_base_sigkill_timeout 2 ",
                StrJoin(parts, " : "), " </dev/null 2>&1");
}

std::string ShellLine(const std::vector<std::string>& commands) {
  std::string starts, waits;
  for (size_t rank = 0; rank < commands.size(); ++rank) {
    starts += StrCat("env RANK=", rank, " LOCAL_RANK=", rank, " ", commands[rank],
                     " </dev/null & p", rank, "=$!; ");
    waits += StrCat("wait $p", rank, " || s=1; ");
  }
  return StrCat("exec 2>&1; export MASTER_ADDR=127.0.0.1 MASTER_PORT=", FreePort(),
                " WORLD_SIZE=", commands.size(), " LOCAL_WORLD_SIZE=", commands.size(), "; ",
                starts, "s=0; ", waits, "exit $s");
}

}  // namespace

std::string LauncherName(const testing::TestParamInfo<Launcher>& info) {
  return info.param == Launcher::kMpi ? "Mpi" : "Tcp";
}

std::string WhyAbsent(Launcher launcher) {
  if (launcher == Launcher::kShell) return "";
  if (std::system("command -v mpirun >/dev/null") != 0)
    return "mpirun is not installed (openmpi-bin)";
  if (access(Plugin().c_str(), R_OK) != 0) return Plugin() + " was not built (libopenmpi-dev)";
  return "";
}

RanksRun RunRanks(Launcher launcher, int rank_count, const std::string& command) {
  return RunRanks(launcher, std::vector<std::string>(static_cast<size_t>(rank_count), command));
}

RanksRun RunRanks(Launcher launcher, const std::vector<std::string>& commands) {
  return RunInShell(launcher == Launcher::kMpi ? MpirunLine(commands) : ShellLine(commands));
}

std::string RankVariable(Launcher launcher, int64_t rank) {
  return StrCat(launcher == Launcher::kMpi ? "OMPI_COMM_WORLD_RANK=" : "RANK=", rank);
}

int FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  bind(socket, reinterpret_cast<sockaddr*>(&address), size);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  close(socket);
  return ntohs(address.sin_port);
}

}  // namespace tunesmith::trainer
