#include "trainer/job/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/crc32c.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "proto/convert/run_directory.h"
#include "tunesmith/v1/tensorboard.pb.h"

namespace tunesmith::trainer {
namespace {

constexpr char kFileVersion[] = "brain.Event:2";

template <typename T>
void AppendLittleEndian(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) out->push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

v1::TensorBoardEvent EventNow(int64_t step) {
  v1::TensorBoardEvent event;
  event.set_wall_time(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  event.set_step(step);
  return event;
}

void AddValue(const char* tag, double value, v1::TensorBoardEvent* event) {
  v1::TensorBoardSummary::Value& added = *event->mutable_summary()->add_value();
  added.set_tag(tag);
  added.set_simple_value(static_cast<float>(value));
}

v1::TensorBoardEvent CurvesOf(const v1::Progress& progress) {
  v1::TensorBoardEvent event = EventNow(progress.step());
  AddValue("train/loss", progress.loss(), &event);
  AddValue("train/learning_rate", progress.learning_rate(), &event);
  AddValue("train/gradient_norm", progress.gradient_norm(), &event);
  AddValue("train/tokens_per_second", progress.tokens_per_second(), &event);
  AddValue("train/step_seconds", progress.step_seconds(), &event);
  return event;
}

v1::TensorBoardEvent CurvesOf(const v1::Evaluation& evaluation) {
  v1::TensorBoardEvent event = EventNow(evaluation.step());
  AddValue("evaluation/loss", evaluation.mean_loss(), &event);
  return event;
}

std::string RecordOf(const v1::TensorBoardEvent& event) {
  return TensorBoardRecord(event.SerializeAsString());
}

// TensorBoard takes files with ".tfevents." in their names, in the order of the names.
std::string FileName() {
  std::array<char, 256> host = {};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {"host"};
  return StrCat("events.out.tfevents.", absl::ToUnixMicros(absl::Now()), ".", host.data(), ".",
                getpid());
}

}  // namespace

std::string TensorBoardRecord(std::string_view bytes) {
  std::string record;
  AppendLittleEndian(static_cast<uint64_t>(bytes.size()), &record);
  AppendLittleEndian(MaskedCrc(record), &record);
  record += bytes;
  AppendLittleEndian(MaskedCrc(bytes), &record);
  return record;
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Open(
    const std::string& run_directory) {
  const std::string directory = convert::InDirectory(run_directory, convert::kTensorBoardDirectory);
  TUNESMITH_RETURN_IF_ERROR(MakeDirectories(directory));
  const std::string path = convert::InDirectory(directory, FileName());
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, StrCat("cannot write ", path));
  auto writer = std::unique_ptr<TensorBoardWriter>(new TensorBoardWriter(descriptor, path));
  v1::TensorBoardEvent first = EventNow(0);
  first.set_file_version(kFileVersion);
  TUNESMITH_RETURN_IF_ERROR(writer->Append(RecordOf(first)));
  return writer;
}

TensorBoardWriter::~TensorBoardWriter() { close(descriptor_); }

absl::Status TensorBoardWriter::Append(std::string_view bytes) {
  const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size())) return absl::OkStatus();
  return absl::ErrnoToStatus(written < 0 ? errno : ENOSPC, StrCat("cannot write ", path_));
}

absl::Status TensorBoardWriter::Write(const v1::Event& event) {
  if (!event.has_progress() && !event.has_evaluation()) return absl::OkStatus();
  const v1::TensorBoardEvent curves =
      event.has_progress() ? CurvesOf(event.progress()) : CurvesOf(event.evaluation());
  std::string records;
  if (!std::exchange(says_start_, true)) {
    v1::TensorBoardEvent start = EventNow(curves.step());
    start.mutable_session_log()->set_status(v1::TensorBoardSessionLog::SESSION_STATUS_START);
    records = RecordOf(start);
  }
  return Append(records + RecordOf(curves));
}

}  // namespace tunesmith::trainer
