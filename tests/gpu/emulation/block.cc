#include "tests/gpu/emulation/block.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "common/str_cat.h"

// SwitchStack(save, load): keeps the registers that a call preserves on this stack and its top in *save, and goes on where `load` was saved.
asm(R"(
.text
.globl tunesmith_switch_stack
.type tunesmith_switch_stack, @function
tunesmith_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tunesmith_switch_stack, .-tunesmith_switch_stack
)");
extern "C" void tunesmith_switch_stack(void** save, void* load);

namespace tunesmith::emulation {
namespace {

constexpr int64_t kStackBytes = int64_t{128} << 10;
constexpr int64_t kPageBytes = 4096;
constexpr int64_t kMaxThreads = 1024;
constexpr int kPoison = 0xff;

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t Below(uint32_t bound) {
    uint64_t x = state_ += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return static_cast<uint32_t>((x ^ (x >> 31)) >> 33) % bound;
  }

 private:
  uint64_t state_;
};

uint64_t Seed() {
  const char* const text = std::getenv("TUNESMITH_EMULATION_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// Stacks for the threads of a block, one process-wide set, each above a page that may not be touched.
char* StackTop(int64_t index) {
  static char* const stacks = [] {
    void* const memory = mmap(nullptr, kMaxThreads * kStackBytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    for (int64_t i = 0; i < kMaxThreads; ++i)
      mprotect(static_cast<char*>(memory) + i * kStackBytes, kPageBytes, PROT_NONE);
    return static_cast<char*>(memory);
  }();
  return stacks + (index + 1) * kStackBytes;
}

enum class State { kReady, kAtBarrier, kInWarp, kEnded };

struct Copy {
  void* target;
  const void* source;
  int64_t bytes, valid_bytes;
};

struct Thread {
  void* stack = nullptr;
  State state = State::kReady;
  Extent index;
  const char* operation = nullptr;  // that it waits at
  std::source_location site;
  void* argument = nullptr;
  bool predicate = false;
  int vote = 0;
  std::vector<Copy> open_copies;
  std::deque<std::vector<Copy>> copy_groups;
};

// Lanes that wait for each other: at one operation, with one mask.
struct Meeting {
  const char* operation = nullptr;
  std::source_location site;
  uint32_t mask = 0;     // that they name
  uint32_t awaited = 0;  // lanes that exist and are not there yet
};

struct Warp {
  int64_t first = 0;  // its first thread
  int lanes = 0;
  int ready = 0;
  std::vector<Meeting> meetings;  // with masks that share no lane

  uint32_t Existing() const { return lanes == kWarpLanes ? ~0u : (1u << lanes) - 1u; }
};

struct SharedBlock {
  std::unique_ptr<std::byte[]> memory;
  std::byte* data = nullptr;
  int64_t bytes = 0;
};

SharedBlock MakeShared(int64_t bytes, int64_t alignment) {
  SharedBlock shared;
  // AddressSanitizer knows the end of the allocation: the object ends there.
  const int64_t slack = std::max<int64_t>(alignment, 1);
  shared.memory = std::make_unique<std::byte[]>(bytes + slack);
  const auto address = reinterpret_cast<uintptr_t>(shared.memory.get());
  shared.data = shared.memory.get() + (slack - address % slack) % slack;
  shared.bytes = bytes;
  __asan_poison_memory_region(shared.data + bytes,
                              shared.memory.get() + bytes + slack - (shared.data + bytes));
  return shared;
}

void CopyNow(const Copy& copy) {
  std::memcpy(copy.target, copy.source, static_cast<size_t>(copy.valid_bytes));
  std::memset(static_cast<std::byte*>(copy.target) + copy.valid_bytes, 0,
              static_cast<size_t>(copy.bytes - copy.valid_bytes));
}

std::string Where(const std::source_location& site) {
  return StrCat(site.file_name(), ":", site.line());
}
std::string Text(const Extent& e) { return StrCat("(", e.x, ",", e.y, ",", e.z, ")"); }

// A grid that runs. One at a time in a process.
class Launch {
 public:
  explicit Launch(const Grid& grid) : grid_(grid), random_(Seed()), threads_(grid.threads.count()) {
    const int64_t count = grid.threads.count();
    for (int64_t first = 0; first < count; first += kWarpLanes) {
      warps_.push_back({.first = first,
                        .lanes = static_cast<int>(std::min<int64_t>(kWarpLanes, count - first))});
    }
    if (grid.shared_bytes > 0) dynamic_ = MakeShared(grid.shared_bytes, 128);
    for (int64_t i = 0; i < count; ++i) {
      threads_[i].index = {i % grid.threads.x, i / grid.threads.x % grid.threads.y,
                           i / grid.threads.x / grid.threads.y};
    }
  }

  std::string Run() {
    for (block_.z = 0; block_.z < grid_.blocks.z; ++block_.z) {
      for (block_.y = 0; block_.y < grid_.blocks.y; ++block_.y) {
        for (block_.x = 0; block_.x < grid_.blocks.x; ++block_.x) {
          RunBlock();
          if (!failure_.empty()) return failure_;
        }
      }
    }
    return "";
  }

  int LaneOfCurrent() const { return static_cast<int>(current_ % kWarpLanes); }
  Thread& current() { return threads_[current_]; }
  Random& random() { return random_; }

  std::string Here() const {
    return StrCat("kernel ", grid_.kernel, ", block ", Text(block_), ", thread ",
                  Text(threads_[current_].index));
  }

  // Leaves the current thread for good.
  void Fail(const std::string& message) {
    failure_ = StrCat(Here(), ": ", message);
    SwitchToScheduler();
  }

  int AtBarrier(const char* name, bool predicate, const std::source_location& site) {
    Thread& thread = current();
    thread.operation = name;
    thread.site = site;
    thread.predicate = predicate;
    if (barrier_count_ == 0) {
      barrier_site_ = site;
    } else if (site.line() != barrier_site_.line()) {
      Fail(StrCat(name, " at ", Where(site), " while others wait at ", Where(barrier_site_)));
    }
    if (++barrier_count_ == static_cast<int64_t>(threads_.size())) {
      ReleaseBarrier();
    } else {
      WaitAs(State::kAtBarrier);
    }
    return current().vote;
  }

  void InWarp(const char* name, uint32_t mask, void* argument,
              void (*complete)(void* const*, uint32_t), const std::source_location& site) {
    Thread& thread = current();
    Warp& warp = warps_[current_ / kWarpLanes];
    const uint32_t self = 1u << LaneOfCurrent();
    if ((mask & self) == 0) Fail(StrCat(name, ": the mask does not name the lane itself"));
    thread.operation = name;
    thread.site = site;
    thread.argument = argument;
    Meeting& meeting = MeetingOf(warp, name, mask, site);
    meeting.awaited &= ~self;
    if (meeting.awaited != 0) {
      WaitAs(State::kInWarp);
      return;
    }
    const uint32_t there = mask & warp.Existing();
    std::swap(meeting, warp.meetings.back());
    warp.meetings.pop_back();
    Complete(warp, there, complete);
    for (int lane = 0; lane < warp.lanes; ++lane) {
      if ((there & ~self) >> lane & 1u) MakeReady(warp.first + lane);
    }
  }

  void* Shared(const void* key, int64_t bytes, int64_t alignment) {
    auto [it, is_new] = shared_.try_emplace(key);
    if (is_new) {
      it->second = MakeShared(bytes, alignment);
      Poison(it->second);
      object_bytes_ += bytes;
      const int64_t in_all = object_bytes_ + grid_.shared_bytes;
      if (in_all > grid_.shared_limit)
        Fail(StrCat(in_all, " bytes of shared memory where ", grid_.shared_limit, " are allowed"));
    }
    return it->second.data;
  }
  void* dynamic() const { return dynamic_.data; }

  void RunThread() {
    grid_.body();
    threads_[current_].state = State::kEnded;
    SwitchToScheduler();
  }

 private:
  void Poison(const SharedBlock& shared) {
    std::memset(shared.data, kPoison, static_cast<size_t>(shared.bytes));
  }

  void MakeReady(int64_t index) {
    threads_[index].state = State::kReady;
    ++warps_[index / kWarpLanes].ready;
  }

  void WaitAs(State state) {
    current().state = state;
    SwitchToScheduler();
  }

  void ReleaseBarrier() {
    int vote = 0;
    for (const Thread& thread : threads_) vote += thread.predicate;
    for (size_t i = 0; i < threads_.size(); ++i) {
      threads_[i].vote = vote;
      if (threads_[i].state == State::kAtBarrier) MakeReady(static_cast<int64_t>(i));
    }
    barrier_count_ = 0;
  }

  void SwitchToScheduler() { tunesmith_switch_stack(&current().stack, scheduler_); }

  // The one that the current lane belongs to, which it begins unless others wait there.
  Meeting& MeetingOf(Warp& warp, const char* name, uint32_t mask,
                     const std::source_location& site) {
    for (Meeting& meeting : warp.meetings) {
      if ((meeting.mask & mask) == 0) continue;
      // Names are literals: equal ones have one address in a translation unit, and lines differ otherwise.
      if (meeting.mask != mask || meeting.operation != name || meeting.site.line() != site.line()) {
        Fail(StrCat(name, " at ", Where(site), " while lanes wait in ", meeting.operation, " at ",
                    Where(meeting.site), meeting.mask != mask ? " with another mask" : ""));
      }
      return meeting;
    }
    warp.meetings.push_back({name, site, mask, mask & warp.Existing()});
    return warp.meetings.back();
  }

  void Complete(const Warp& warp, uint32_t there, void (*complete)(void* const*, uint32_t)) {
    if (complete == nullptr) return;
    void* arguments[kWarpLanes] = {};
    for (int lane = 0; lane < warp.lanes; ++lane)
      arguments[lane] = threads_[warp.first + lane].argument;
    complete(arguments, there);
  }

  static void Enter();

  void PrepareThread(int64_t index) {
    Thread& thread = threads_[index];
    thread.open_copies.clear();
    thread.copy_groups.clear();
    MakeReady(index);
    // As if Enter had been left by SwitchStack: six registers, its address, and a return address that is never used; the stack pointer is
    // what a call leaves it at.
    char* const top = StackTop(index) - 64;
    void* const frame[8] = {
        nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, reinterpret_cast<void*>(&Enter),
        nullptr};
    thread.stack = top - sizeof(frame);
    std::memcpy(thread.stack, frame, sizeof(frame));
  }

  void RunBlock() {
    for (Warp& warp : warps_) {
      warp.ready = 0;
      warp.meetings.clear();
    }
    for (size_t i = 0; i < threads_.size(); ++i) PrepareThread(static_cast<int64_t>(i));
    for (auto& [key, shared] : shared_) Poison(shared);
    if (dynamic_.data != nullptr) Poison(dynamic_);
    barrier_count_ = 0;
    while (failure_.empty()) {
      Warp* const warp = NextWarp();
      if (warp == nullptr) break;
      RunWarp(*warp);
    }
    if (failure_.empty()) ReportThoseLeft();
    if (!failure_.empty()) AbandonStacks();
  }

  // One that can go on, or null.
  Warp* NextWarp() {
    const auto count = static_cast<uint32_t>(warps_.size());
    const uint32_t start = random_.Below(count);
    for (uint32_t i = 0; i < count; ++i) {
      Warp& warp = warps_[(start + i) % count];
      if (warp.ready > 0) return &warp;
    }
    return nullptr;
  }

  // Every ready lane once, in a drawn order.
  void RunWarp(const Warp& warp) {
    const uint32_t start = random_.Below(kWarpLanes);
    const uint32_t step = 2 * random_.Below(kWarpLanes / 2) + 1;
    for (uint32_t i = 0; i < kWarpLanes && failure_.empty(); ++i) {
      const auto lane = static_cast<int>((start + i * step) % kWarpLanes);
      if (lane < warp.lanes && threads_[warp.first + lane].state == State::kReady)
        Resume(warp.first + lane);
    }
  }

  void Resume(int64_t index) {
    current_ = index;
    --warps_[index / kWarpLanes].ready;
    grid_.enter(threads_[index].index, block_);
    tunesmith_switch_stack(&scheduler_, threads_[index].stack);
  }

  void ReportThoseLeft() {
    int64_t ended = 0;
    std::map<std::string, int64_t> waiting;
    for (size_t i = 0; i < threads_.size(); ++i) {
      if (threads_[i].state == State::kEnded) {
        ++ended;
      } else {
        current_ = static_cast<int64_t>(i);
        ++waiting[StrCat(threads_[i].operation, " at ", Where(threads_[i].site))];
      }
    }
    if (waiting.empty()) return;
    failure_ = StrCat(Here(), ": threads wait for ever: ");
    for (const auto& [what, count] : waiting) absl::StrAppend(&failure_, count, " in ", what, "; ");
    absl::StrAppend(&failure_, ended, " have ended");
  }

  // What AddressSanitizer knows of frames that will never return must not outlive them.
  void AbandonStacks() {
    for (size_t i = 0; i < threads_.size(); ++i) {
      char* const top = StackTop(static_cast<int64_t>(i));
      __asan_unpoison_memory_region(top - kStackBytes + kPageBytes, kStackBytes - kPageBytes);
    }
  }

  const Grid& grid_;
  Random random_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::map<const void*, SharedBlock> shared_;
  int64_t object_bytes_ = 0;  // of these
  SharedBlock dynamic_;
  Extent block_;
  int64_t current_ = 0;
  void* scheduler_ = nullptr;
  int64_t barrier_count_ = 0;
  std::source_location barrier_site_;
  std::string failure_;
};

Launch* running = nullptr;

Random& HostRandom() {
  static Random random(Seed() + 1);
  return random;
}

void Launch::Enter() { running->RunThread(); }

}  // namespace

std::string RunGrid(const Grid& grid) {
  Launch launch(grid);
  running = &launch;
  std::string failure = launch.Run();
  running = nullptr;
  return failure;
}

uint32_t DrawBelow(uint32_t bound) { return HostRandom().Below(bound); }

int Lane() { return running->LaneOfCurrent(); }

int BlockBarrier(const char* name, bool predicate, std::source_location site) {
  return running->AtBarrier(name, predicate, site);
}

void Meet(const char* name, uint32_t mask, void* argument,
          void (*complete)(void* const* arguments, uint32_t mask), std::source_location site) {
  running->InWarp(name, mask, argument, complete, site);
}

void Fail(const std::string& message) {
  if (running == nullptr) {
    std::fprintf(stderr, "outside of kernels: %s\n", message.c_str());
    std::abort();
  }
  running->Fail(message);
}

void* SharedObject(const void* key, int64_t bytes, int64_t alignment) {
  return running->Shared(key, bytes, alignment);
}

void* DynamicSharedMemory() { return running->dynamic(); }

void CopyLater(void* target, const void* source, int64_t bytes, int64_t valid_bytes) {
  const auto misaligned = [&](const void* address) {
    return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) != 0;
  };
  if (misaligned(target) || misaligned(source))
    Fail(StrCat("an asynchronous copy of ", bytes, " bytes is misaligned"));
  const Copy copy = {target, source, bytes, valid_bytes};
  if (running->random().Below(2) == 0) {
    CopyNow(copy);
  } else {
    running->current().open_copies.push_back(copy);
  }
}

void CommitCopies() {
  Thread& thread = running->current();
  thread.copy_groups.push_back(std::move(thread.open_copies));
  thread.open_copies.clear();
}

void WaitForCopies(int outstanding_groups) {
  Thread& thread = running->current();
  while (static_cast<int>(thread.copy_groups.size()) > outstanding_groups) {
    for (const Copy& copy : thread.copy_groups.front()) CopyNow(copy);
    thread.copy_groups.pop_front();
  }
}

// Which kernel runs, for what ends the process.
std::string RunningKernel() { return running == nullptr ? "no kernel" : running->Here(); }

}  // namespace tunesmith::emulation

// AddressSanitizer calls it before it reports.
extern "C" void __asan_on_error() {
  std::fprintf(stderr, "in %s\n", tunesmith::emulation::RunningKernel().c_str());
}

// What -fsanitize=alignment calls: the runtime of g++ would know nothing of kernels.
struct MisalignedSite {
  const char* file;
  uint32_t line, column;
};
extern "C" void __ubsan_handle_type_mismatch_v1_abort(const MisalignedSite* site,
                                                      uintptr_t address) {
  tunesmith::emulation::Fail(tunesmith::StrCat("a misaligned access to ", absl::Hex(address),
                                               " at ", site->file, ":", site->line));
}
