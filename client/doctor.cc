#include "client/doctor.h"

#include <dlfcn.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "client/local_binary.h"
#include "common/meminfo.h"
#include "common/str_cat.h"
#include "common/text.h"
#include "common/units.h"
#include "nlohmann/json.hpp"
#include "proto/convert/data_directory.h"

namespace tunesmith::client {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLeastSharedBytes = int64_t{1} << 30;  // ranks of one host exchange buckets there
constexpr int64_t kLeastLockedBytes = int64_t{8} << 30;
constexpr int64_t kLeastOpenFiles =
    4096;  // a watched job takes a few, a thousand watchers as many thousands

bool Loads(const char* library) { return dlopen(library, RTLD_LAZY | RTLD_LOCAL) != nullptr; }

const char* FirstThatLoads(std::initializer_list<const char*> libraries) {
  for (const char* library : libraries)
    if (Loads(library)) return library;
  return nullptr;
}

int64_t LimitOf(int resource) {
  struct rlimit limit = {};
  getrlimit(static_cast<__rlimit_resource>(resource), &limit);
  return limit.rlim_cur == RLIM_INFINITY ? INT64_MAX : static_cast<int64_t>(limit.rlim_cur);
}

Finding ExamineProcessors() {
  std::ifstream file("/proc/cpuinfo");
  std::string flags, line;
  while (std::getline(file, line) && flags.empty())
    if (line.rfind("flags", 0) == 0) flags = line + " ";
  const char* vectors = flags.find(" avx512f ") != std::string::npos ? "AVX-512"
                        : flags.find(" avx2 ") != std::string::npos  ? "AVX2"
                                                                     : nullptr;
  const std::string count = StrCat(static_cast<int64_t>(std::thread::hardware_concurrency()));
  if (vectors != nullptr) return {"processors", Health::kOk, StrCat(count, ", ", vectors)};
  return {"processors", Health::kAbsent, StrCat(count, ", without AVX2"),
          "training on this processor is some ten times slower; use another host, or a GPU"};
}

Finding ExamineMemory() {
  const std::string meminfo = ReadMeminfo();
  return {"memory", Health::kOk,
          StrCat(FormatBytes(MeminfoBytes(meminfo, "MemAvailable")), " free of ",
                 FormatBytes(MeminfoBytes(meminfo, "MemTotal")))};
}

Finding ExamineBlas() {
  if (Loads("libopenblas.so.0")) return {"OpenBLAS", Health::kOk, "libopenblas.so.0"};
  return {"OpenBLAS", Health::kProblem, "not found", "install the package libopenblas0-pthread"};
}

// The driver's own functions, so that nothing of CUDA is linked here.
Finding ExamineGpus(bool* has_gpu) {
  *has_gpu = false;
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr)
    return {"NVIDIA driver", Health::kAbsent, "none", "for GPUs: install the NVIDIA driver"};
  const auto initialize = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count_devices = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  const auto version = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDriverGetVersion"));
  int count = 0, number = 0;
  if (initialize == nullptr || count_devices == nullptr || version == nullptr ||
      initialize(0) != 0 || count_devices(&count) != 0 || version(&number) != 0)
    return {"NVIDIA driver", Health::kProblem, "it is installed and does not start",
            "see what nvidia-smi says; load the kernel module of the same version"};
  *has_gpu = count > 0;
  return {"NVIDIA driver", Health::kOk,
          StrCat("CUDA ", number / 1000, ".", number % 1000 / 10, ", ", count, " GPUs")};
}

Finding ExamineLibrary(const char* subject, std::initializer_list<const char*> libraries,
                       bool wanted, const char* cure) {
  if (const char* found = FirstThatLoads(libraries)) return {subject, Health::kOk, found};
  return {subject, wanted ? Health::kProblem : Health::kAbsent, "not found", cure};
}

Finding ExamineBinaries() {
  std::string missing;
  for (const char* name :
       {"tunesmith-trainer", "tunesmith-profiler", "tunesmith-shim", "tunesmithd"})
    if (access(LocalBinaryPath(name).c_str(), X_OK) != 0)
      missing += StrCat(missing.empty() ? "" : ", ", name);
  if (missing.empty())
    return {"binaries", Health::kOk, fs::path(LocalBinaryPath("x")).parent_path()};
  return {"binaries", Health::kProblem, StrCat("missing: ", missing),
          "set TUNESMITH_BIN_DIR to the directory of Tunesmith's binaries"};
}

// Answers are found there and jobs written to it; it need not exist yet.
Finding ExamineDataDirectory() {
  fs::path path = convert::DefaultDataDirectory();
  const std::string shown = path.string();
  std::error_code error;
  while (!fs::exists(path, error) && path.has_parent_path()) path = path.parent_path();
  if (access(path.c_str(), W_OK) == 0) {
    struct statvfs info = {};
    statvfs(path.c_str(), &info);
    const auto free_bytes = static_cast<int64_t>(info.f_bavail * info.f_frsize);
    return {"data directory", Health::kOk, StrCat(shown, ", ", FormatBytes(free_bytes), " free")};
  }
  return {"data directory", Health::kProblem, StrCat(shown, " cannot be written"),
          "set XDG_STATE_HOME to a directory that is yours"};
}

Finding ExamineCalibration() {
  const convert::NewestCalibrations newest(
      convert::StoredCalibrations(convert::DefaultDataDirectory()));
  std::vector<std::string> found;
  for (const auto precision : {planner::Precision::kFp32, planner::Precision::kBf16}) {
    if (const planner::Calibration* const calibration = newest.Find("cpu", precision))
      found.push_back(StrCat(calibration->id, ", of ", calibration->measured_at));
  }
  if (!found.empty()) return {"calibration", Health::kOk, StrJoin(found, "; ")};
  return {"calibration", Health::kAbsent, "none of this host",
          "run tunesmith calibrate: times then rest on measurements"};
}

bool IsOnPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::string directories = path != nullptr ? path : "";
  for (size_t begin = 0; begin <= directories.size();) {
    const size_t end = std::min(directories.find(':', begin), directories.size());
    if (access(StrCat(directories.substr(begin, end - begin), "/", name).c_str(), X_OK) == 0)
      return true;
    begin = end + 1;
  }
  return false;
}

Finding ExamineSlurm() {
  if (IsOnPath("sbatch")) return {"Slurm", Health::kOk, "sbatch is there"};
  return {"Slurm", Health::kAbsent, "none", "for clusters: install slurm-client"};
}

Finding ExamineServer(const ClientOptions& server) {
  ClientOptions options = server;
  options.timeout = std::min(options.timeout, absl::Seconds(2));
  const auto clusters = MakeClusterClient(options)->List();
  if (clusters.ok()) return {"server", Health::kOk, StrCat(server.server, " answers")};
  return {"server", Health::kAbsent, StrCat("no answer from ", server.server),
          "start tunesmithd, or name its address with --server; --offline answers without one"};
}

const char* NameOf(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kAbsent:
      return "absent";
    case Health::kProblem:
      return "problem";
  }
  return "";
}

}  // namespace

Finding ExamineSharedMemory(int64_t size_bytes) {
  const std::string found = FormatBytes(size_bytes);
  if (size_bytes >= kLeastSharedBytes) return {"/dev/shm", Health::kOk, found};
  return {
      "/dev/shm", Health::kProblem, found,
      "several ranks need more: mount it with size=8g, or start the container with --shm-size=8g"};
}

Finding ExamineLockedMemory(int64_t limit_bytes, bool has_gpu) {
  const std::string found = limit_bytes == INT64_MAX ? "unlimited" : FormatBytes(limit_bytes);
  if (limit_bytes >= kLeastLockedBytes || !has_gpu) return {"locked memory", Health::kOk, found};
  return {"locked memory", Health::kProblem, found,
          "offload needs pinned memory: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit"};
}

Finding ExamineOpenFiles(int64_t limit) {
  const std::string found = limit == INT64_MAX ? "unlimited" : StrCat(limit);
  if (limit >= kLeastOpenFiles) return {"open files", Health::kOk, found};
  return {"open files", Health::kAbsent, found,
          "enough for jobs; a server with many watchers wants ulimit -n 65536"};
}

std::vector<Finding> ExamineHost(const ClientOptions& server) {
  bool has_gpu = false;
  struct statvfs shared = {};
  statvfs("/dev/shm", &shared);
  const Finding gpus = ExamineGpus(&has_gpu);
  return {
      ExamineProcessors(),
      ExamineMemory(),
      ExamineSharedMemory(static_cast<int64_t>(shared.f_blocks * shared.f_frsize)),
      ExamineLockedMemory(LimitOf(RLIMIT_MEMLOCK), has_gpu),
      ExamineOpenFiles(LimitOf(RLIMIT_NOFILE)),
      ExamineBlas(),
      gpus,
      ExamineLibrary("cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"}, has_gpu,
                     "for GPUs: install CUDA's runtime libraries, 12 or newer"),
      ExamineLibrary("MPI", {"libmpi.so.40"}, false,
                     "for several ranks on this host's processors: install openmpi-bin"),
      ExamineSlurm(),
      ExamineBinaries(),
      ExamineDataDirectory(),
      ExamineCalibration(),
      ExamineServer(server),
  };
}

Listing FindingListing(const std::vector<Finding>& findings) {
  Listing listing(
      {{"subject", ""}, {"health", ""}, {"found", "found"}, {"cure", "cure", false, true}},
      "subject");
  for (const Finding& f : findings) listing.AddRow({f.subject, NameOf(f.health), f.found, f.cure});
  return listing;
}

std::string ShowFindings(const std::vector<Finding>& findings) {
  std::string cures;
  for (const Finding& finding : findings) {
    if (!finding.cure.empty()) cures += StrCat(finding.subject, ": ", finding.cure, "\n");
  }
  return FindingListing(findings).ToTable(/*wide=*/false, /*headers=*/true) +
         (cures.empty() ? "" : "\n" + cures);
}

std::string FindingsJson(const std::vector<Finding>& findings) {
  auto rows = nlohmann::ordered_json::array();
  for (const Finding& finding : findings)
    rows.push_back({{"subject", finding.subject},
                    {"health", NameOf(finding.health)},
                    {"found", finding.found},
                    {"cure", finding.cure}});
  return nlohmann::ordered_json{{"findings", rows}}.dump(2);
}

}  // namespace tunesmith::client
