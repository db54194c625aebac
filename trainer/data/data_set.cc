#include "trainer/data/data_set.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/random.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "trainer/data/row_file.h"

namespace tunesmith::trainer {
namespace {

constexpr int64_t kRowsAtOnce = 64;  // that a thread takes
constexpr std::string_view kBlank = " \t\r";

bool IsBlank(std::string_view line) { return line.find_first_not_of(kBlank) == line.npos; }

uint64_t DigestOf(const Document& document) {
  uint64_t digest = document.tokens.size();
  for (size_t i = 0; i < document.tokens.size(); ++i)
    digest =
        RandomKey(digest, static_cast<uint64_t>(document.tokens[i]) * 2 + document.loss_mask[i]);
  return digest;
}

// Whether a row is to blame, and not the file that it could not be read from.
bool IsOfTheRow(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnimplemented(status) ||
         absl::IsResourceExhausted(status);
}

// Rows of a file and what became of each.
class RowIndex {
 public:
  RowIndex(RowFile file, RowTokenizer with, bool skips_bad_rows, int64_t context)
      : file_(std::move(file)),
        with_(std::move(with)),
        skips_bad_rows_(skips_bad_rows),
        context_(context) {}

  absl::Status FindFormat(std::optional<RowFormat> asked) {
    if (asked.has_value()) {
      format_ = *asked;
      return absl::OkStatus();
    }
    for (int64_t line = 0; line < file_.line_count(); ++line) {
      TUNESMITH_ASSIGN_OR_RETURN(const std::string text, file_.ReadLine(line));
      if (IsBlank(text)) continue;
      const absl::StatusOr<RowFormat> found = DetectFormat(text, Where(line));
      if (!found.ok() && skips_bad_rows_) {
        ++skipped_row_count_;
        continue;
      }
      TUNESMITH_ASSIGN_OR_RETURN(format_, found);
      skipped_row_count_ = 0;  // Measure counts them
      return absl::OkStatus();
    }
    return Empty();
  }

  // Looks at all rows.
  absl::Status Measure(int64_t thread_count) {
    if (thread_count == 0) thread_count = std::max(1u, std::thread::hardware_concurrency());
    sizes_.resize(static_cast<size_t>(file_.line_count()));
    digests_.resize(sizes_.size());
    const int64_t most = file_.line_count() / kRowsAtOnce + 1;
    std::vector<std::thread> threads;
    for (int64_t i = 1; i < std::min(thread_count, most); ++i)
      threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    TUNESMITH_RETURN_IF_ERROR(read_failure_);
    if (first_bad_line_ < file_.line_count() && !skips_bad_rows_) return first_failure_;
    return Compact();
  }

  absl::StatusOr<Document> Read(int64_t line) const {
    TUNESMITH_ASSIGN_OR_RETURN(const std::string text, file_.ReadLine(line));
    const std::string where = Where(line);
    TUNESMITH_ASSIGN_OR_RETURN(const DataRow row,
                               ParseRow(text, format_, with_.chat_template.has_value(), where));
    absl::StatusOr<Document> document = TokenizeRow(row, with_);
    if (document.ok()) return document;
    return absl::Status(document.status().code(),
                        StrCat(where, ": ", ToStd(document.status().message())));
  }

  RowFormat format() const { return format_; }
  int64_t skipped_row_count() const { return skipped_row_count_; }
  std::vector<int64_t> TakeLines() { return std::move(lines_); }
  std::vector<DocumentSize> TakeSizes() { return std::move(sizes_); }
  uint64_t digest() const { return digest_; }
  const std::string& path() const { return file_.path(); }

 private:
  std::string Where(int64_t line) const { return StrCat(file_.path(), ", line ", line + 1); }

  absl::Status Empty() const {
    return absl::InvalidArgumentError(
        StrCat(file_.path(), ": the data set is empty: ", file_.line_count(), " lines, ",
               skipped_row_count_,
               " of which cannot be used; give one JSON object per line, {\"messages\": "
               "...}, {\"text\": ...} or {\"prompt\": ..., \"completion\": ...}"));
  }

  void Work() {
    for (;;) {
      const int64_t begin = next_line_.fetch_add(kRowsAtOnce);
      if (begin >= file_.line_count()) return;
      for (int64_t i = begin; i < std::min(begin + kRowsAtOnce, file_.line_count()); ++i)
        MeasureOne(i);
    }
  }

  // Leaves token_count 0 where the line is blank, -1 where it cannot be used.
  void MeasureOne(int64_t line) {
    const absl::StatusOr<std::string> text = file_.ReadLine(line);
    if (text.ok() && IsBlank(*text)) return;
    const absl::StatusOr<Document> document = Read(line);
    DocumentSize& size = sizes_[static_cast<size_t>(line)];
    if (document.ok() && !document->tokens.empty()) {
      size.token_count = static_cast<int64_t>(document->tokens.size());
      size.predicted_count = PredictedCount(*document, std::min(size.token_count, context_));
      digests_[static_cast<size_t>(line)] = DigestOf(*document);
      return;
    }
    size.token_count = -1;
    const absl::MutexLock lock(&mutex_);
    if (!document.ok() && !IsOfTheRow(document.status())) read_failure_ = document.status();
    if (line >= first_bad_line_) return;
    first_bad_line_ = line;
    first_failure_ = document.ok()
                         ? absl::InvalidArgumentError(StrCat(Where(line), ": the row has no token"))
                         : document.status();
  }

  // Leaves the rows that can be used.
  absl::Status Compact() {
    size_t kept = 0;
    for (size_t line = 0; line < sizes_.size(); ++line) {
      if (sizes_[line].token_count < 0) ++skipped_row_count_;
      if (sizes_[line].token_count <= 0) continue;
      lines_.push_back(static_cast<int64_t>(line));
      digest_ = RandomKey(digest_, digests_[line]);
      sizes_[kept++] = sizes_[line];
    }
    sizes_.resize(kept);
    digests_ = {};
    return kept > 0 ? absl::OkStatus() : Empty();
  }

  RowFile file_;
  RowTokenizer with_;
  bool skips_bad_rows_;
  int64_t context_;
  RowFormat format_ = RowFormat::kText;
  std::vector<int64_t> lines_;
  std::vector<DocumentSize> sizes_;  // of every line, later of `lines_`
  std::vector<uint64_t> digests_;    // of every line, while they are measured
  uint64_t digest_ = 0;
  int64_t skipped_row_count_ = 0;
  std::atomic<int64_t> next_line_ = 0;
  absl::Mutex mutex_;
  int64_t first_bad_line_ = INT64_MAX;
  absl::Status first_failure_;
  absl::Status read_failure_;  // which skips_bad_rows_ does not skip
};

class FileSource : public DocumentSource {
 public:
  explicit FileSource(std::unique_ptr<RowIndex> index)
      : index_(std::move(index)), lines_(index_->TakeLines()), sizes_(index_->TakeSizes()) {}

  int64_t document_count() const override { return static_cast<int64_t>(lines_.size()); }
  DocumentSize SizeOf(int64_t index) const override { return sizes_[static_cast<size_t>(index)]; }
  int64_t RowOf(int64_t index) const override { return lines_[static_cast<size_t>(index)] + 1; }
  absl::StatusOr<Document> Read(int64_t index) const override {
    TUNESMITH_ASSIGN_OR_RETURN(Document document, index_->Read(lines_[static_cast<size_t>(index)]));
    if (static_cast<int64_t>(document.tokens.size()) == SizeOf(index).token_count) return document;
    return absl::UnavailableError(
        StrCat(index_->path(), ", line ", lines_[static_cast<size_t>(index)] + 1,
               ": the row has changed while the file was in use; keep data sets as they are while "
               "a job runs"));
  }

 private:
  std::unique_ptr<RowIndex> index_;
  std::vector<int64_t> lines_;
  std::vector<DocumentSize> sizes_;
};

// Some documents of another source.
class ChosenSource : public DocumentSource {
 public:
  ChosenSource(std::shared_ptr<const DocumentSource> all, std::vector<int64_t> chosen)
      : all_(std::move(all)), chosen_(std::move(chosen)) {}

  int64_t document_count() const override { return static_cast<int64_t>(chosen_.size()); }
  DocumentSize SizeOf(int64_t index) const override {
    return all_->SizeOf(chosen_[static_cast<size_t>(index)]);
  }
  int64_t RowOf(int64_t index) const override {
    return all_->RowOf(chosen_[static_cast<size_t>(index)]);
  }
  absl::StatusOr<Document> Read(int64_t index) const override {
    return all_->Read(chosen_[static_cast<size_t>(index)]);
  }

 private:
  std::shared_ptr<const DocumentSource> all_;
  std::vector<int64_t> chosen_;
};

}  // namespace

absl::StatusOr<DataSet> OpenDataSet(const std::string& path, const RowTokenizer& with,
                                    const DataSetOptions& options) {
  TUNESMITH_ASSIGN_OR_RETURN(RowFile file, RowFile::Open(path));
  auto index =
      std::make_unique<RowIndex>(std::move(file), with, options.skips_bad_rows, options.context);
  TUNESMITH_RETURN_IF_ERROR(index->FindFormat(options.format));
  TUNESMITH_RETURN_IF_ERROR(index->Measure(options.thread_count));
  DataSet data_set{.format = index->format(),
                   .skipped_row_count = index->skipped_row_count(),
                   .digest = index->digest()};
  data_set.documents = std::make_shared<FileSource>(std::move(index));
  return data_set;
}

absl::StatusOr<SplitDocuments> HoldOut(std::shared_ptr<const DocumentSource> documents,
                                       double share, uint64_t seed) {
  constexpr int64_t kParts = int64_t{1} << 40;
  const uint64_t key = RandomKey(seed, "hold out");
  std::vector<int64_t> training, held_out;
  for (int64_t i = 0; i < documents->document_count(); ++i) {
    const auto part = static_cast<double>(RandomBelow(key, static_cast<uint64_t>(i), kParts));
    (part < share * static_cast<double>(kParts) ? held_out : training).push_back(i);
  }
  if (training.empty() || held_out.empty()) {
    return absl::InvalidArgumentError(
        StrCat("holding out ", share, " of ", documents->document_count(), " documents leaves ",
               held_out.size(), " to evaluate and ", training.size(),
               " to train on; choose another share, or name a file to evaluate on"));
  }
  return SplitDocuments{std::make_shared<ChosenSource>(documents, std::move(training)),
                        std::make_shared<ChosenSource>(documents, std::move(held_out))};
}

}  // namespace tunesmith::trainer
