#pragma once

#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

// CUDA kernels on the CPU. The very .cu files of the project are compiled by g++ against include/, where CUDA's names stand for what is
// here: the threads of a block are fibers of one thread of the process, which run until a barrier or an exchange of a warp makes them wait, in an
// order that is drawn from a seed (TUNESMITH_EMULATION_SEED, 1 unless set). So barriers are exact, and one that is missing shows: some warps run far
// ahead of others. Blocks run one after the other; streams.h says when grids do.
//
// A launch fails, with a message that names kernel, block and thread, where
// - threads of a block wait for different barriers, or for threads that have ended;
// - lanes of a warp meet at different operations, with different masks, or with masks that do not name themselves;
// - 8- or 16-byte accesses are misaligned;
// - the launch asks for more threads, blocks or shared memory than an sm_90 has, or for shared memory that it should have asked for by an attribute.
// AddressSanitizer, with which all of it is compiled, ends the process at an access out of bounds, and the kernel's name is printed. Shared memory
// holds NaNs when a block starts, as device memory does when it is allocated: what is read before it was written shows in results.
namespace tunesmith::emulation {

inline constexpr int kWarpLanes = 32;

struct Extent {
  int64_t x = 1, y = 1, z = 1;
  int64_t count() const { return x * y * z; }
};

// Runs every block of the grid. OK is an empty text; otherwise what went wrong, and where.
struct Grid {
  std::string kernel;  // its name
  Extent blocks, threads;
  int64_t shared_bytes = 0;    // that the launch asks for
  int64_t shared_limit = 0;    // of these and the kernel's own objects
  std::function<void()> body;  // of every thread
  // Tells the kernel where it runs, before its thread goes on.
  void (*enter)(const Extent& thread, const Extent& block) = nullptr;
};
std::string RunGrid(const Grid& grid);

// A number below `bound`, drawn from the seed.
uint32_t DrawBelow(uint32_t bound);

// ---- For threads of a block ---------------------------------------------------------------------

// This thread's index within its warp.
int Lane();

// Waits for all threads of the block; how many of them gave a true predicate.
int BlockBarrier(const char* name, bool predicate, std::source_location site);

// Waits for the lanes of the mask. The last one calls complete(arguments by lane, mask), unless it is null, and all go on.
void Meet(const char* name, uint32_t mask, void* argument,
          void (*complete)(void* const* arguments, uint32_t mask), std::source_location site);

// Ends the launch with a message. Does not return to a thread of a block.
void Fail(const std::string& message);

// The block's object named by `key`, full of NaNs when the block starts; and the block's dynamic shared memory.
void* SharedObject(const void* key, int64_t bytes, int64_t alignment);
void* DynamicSharedMemory();

// An asynchronous copy of 4, 8 or 16 bytes to shared memory, of which all beyond `valid_bytes` become zeros. It happens at once or, as the seed
// will have it, as late as its thread waits for its group.
void CopyLater(void* target, const void* source, int64_t bytes, int64_t valid_bytes);
void CommitCopies();
// Until at most so many of the last groups are outstanding.
void WaitForCopies(int outstanding_groups);

}  // namespace tunesmith::emulation
