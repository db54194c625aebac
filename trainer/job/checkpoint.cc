#include "trainer/job/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string_view>
#include <system_error>
#include <vector>

#include "common/file.h"
#include "common/json.h"
#include "common/numbers.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "proto/convert/run_directory.h"

namespace tunesmith::trainer {
namespace {

namespace fs = std::filesystem;

constexpr char kTensorFile[] = "state.safetensors";
constexpr char kStateFile[] = "state.json";
constexpr std::string_view kStepPrefix = "step-";

// The semantic axes that a checkpoint's tensors depend on.
std::string SemanticsOf(const planner::Program& program) {
  planner::Mix mix = program.inputs.mix;
  planner::Mix semantic{.method = mix.method,
                        .lora = mix.lora,
                        .precision = mix.precision,
                        .optimizer = mix.optimizer,
                        .optimizer_state = mix.optimizer_state,
                        .accumulation_dtype = mix.accumulation_dtype};
  return planner::FormatMix(semantic);
}

absl::Status WriteTensors(const std::string& path, Session& session) {
  const std::vector<Session::StateTensor> tensors = session.StateTensors();
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const auto& tensor : tensors) {
    const planner::Buffer& b = session.program().buffers[static_cast<size_t>(tensor.buffer)];
    declarations.push_back(
        {tensor.name, b.dtype, std::vector<int64_t>(b.dims.begin(), b.dims.begin() + b.rank)});
  }
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                             SafetensorsWriter::Create(path, std::move(declarations)));
  std::string bytes;
  for (const auto& declaration : writer.order()) {
    const auto tensor = std::find_if(tensors.begin(), tensors.end(),
                                     [&](const auto& t) { return t.name == declaration.name; });
    bytes.resize(static_cast<size_t>(
        planner::InstanceBytes(session.program().buffers[static_cast<size_t>(tensor->buffer)])));
    TUNESMITH_RETURN_IF_ERROR(session.executor().arena().Read(
        tensor->buffer, tensor->instance, bytes.data(), static_cast<int64_t>(bytes.size())));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(declaration.name, bytes));
  }
  return writer.Commit();
}

absl::Status SyncDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    const absl::Status status =
        absl::ErrnoToStatus(errno, StrCat("cannot sync the directory ", path));
    if (fd >= 0) close(fd);
    return status;
  }
  close(fd);
  return absl::OkStatus();
}

absl::Status Rename(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::remove_all(to, error);
  fs::rename(from, to, error);
  if (error)
    return absl::UnavailableError(
        StrCat("cannot rename ", from, " to ", to, ": ", error.message()));
  return SyncDirectory(fs::path(to).parent_path());
}

std::vector<int64_t> CheckpointSteps(const std::string& run_directory) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(
           convert::InDirectory(run_directory, convert::kCheckpointsDirectory), error)) {
    const std::string name = entry.path().filename();
    int64_t step = 0;
    if (name.rfind(kStepPrefix, 0) == 0 &&
        ParseInt64(std::string_view(name).substr(kStepPrefix.size()), &step))
      steps.push_back(step);
  }
  return steps;
}

// Checkpoints of later steps than `step` are of an attempt that was given up.
void RemoveOthers(const std::string& run_directory, int64_t step, const KeptCheckpoints& kept) {
  std::vector<int64_t> steps = CheckpointSteps(run_directory);
  std::sort(steps.begin(), steps.end(), std::greater<>());
  int64_t newest_count = 0;
  for (int64_t other : steps) {
    if (other <= step && newest_count++ < kept.newest_count) continue;
    if (other == kept.best) continue;
    std::error_code error;
    fs::remove_all(convert::InDirectory(run_directory, convert::CheckpointDirectory(other)), error);
  }
}

absl::Status ReadTensors(const std::string& path, Session& session) {
  TUNESMITH_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  for (const auto& tensor : session.StateTensors()) {
    const planner::Buffer& b = session.program().buffers[static_cast<size_t>(tensor.buffer)];
    const SafetensorsTensor* found = file.Find(tensor.name);
    if (found == nullptr || found->dtype != b.dtype ||
        found->byte_count != planner::InstanceBytes(b)) {
      return absl::FailedPreconditionError(
          StrCat("checkpoint ", path, ": tensor ", tensor.name,
                 found == nullptr ? " is missing" : " has another dtype or shape than the plan's"));
    }
    TUNESMITH_RETURN_IF_ERROR(session.executor().arena().Write(
        tensor.buffer, tensor.instance, file.Bytes(*found).data(), found->byte_count));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SaveCheckpoint(const std::string& run_directory, Session& session,
                                           const CheckpointState& state,
                                           const KeptCheckpoints& kept) {
  const std::string relative = convert::CheckpointDirectory(state.step);
  const std::string path = convert::InDirectory(run_directory, relative),
                    temporary = path + ".partial";
  std::error_code error;
  fs::remove_all(temporary, error);
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(temporary));
  const nlohmann::json json = {{"step", state.step},
                               {"epoch", state.loader.epoch},
                               {"next_row", state.loader.next_row},
                               {"seed", state.loader.seed},
                               {"token_count", state.token_count},
                               {"history", state.history.ToJson()},
                               {"semantics", SemanticsOf(session.program())}};
  absl::Status written = WriteTensors(StrCat(temporary, "/", kTensorFile), session);
  if (written.ok())
    written = WriteFileAtomically(StrCat(temporary, "/", kStateFile), json.dump(2) + "\n");
  if (written.ok()) written = Rename(temporary, path);
  if (!written.ok()) {
    fs::remove_all(temporary, error);
    return written;
  }
  RemoveOthers(run_directory, state.step, kept);
  return relative;
}

std::optional<int64_t> NewestCheckpoint(const std::string& run_directory) {
  const std::vector<int64_t> steps = CheckpointSteps(run_directory);
  if (steps.empty()) return std::nullopt;
  return *std::max_element(steps.begin(), steps.end());
}

absl::StatusOr<CheckpointState> LoadCheckpoint(const std::string& run_directory, int64_t step,
                                               Session& session) {
  const std::string path = convert::InDirectory(run_directory, convert::CheckpointDirectory(step));
  const std::string state_path = StrCat(path, "/", kStateFile);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, state_path));
  CheckpointState state;
  TUNESMITH_ASSIGN_OR_RETURN(state.step, JsonField<int64_t>(json, "step", state_path));
  TUNESMITH_ASSIGN_OR_RETURN(state.loader.epoch, JsonField<int64_t>(json, "epoch", state_path));
  TUNESMITH_ASSIGN_OR_RETURN(state.loader.next_row,
                             JsonField<int64_t>(json, "next_row", state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const int64_t seed, JsonField<int64_t>(json, "seed", state_path));
  state.loader.seed = static_cast<uint64_t>(seed);
  TUNESMITH_ASSIGN_OR_RETURN(state.token_count,
                             JsonField<int64_t>(json, "token_count", state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json* history,
                             JsonObject(json, "history", state_path));
  TUNESMITH_ASSIGN_OR_RETURN(state.history, RunHistory::FromJson(*history, state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string semantics,
                             JsonField<std::string>(json, "semantics", state_path));
  if (semantics != SemanticsOf(session.program())) {
    return absl::FailedPreconditionError(StrCat("checkpoint ", path, " was saved with '", semantics,
                                                "', the plan has '", SemanticsOf(session.program()),
                                                "'"));
  }
  TUNESMITH_RETURN_IF_ERROR(ReadTensors(StrCat(path, "/", kTensorFile), session));
  return state;
}

}  // namespace tunesmith::trainer
