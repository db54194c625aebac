#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

// Streams and events of the emulation. What is put on a stream runs in order, but when is drawn from the seed: at once, or as late as somebody waits
// for it; so a wait between streams that is missing shows. Calls come from one thread at a time: runtime.cc sees to it.
struct EmulatedGraph {
  std::vector<std::function<void()>> tasks;
};

struct EmulatedStream {
  EmulatedGraph* captured = nullptr;  // what is put there goes into, instead of running
  std::deque<std::function<void()>> tasks;
  int64_t queued_count = 0;
  int64_t done_count = 0;
};

struct EmulatedEvent {
  EmulatedStream* stream = nullptr;
  int64_t position = 0;  // how many of the stream's tasks lie before it
  std::chrono::steady_clock::time_point reached;
};

namespace tunesmith::emulation {

EmulatedStream* MakeStream();
// Runs what is left on it.
void UnmakeStream(EmulatedStream* stream);

// Null: at once.
void Put(EmulatedStream* stream, std::function<void()> task);

// The same from outside of the runtime.
void PutTask(EmulatedStream* stream, std::function<void()> task);

// Runs the stream's tasks up to a position, or all.
void RunUntil(EmulatedStream* stream, int64_t position);
void RunAll(EmulatedStream* stream);
void RunAllStreams();

}  // namespace tunesmith::emulation
