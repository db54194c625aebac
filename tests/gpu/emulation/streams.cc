#include "tests/gpu/emulation/streams.h"

#include <algorithm>
#include <vector>

#include "tests/gpu/emulation/block.h"

namespace tunesmith::emulation {
namespace {

std::vector<EmulatedStream*>& Streams() {
  static auto* const streams = new std::vector<EmulatedStream*>;
  return *streams;
}

void RunOne(EmulatedStream* stream) {
  const std::function<void()> task = std::move(stream->tasks.front());
  stream->tasks.pop_front();
  task();
  ++stream->done_count;
}

// Of every second task, its stream or another one goes on for a while.
void RunSome() {
  if (DrawBelow(2) == 0) return;
  const std::vector<EmulatedStream*>& streams = Streams();
  EmulatedStream* const stream = streams[DrawBelow(static_cast<uint32_t>(streams.size()))];
  RunUntil(stream, stream->done_count + 1 + DrawBelow(4));
}

}  // namespace

EmulatedStream* MakeStream() {
  Streams().push_back(new EmulatedStream);
  return Streams().back();
}

void UnmakeStream(EmulatedStream* stream) {
  RunAll(stream);
  std::erase(Streams(), stream);
  delete stream;
}

void Put(EmulatedStream* stream, std::function<void()> task) {
  if (stream == nullptr) {
    task();
    return;
  }
  if (stream->captured != nullptr) return stream->captured->tasks.push_back(std::move(task));
  stream->tasks.push_back(std::move(task));
  ++stream->queued_count;
  RunSome();
}

void RunUntil(EmulatedStream* stream, int64_t position) {
  while (stream->done_count < position && !stream->tasks.empty()) RunOne(stream);
}

void RunAll(EmulatedStream* stream) { RunUntil(stream, stream->queued_count); }

void RunAllStreams() {
  for (EmulatedStream* stream : Streams()) RunAll(stream);
}

}  // namespace tunesmith::emulation
