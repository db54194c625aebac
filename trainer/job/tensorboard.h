#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tunesmith/v1/events.pb.h"

namespace tunesmith::trainer {

// The same record as TensorBoard's files hold it (TFRecord): its length, 8 bytes, and the length's checksum, the bytes and their checksum. Numbers are
// little-endian; a checksum is CRC-32C, rotated right by 15 bits, plus 0xa282ead8.
std::string TensorBoardRecord(std::string_view bytes);

// A job's curves for TensorBoard: one file in the directory tensorboard/ of the run for each attempt, beside events.jsonl. Not thread safe.
class TensorBoardWriter {
 public:
  // Creates directory and file.
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Open(const std::string& run_directory);
  ~TensorBoardWriter();
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  TensorBoardWriter& operator=(const TensorBoardWriter&) = delete;

  // Of a Progress: loss, learning rate, gradient norm, rate and time, below "train/"; of an Evaluation: the loss, below "evaluation/". Other events have
  // no curve. The first one says that what other files have of its step and later ones is void. In the file when the call returns.
  absl::Status Write(const v1::Event& event);

  const std::string& path() const { return path_; }

 private:
  TensorBoardWriter(int descriptor, std::string path)
      : descriptor_(descriptor), path_(std::move(path)) {}
  absl::Status Append(std::string_view bytes);

  int descriptor_;
  std::string path_;
  bool says_start_ = false;
};

}  // namespace tunesmith::trainer
