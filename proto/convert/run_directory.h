#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tunesmith/v1/events.pb.h"

// The run directory: the contract between server, shim and trainer. All names stand here, and
// nowhere else.
//
//   plan.json     Plan: how to train; written before the first attempt
//   job.json      JobSpec: what to train; written before the first attempt
//   attempt-N     ShimHandle; created exclusively by attempt N (1, 2, ...); an attempt that finds a
//                 newer one exits
//   shim.json     ShimHandle: how the server finds the shim of the newest attempt
//   events.jsonl  Event lines, append-only; written by the trainer
//   heartbeat     Heartbeat, rewritten by the trainer
//   log/          trainer.log: what the trainer wrote to stdout and stderr, over all attempts;
//                 shim.log
//   checkpoints/  step-<N>/, written by the trainer; the one with the greatest N is the newest
//   tensorboard/  TensorBoardEvent records, a file for each attempt: the curves of events.jsonl
//   output/       adapter or model, unless JobSpec.output_dir names another place
//   exit.json     JobExit: how the newest attempt ended
//
// Every file except events.jsonl, tensorboard/ and the logs is written under a temporary name, synced and
// renamed.
namespace tunesmith::convert {

inline constexpr char kPlanFile[] = "plan.json";
inline constexpr char kJobSpecFile[] = "job.json";
inline constexpr char kShimFile[] = "shim.json";
inline constexpr char kEventsFile[] = "events.jsonl";
inline constexpr char kHeartbeatFile[] = "heartbeat";
inline constexpr char kExitFile[] = "exit.json";
inline constexpr char kRankSecretFile[] =
    "rank-secret";  // what ranks that meet by TCP prove to know
inline constexpr char kLogDirectory[] = "log";
inline constexpr char kTrainerLogFile[] = "log/trainer.log";
inline constexpr char kShimLogFile[] = "log/shim.log";
inline constexpr char kCheckpointsDirectory[] = "checkpoints";
inline constexpr char kOutputDirectory[] = "output";
inline constexpr char kTensorBoardDirectory[] = "tensorboard";

// `directory`/`name`.
std::string InDirectory(std::string_view directory, std::string_view name);

std::string AttemptFile(int64_t attempt);       // "attempt-3"
std::string CheckpointDirectory(int64_t step);  // "checkpoints/step-100"

// The greatest N for which attempt-N exists; 0 when there is none. Errors of listing the directory.
absl::StatusOr<int64_t> NewestAttempt(const std::string& run_directory);

// One line of events.jsonl, without the newline.
std::string EncodeEventLine(const v1::Event& event);

// INVALID_ARGUMENT says what is wrong with the line. Fields of a newer version are ignored.
absl::StatusOr<v1::Event> DecodeEventLine(std::string_view line);

// Appends events to events.jsonl. Not thread-safe.
class EventWriter {
 public:
  // Opens or creates the file. A torn last line, left by a process that was killed, is cut off;
  // sequences go on after the last whole line.
  static absl::StatusOr<std::unique_ptr<EventWriter>> Open(const std::string& run_directory);
  ~EventWriter();
  EventWriter(const EventWriter&) = delete;
  EventWriter& operator=(const EventWriter&) = delete;

  // Writes the event as one line in one write, with the next sequence, and the present time unless
  // it has one. After an error (disk full) the file ends in a whole line.
  absl::Status Append(v1::Event event);

  int64_t last_sequence() const { return last_sequence_; }

 private:
  EventWriter(int fd, std::string path, int64_t size_bytes, int64_t last_sequence);

  int fd_;
  std::string path_;
  int64_t size_bytes_;
  int64_t last_sequence_;
};

// Whole lines of a growing file.
struct EventLines {
  std::vector<std::string> lines;
  int64_t next_offset = 0;  // where to read on
};

// The whole lines of events.jsonl from byte `offset`, as many as fit into 1 MiB (a longer line
// comes alone, whole). A file that does not exist has no lines. One that is shorter than `offset` has lost its end, as by a power cut: it is read on from behind its last whole line,
// where the next attempt goes on to write.
absl::StatusOr<EventLines> ReadEventLines(const std::string& run_directory, int64_t offset);

}  // namespace tunesmith::convert
