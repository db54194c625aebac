#include "trainer/job/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/file.h"
#include "common/json.h"
#include "common/numbers.h"
#include "common/safetensors.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "proto/convert/run_directory.h"
#include "trainer/comm/communicator.h"
#include "trainer/job/checkpoint_directory.h"
#include "trainer/pieces.h"

namespace tunesmith::trainer {
namespace {

namespace fs = std::filesystem;

constexpr char kTensorFile[] = "state.safetensors";
constexpr char kStateFile[] = "state.json";
constexpr char kDoubleQuantization[] = "double_quantization";

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

// Apart from the semantic axes, in which earlier versions did not write it: they say nothing of it.
absl::Status CheckQuantization(const nlohmann::json& state, const planner::Program& program,
                               const std::string& path) {
  const planner::Mix& mix = program.inputs.mix;
  const bool is_double = mix.double_quantization;
  TUNESMITH_ASSIGN_OR_RETURN(const bool saved,
                             JsonFieldOr<bool>(state, kDoubleQuantization, is_double, path));
  if (mix.method != planner::Method::kQlora || saved == is_double) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat(
      "checkpoint ", path, " was saved ", saved ? "with" : "without",
      " double quantization of the base, the plan is ", is_double ? "with" : "without", " it"));
}

// The file of a rank's pieces; of one rank alone, of all tensors.
std::string TensorFile(int64_t rank, int64_t rank_count) {
  if (rank_count == 1) return kTensorFile;
  return absl::StrFormat("state-%05d-of-%05d.safetensors", rank, rank_count);
}

// A part of a tensor is stored as a vector that says in its name where it begins: "name@first element".
std::string PieceName(const StateTensor& tensor, const Piece& piece) {
  if (piece.bytes == tensor.bytes) return tensor.name;
  return StrCat(tensor.name, "@", piece.tensor_first / SizeOf(tensor.dtype));
}

absl::Status WriteTensors(const std::string& path, Session& session) {
  Arena& arena = session.executor().arena();
  std::map<std::string, Piece> pieces;
  std::vector<SafetensorsWriter::Declaration> declarations;
  for (const StateTensor& tensor : StateTensorsOf(session.program(), arena.rank())) {
    for (const Piece& piece : tensor.saved) {
      const bool whole = piece.bytes == tensor.bytes;
      const std::string name = PieceName(tensor, piece);
      declarations.push_back(
          {name, tensor.dtype,
           whole ? tensor.dims : std::vector{piece.bytes / SizeOf(tensor.dtype)}});
      pieces[name] = piece;
    }
  }
  TUNESMITH_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                             SafetensorsWriter::Create(path, std::move(declarations)));
  std::string bytes;
  for (const auto& declaration : writer.order()) {
    const Piece& piece = pieces.at(declaration.name);
    bytes.resize(static_cast<size_t>(piece.bytes));
    TUNESMITH_RETURN_IF_ERROR(
        arena.Read(piece.buffer, piece.instance, bytes.data(), piece.bytes, piece.buffer_first));
    TUNESMITH_RETURN_IF_ERROR(writer.Write(declaration.name, bytes));
  }
  return writer.Commit();
}

// Checkpoints of later steps than `step` are of an attempt that was given up.
void RemoveOthers(const std::string& run_directory, int64_t step, const KeptCheckpoints& kept) {
  absl::StatusOr<std::vector<int64_t>> steps = CheckpointSteps(run_directory);
  if (!steps.ok()) return;  // the next save comes by again
  std::sort(steps->begin(), steps->end(), std::greater<>());
  int64_t newest_count = 0;
  for (int64_t other : *steps) {
    if (other <= step && newest_count++ < kept.newest_count) continue;
    if (other == kept.best) continue;
    std::error_code error;
    fs::remove_all(convert::InDirectory(run_directory, convert::CheckpointDirectory(other)), error);
  }
}

// The tensors of a checkpoint, whatever the number of ranks that saved it.
class StoredTensors {
 public:
  static absl::StatusOr<StoredTensors> Open(const std::string& directory, int64_t rank_count) {
    StoredTensors stored;
    stored.directory_ = directory;
    for (int64_t rank = 0; rank < rank_count; ++rank) {
      TUNESMITH_ASSIGN_OR_RETURN(
          SafetensorsFile file,
          SafetensorsFile::Open(StrCat(directory, "/", TensorFile(rank, rank_count))));
      stored.files_.push_back(std::make_unique<SafetensorsFile>(std::move(file)));
      TUNESMITH_RETURN_IF_ERROR(stored.Add(*stored.files_.back()));
    }
    return stored;
  }

  // Into the arena of `session` what it holds of `tensor`.
  absl::Status Load(const StateTensor& tensor, Session& session) const {
    for (const Piece& piece : tensor.held)
      TUNESMITH_RETURN_IF_ERROR(LoadPiece(tensor, piece, session));
    return absl::OkStatus();
  }

 private:
  struct Part {
    const SafetensorsFile* file = nullptr;
    const SafetensorsTensor* tensor = nullptr;
  };
  static constexpr int64_t kMostElements = int64_t{1} << 56;
  static constexpr char kDiffers[] = "has another dtype or shape than the plan's";

  absl::Status Add(const SafetensorsFile& file) {
    for (const SafetensorsTensor& tensor : file.header().tensors) {
      const std::string& name = tensor.name;
      const size_t mark = name.rfind('@');
      int64_t first = 0;
      const bool is_part = mark != std::string::npos;
      // Bounded, so that its bytes can be counted.
      if (is_part && (!ParseInt64(std::string_view(name).substr(mark + 1), &first) || first < 0 ||
                      first > kMostElements))
        return absl::FailedPreconditionError(
            StrCat("checkpoint ", directory_, ": the name ", name, " is none of a tensor's part"));
      parts_[name.substr(0, mark)][first] = {&file, &tensor};
    }
    return absl::OkStatus();
  }

  absl::Status LoadPiece(const StateTensor& tensor, const Piece& piece, Session& session) const {
    const auto found = parts_.find(tensor.name);
    if (found == parts_.end()) return Problem(tensor, "is missing");
    const int64_t begin = piece.tensor_first, end = begin + piece.bytes;
    int64_t at = begin;
    for (const auto& [first_element, part] : found->second) {
      const int64_t first = first_element * SizeOf(tensor.dtype),
                    last = first + part.tensor->byte_count;
      if (part.tensor->dtype != tensor.dtype || last > tensor.bytes)
        return Problem(tensor, kDiffers);
      if (last <= at || first >= end) continue;
      if (first > at) return Problem(tensor, "is missing in part");
      const int64_t count = std::min(last, end) - at;
      TUNESMITH_RETURN_IF_ERROR(session.executor().arena().Write(
          piece.buffer, piece.instance, part.file->Bytes(*part.tensor).data() + (at - first), count,
          piece.buffer_first + (at - begin)));
      at += count;
    }
    return at == end ? absl::OkStatus() : Problem(tensor, kDiffers);
  }

  absl::Status Problem(const StateTensor& tensor, std::string_view what) const {
    return absl::FailedPreconditionError(
        StrCat("checkpoint ", directory_, ": tensor ", tensor.name, " ", what));
  }

  std::string directory_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::map<int64_t, Part>> parts_;  // by tensor, then by first element
};

absl::Status ReadTensors(const std::string& directory, int64_t rank_count, Session& session) {
  TUNESMITH_ASSIGN_OR_RETURN(const StoredTensors stored,
                             StoredTensors::Open(directory, rank_count));
  for (const StateTensor& tensor :
       StateTensorsOf(session.program(), session.executor().arena().rank()))
    TUNESMITH_RETURN_IF_ERROR(stored.Load(tensor, session));
  return absl::OkStatus();
}

Communicator* RanksOf(Session& session) { return session.executor().context().comm; }

// This rank's status; where it is OK and another's is not, the other's, which ends the job. All ranks must come.
absl::Status Agree(Communicator* ranks, const absl::Status& status) {
  if (ranks == nullptr) return status;
  if (status.ok()) return ranks->Barrier();
  ranks->Abort(std::string(status.message()));
  return status;
}

}  // namespace

absl::StatusOr<std::string> SaveCheckpoint(const std::string& run_directory, Session& session,
                                           const CheckpointState& state,
                                           const KeptCheckpoints& kept) {
  const std::string temporary = PartialCheckpoint(run_directory, state.step);
  Communicator* ranks = RanksOf(session);
  const int64_t rank = session.executor().arena().rank(),
                rank_count = ranks == nullptr ? 1 : ranks->size();
  const bool leads = rank == 0;
  std::error_code error;
  absl::Status status;
  if (leads) {
    fs::remove_all(temporary, error);
    status = MakeDirectories(temporary);
  }
  TUNESMITH_RETURN_IF_ERROR(Agree(ranks, status));
  status =
      Agree(ranks, WriteTensors(StrCat(temporary, "/", TensorFile(rank, rank_count)), session));
  if (leads && status.ok()) {
    nlohmann::json json = ToJson(state);
    json["rank_count"] = rank_count;
    json["semantics"] = SemanticsOf(session.program());
    json[kDoubleQuantization] = session.program().inputs.mix.double_quantization;
    status = WriteFileAtomically(StrCat(temporary, "/", kStateFile), json.dump(2) + "\n");
    if (status.ok()) status = FinishCheckpoint(run_directory, state.step);
  }
  status = Agree(ranks, status);
  if (!status.ok()) {
    if (leads) fs::remove_all(temporary, error);
    return status;
  }
  if (leads) RemoveOthers(run_directory, state.step, kept);
  return convert::CheckpointDirectory(state.step);
}

absl::StatusOr<std::optional<int64_t>> NewestCheckpoint(const std::string& run_directory) {
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, CheckpointSteps(run_directory));
  if (steps.empty()) return std::nullopt;
  return *std::max_element(steps.begin(), steps.end());
}

absl::StatusOr<CheckpointState> LoadCheckpoint(const std::string& run_directory, int64_t step,
                                               Session& session) {
  const std::string path = convert::InDirectory(run_directory, convert::CheckpointDirectory(step));
  const std::string state_path = StrCat(path, "/", kStateFile);
  TUNESMITH_ASSIGN_OR_RETURN(const std::string text, ReadFile(state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, state_path));
  TUNESMITH_ASSIGN_OR_RETURN(CheckpointState state, CheckpointStateFromJson(json, state_path));
  TUNESMITH_ASSIGN_OR_RETURN(const std::string semantics,
                             JsonField<std::string>(json, "semantics", state_path));
  TUNESMITH_RETURN_IF_ERROR(CheckQuantization(json, session.program(), path));
  if (semantics != SemanticsOf(session.program())) {
    return absl::FailedPreconditionError(StrCat("checkpoint ", path, " was saved with '", semantics,
                                                "', the plan has '", SemanticsOf(session.program()),
                                                "'"));
  }
  int64_t rank_count = 1;
  if (json.contains("rank_count")) {  // earlier versions knew one rank
    TUNESMITH_ASSIGN_OR_RETURN(rank_count, JsonField<int64_t>(json, "rank_count", state_path));
  }
  TUNESMITH_RETURN_IF_ERROR(Agree(RanksOf(session), ReadTensors(path, rank_count, session)));
  return state;
}

}  // namespace tunesmith::trainer
