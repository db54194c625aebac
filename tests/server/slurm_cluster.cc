#include "tests/server/slurm_cluster.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/str_cat.h"
#include "server/process.h"

namespace tunesmith::server {
namespace {

constexpr char kSearched[] = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";
constexpr absl::Duration kPatience = absl::Seconds(20);

std::string Find(const std::string& name) {
  for (const absl::string_view folder : absl::StrSplit(kSearched, ':')) {
    const std::string path = StrCat(folder, "/", name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

// Whether bind or connect succeeds on the port.
template <typename Call>
bool Try(int port, in_addr_t address, Call call) {
  const int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(address);
  name.sin_port = htons(static_cast<uint16_t>(port));
  const bool done = call(handle, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
  close(handle);
  return done;
}

bool IsFree(int port) { return Try(port, INADDR_ANY, &bind); }
bool IsListening(int port) { return Try(port, INADDR_LOOPBACK, &connect); }

// So many free ports in a row, below those that the kernel gives out itself. Clusters that start at once draw different ones.
int FreePorts(int count) {
  std::mt19937 random(std::random_device{}());
  std::uniform_int_distribution<int> draw(12000, 31000);
  while (true) {
    const int first = draw(random);
    int free = 0;
    while (free < count && IsFree(first + free)) ++free;
    if (free == count) return first;
  }
}

std::string HostName() {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  return std::string(absl::string_view(name).substr(0, absl::string_view(name).find('.')));
}

// Any character devices do, as long as each has its own path: jobs never open them.
std::string MakeGpus(const std::string& directory, int count) {
  std::vector<std::string> paths;
  for (int i = 0; i < count && geteuid() == 0; ++i) {
    paths.push_back(StrCat(directory, "/gpu", i));
    mknod(paths.back().c_str(), S_IFCHR | 0666, makedev(1, 3));
  }
  const std::vector<std::string> existing = {"/dev/null",   "/dev/zero",    "/dev/full",
                                             "/dev/random", "/dev/urandom", "/dev/tty",
                                             "/dev/ptmx",   "/dev/console"};
  for (int i = 0; i < count && geteuid() != 0; ++i)
    paths.push_back(existing[static_cast<size_t>(i)]);
  return absl::StrJoin(paths, ",");
}

std::string UserName() {
  const ProcessResult result = RunProcess({"/usr/bin/id", "-un"});
  return result.output.substr(0, result.output.find('\n'));
}

}  // namespace

std::string SlurmCluster::WhyAbsent() {
  for (const char* name : {"munged", "slurmctld", "slurmd", "sbatch"}) {
    if (Find(name).empty())
      return StrCat(name, " is not installed; ./dev setup --slurm installs Slurm");
  }
  return "";
}

SlurmCluster::SlurmCluster(const SlurmClusterOptions& options) : node_count_(options.node_count) {
  for (const char* folder : {"etc", "state", "log", "run"})
    std::filesystem::create_directories(StrCat(directory(), "/", folder));
  WriteConfiguration(options);
  setenv("SLURM_CONF", ConfigurationPath().c_str(), 1);
  const std::string run = directory() + "/run";
  StartDaemon(
      "munged",
      {Find("munged"), "--foreground", "--force", "--key-file", directory() + "/etc/munge.key",
       "--socket", run + "/munge.sock", "--pid-file", run + "/munged.pid", "--log-file",
       directory() + "/log/munged.log", "--seed-file", run + "/munge.seed", "--num-threads", "2"});
  for (int i = 0; i < 500 && access((run + "/munge.sock").c_str(), F_OK) != 0; ++i)
    absl::SleepFor(absl::Milliseconds(10));
  StartController();
  for (int i = 0; i < node_count_; ++i) {
    const std::string node = StrCat("n", i);
    StartDaemon(node, {Find("slurmd"), "-D", "-N", node, "-f", ConfigurationPath()});
  }
  AwaitIdleNodes();
}

SlurmCluster::~SlurmCluster() {
  Run({"scancel", "--user", UserName()});
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline && !Run({"squeue", "-h"}).output.empty())
    absl::SleepFor(absl::Milliseconds(50));
  for (int i = 0; i < node_count_; ++i) StopDaemon(StrCat("n", i));
  StopDaemon("slurmctld");
  StopDaemon("munged");
  KillRemains();
}

std::string SlurmCluster::ConfigurationPath() const { return directory() + "/etc/slurm.conf"; }

void SlurmCluster::WriteConfiguration(const SlurmClusterOptions& options) {
  const std::string etc = directory() + "/etc";
  port_ = FreePorts(node_count_ + 1);
  const std::string user = UserName();
  std::string text = StrCat(
      "ClusterName=tunesmith\nSlurmctldHost=", HostName(), "(127.0.0.1)\nSlurmctldPort=", port_,
      "\nSlurmUser=", user, "\nSlurmdUser=", user, "\nAuthType=auth/munge\nCredType=cred/munge\n",
      "AuthInfo=socket=", directory(), "/run/munge.sock\nStateSaveLocation=", directory(),
      "/state\nSlurmdSpoolDir=", directory(), "/spool/%n\nTmpFS=", directory(),
      "/tmp/%n\nSlurmctldPidFile=", directory(), "/run/slurmctld.pid\nSlurmdPidFile=", directory(),
      "/run/slurmd.%n.pid\nSlurmctldLogFile=", directory(),
      "/log/slurmctld.log\nSlurmdLogFile=", directory(),
      "/log/slurmd.%n.log\nJobCompType=jobcomp/filetxt\nJobCompLoc=", directory(),
      "/log/jobcomp.txt\n",
      R"(MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
KillWait=2
MinJobAge=600
MessageTimeout=4
MpiDefault=none
GresTypes=gpu
)");
  // A port of its own for every node, since all are one host.
  for (int i = 0; i < node_count_; ++i) {
    const std::string node = StrCat("n", i);
    text += StrCat("NodeName=", node, " NodeHostname=", HostName(),
                   " NodeAddr=127.0.0.1 Port=", port_ + 1 + i,
                   " CPUs=64 RealMemory=512000 Gres=gpu:h100:", options.gpus_per_node, "\n");
    for (const char* folder : {"/spool/", "/tmp/"})
      std::filesystem::create_directories(directory() + folder + node);
  }
  text +=
      "PartitionName=gpu Nodes=ALL Default=YES DefaultTime=60 MaxTime=UNLIMITED State=UP "
      "DefMemPerCPU=256\n";
  Write(ConfigurationPath(), text + options.configuration);
  Write(etc + "/gres.conf",
        StrCat("AutoDetect=off\nNodeName=n[0-", node_count_ - 1, "] Name=gpu Type=h100 File=",
               MakeGpus(directory() + "/run", options.gpus_per_node), "\n"));
  // Never used, since processes are tracked by Linux's parents; slurmd wants a plugin named.
  Write(etc + "/cgroup.conf", "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n");
  std::ofstream(etc + "/munge.key") << std::string(128, 'k') << getpid();
  chmod((etc + "/munge.key").c_str(), 0600);
  for (const auto& [name, contents] : options.beside) Write(etc + "/" + name, contents);
}

void SlurmCluster::StartDaemon(const std::string& name, const std::vector<std::string>& arguments) {
  const auto pid = Spawn({.arguments = arguments,
                          .environment = {},
                          .output_path = StrCat(directory(), "/log/", name, ".out"),
                          .dies_with_parent = true});
  ASSERT_TRUE(pid.ok()) << pid.status();
  daemons_[name] = *pid;
}

void SlurmCluster::StopDaemon(const std::string& name) {
  const auto daemon = daemons_.find(name);
  if (daemon == daemons_.end()) return;
  kill(daemon->second, SIGTERM);
  const absl::Time deadline = absl::Now() + absl::Seconds(5);
  while (waitpid(daemon->second, nullptr, WNOHANG) == 0) {
    if (absl::Now() > deadline) kill(daemon->second, SIGKILL);
    absl::SleepFor(absl::Milliseconds(5));
  }
  daemons_.erase(daemon);
}

void SlurmCluster::AwaitIdleNodes() const {
  const absl::Time deadline = absl::Now() + kPatience;
  std::string states;
  while (absl::Now() < deadline) {
    states = Run({"sinfo", "-h", "-N", "-o", "%T"}).output;
    const std::vector<absl::string_view> lines = absl::StrSplit(states, '\n', absl::SkipEmpty());
    if (std::count(lines.begin(), lines.end(), "idle") == node_count_) return;
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << "Slurm did not start: " << states << ControllerLog();
}

void SlurmCluster::KillController() {
  const auto daemon = daemons_.find("slurmctld");
  ASSERT_NE(daemon, daemons_.end());
  kill(daemon->second, SIGKILL);
  waitpid(daemon->second, nullptr, 0);
  daemons_.erase(daemon);
}

void SlurmCluster::StartController() {
  StartDaemon("slurmctld", {Find("slurmctld"), "-D", "-f", ConfigurationPath()});
  // Commands that find nobody listening sleep for a second before they try again.
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline && !IsListening(port_)) absl::SleepFor(absl::Milliseconds(10));
}

void SlurmCluster::SetNodeDown(const std::string& node) {
  Run({"scontrol", "update", "nodename=" + node, "state=down", "reason=test"});
}

void SlurmCluster::ResumeNode(const std::string& node) {
  Run({"scontrol", "update", "nodename=" + node, "state=resume"});
}

ProcessResult SlurmCluster::Run(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = arguments;
  words[0] = Find(words[0]);
  return RunProcess(words, {{"SLURM_CONF", ConfigurationPath()}});
}

std::string SlurmCluster::JobField(const std::string& job_id, const std::string& field) const {
  const std::string shown = Run({"scontrol", "-o", "show", "job", job_id}).output;
  for (const absl::string_view word : absl::StrSplit(shown, absl::ByAnyChar(" \n"))) {
    if (absl::StartsWith(word, ToAbsl(field + "=")))
      return std::string(word.substr(field.size() + 1));
  }
  return "";
}

std::string SlurmCluster::NewestJob() const {
  const std::string ids = Run({"squeue", "-h", "-t", "all", "-o", "%i"}).output;
  int64_t newest = 0;
  for (const absl::string_view line : absl::StrSplit(ids, '\n', absl::SkipEmpty()))
    newest = std::max<int64_t>(newest, std::atoll(std::string(line).c_str()));
  return StrCat(newest);
}

std::string SlurmCluster::ControllerLog() const {
  return Slurp(directory() + "/log/slurmctld.log") + Slurp(directory() + "/log/slurmctld.out");
}

// Jobs have this cluster's SLURM_CONF in their environment, and so have this process's own children, which are left alone.
void SlurmCluster::KillRemains() const {
  const std::string mark = "SLURM_CONF=" + ConfigurationPath();
  const std::vector<pid_t> children = ChildrenOf(getpid());
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 1 || pid == getpid() || std::count(children.begin(), children.end(), pid) > 0)
      continue;
    if (Slurp(StrCat("/proc/", pid, "/environ")).find(mark) != std::string::npos)
      kill(pid, SIGKILL);
  }
}

}  // namespace tunesmith::server
