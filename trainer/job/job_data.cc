#include "trainer/job/job_data.h"

#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr std::array<RowFormat, 5> kFormats = {RowFormat::kText, RowFormat::kPromptCompletion,
                                               RowFormat::kMessages, RowFormat::kShareGpt,
                                               RowFormat::kAlpaca};

std::optional<RowFormat> FormatOf(v1::DataFormat format) {
  if (format == v1::DATA_FORMAT_UNSPECIFIED) return std::nullopt;
  return kFormats[static_cast<size_t>(format) - 1];
}

absl::StatusOr<DataSet> OpenFor(const std::string& path, const RowTokenizer& with,
                                const DataOptions& options, const planner::Workload& workload) {
  return OpenDataSet(path, with,
                     {.format = options.format,
                      .skips_bad_rows = options.skips_bad_rows,
                      .context = workload.context,
                      .thread_count = options.thread_count});
}

// Training documents, and held-out ones where there are any.
struct Documents {
  std::shared_ptr<const DocumentSource> training;
  std::shared_ptr<const DocumentSource> held_out;
  int64_t skipped_row_count = 0;
  uint64_t digest = 0;
  double held_out_share = 0;
};

absl::StatusOr<Documents> OpenDocuments(const v1::JobSpec& spec, const DataOptions& options,
                                        const planner::Workload& workload,
                                        const RowTokenizer& with) {
  TUNESMITH_ASSIGN_OR_RETURN(DataSet all, OpenFor(spec.dataset_path(), with, options, workload));
  Documents documents{.training = all.documents,
                      .held_out = nullptr,
                      .skipped_row_count = all.skipped_row_count,
                      .digest = all.digest};
  if (spec.evaluation_share() > 0) {
    TUNESMITH_ASSIGN_OR_RETURN(SplitDocuments split,
                               HoldOut(all.documents, spec.evaluation_share(),
                                       static_cast<uint64_t>(spec.training().seed())));
    documents.training = std::move(split.training);
    documents.held_out = std::move(split.held_out);
    documents.held_out_share = static_cast<double>(documents.held_out->document_count()) /
                               static_cast<double>(all.documents->document_count());
  } else if (!spec.evaluation_path().empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(DataSet held_out,
                               OpenFor(spec.evaluation_path(), with, options, workload));
    documents.held_out = std::move(held_out.documents);
    documents.skipped_row_count += held_out.skipped_row_count;
  }
  return documents;
}

}  // namespace

DataOptions DataOptionsOf(const v1::JobSpec& spec) {
  return {.format = FormatOf(spec.data_format()),
          .chat_template_path = spec.chat_template_path(),
          .skips_bad_rows = spec.skip_bad_rows(),
          .drops_long_rows = spec.long_rows() == v1::LONG_ROWS_DROP,
          .thread_count = spec.thread_count()};
}

absl::StatusOr<std::optional<RowFormat>> RowFormatNamed(const std::string& name) {
  if (name.empty()) return std::nullopt;
  std::string known;
  for (const RowFormat format : kFormats) {
    if (RowFormatName(format) == name) return format;
    known = StrCat(known, known.empty() ? "" : ", ", RowFormatName(format));
  }
  return absl::InvalidArgumentError(
      StrCat("the data format \"", name, "\" is not known; known: ", known));
}

absl::StatusOr<RowTokenizer> OpenRowTokenizer(const std::string& model_path,
                                              const std::string& chat_template_path,
                                              int64_t unix_seconds) {
  TUNESMITH_ASSIGN_OR_RETURN(Tokenizer tokenizer, OpenTokenizer(model_path));
  RowTokenizer with{.tokenizer = std::make_shared<const Tokenizer>(std::move(tokenizer)),
                    .chat_template = std::nullopt};
  if (chat_template_path.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(with.chat_template, OpenChatTemplate(model_path));
  } else {
    TUNESMITH_ASSIGN_OR_RETURN(with.chat_template,
                               ReadChatTemplate(chat_template_path, model_path));
  }
  if (with.chat_template) with.chat_template->set_unix_seconds(unix_seconds);
  return with;
}

absl::StatusOr<Loader> MakeLoader(std::shared_ptr<const DocumentSource> documents,
                                  const planner::Workload& workload, const DataOptions& options,
                                  bool shuffles, uint64_t seed) {
  // A capacity of the whole row is none: the program then has no rows to name.
  const int64_t loss_capacity = planner::LossTokensPerRow(workload);
  // A capacity of 0 leaves the number of documents in a row open; a document has at least one token.
  const int64_t capacity =
      workload.document_capacity > 0 ? workload.document_capacity : workload.context;
  return Loader::Create(
      std::move(documents),
      {.context = workload.context,
       .document_capacity = capacity,
       .loss_token_capacity = loss_capacity < workload.context ? loss_capacity : 0,
       .repeats_documents = !shuffles,
       .drops_long_documents = options.drops_long_rows,
       .shuffles = shuffles,
       .seed = seed});
}

std::string HeldOutText(const JobData& data) {
  const std::string documents = StrCat(data.held_out_document_count, " documents");
  if (data.held_out_share == 0) return StrCat(documents, " of another file");
  return StrCat(documents, absl::StrFormat(", %.2f %% of the data set", 100 * data.held_out_share));
}

absl::StatusOr<JobData> OpenJobData(const v1::JobSpec& spec, const planner::Workload& workload,
                                    const RowTokenizer& with) {
  const DataOptions options = DataOptionsOf(spec);
  const auto seed = static_cast<uint64_t>(spec.training().seed());
  TUNESMITH_ASSIGN_OR_RETURN(Documents documents, OpenDocuments(spec, options, workload, with));
  TUNESMITH_ASSIGN_OR_RETURN(
      Loader training, MakeLoader(std::move(documents.training), workload, options, true, seed));
  JobData data{.training = std::move(training),
               .evaluation = std::nullopt,
               .skipped_row_count = documents.skipped_row_count,
               .digest = documents.digest};
  if (documents.held_out != nullptr) {
    data.held_out_document_count = documents.held_out->document_count();
    data.held_out_share = documents.held_out_share;
    TUNESMITH_ASSIGN_OR_RETURN(
        data.evaluation, MakeLoader(std::move(documents.held_out), workload, options, false, seed));
  }
  return data;
}

}  // namespace tunesmith::trainer
