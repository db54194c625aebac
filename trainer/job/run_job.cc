#include "trainer/job/run_job.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>
#include <vector>

#include "common/median.h"
#include "common/meminfo.h"
#include "common/numbers.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "trainer/comm/rank_loss.h"
#include "trainer/cuda/cuda_context.h"
#include "trainer/job/announcement.h"
#include "trainer/job/checkpoint.h"
#include "trainer/job/checkpoint_directory.h"
#include "trainer/job/job_output.h"
#include "trainer/job/job_reporter.h"
#include "trainer/job/job_setup.h"
#include "trainer/job/job_world.h"
#include "trainer/job/rank_group.h"
#include "trainer/job/run_limits.h"
#include "trainer/job/save_result.h"
#include "trainer/job/schedule.h"

namespace tunesmith::trainer {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

int64_t AttemptNumber() {
  const char* text = std::getenv("TUNESMITH_ATTEMPT");
  int64_t attempt = 0;
  return text != nullptr && ParseInt64(text, &attempt) ? attempt : 0;
}

// One attempt of a job on one rank, from set-up to result. All ranks do the same, but the first alone tells of it and writes what no rank shares.
class JobRunner {
 public:
  JobRunner(JobSetup setup, const RankGroup& ranks, JobReporter& reporter,
            const std::atomic<bool>& stop)
      : setup_(std::move(setup)), ranks_(ranks), reporter_(reporter), stop_(stop) {}

  absl::StatusOr<v1::JobExit> Run() {
    step_count_ =
        StepCountOf(training(), setup_.data.training, setup_.plan.question.workload.rows_per_step);
    TUNESMITH_RETURN_IF_ERROR(Announce());
    TUNESMITH_RETURN_IF_ERROR(Resume());
    if (ranks_.is_first())
      TUNESMITH_RETURN_IF_ERROR(PrepareOutput(Output(), setup_.spec.model_path()));
    TUNESMITH_RETURN_IF_ERROR(BeforeSteps());
    while (state_.step < step_count_ && !OutOfPatience()) {
      TUNESMITH_RETURN_IF_ERROR(LookWhetherToStop());
      if (is_stopping_) return Interrupt();
      TUNESMITH_RETURN_IF_ERROR(TakeStep());
      TUNESMITH_RETURN_IF_ERROR(BetweenSteps());
    }
    return Finish();
  }

  int64_t step() const { return state_.step; }

 private:
  const planner::Mix& mix() const { return setup_.plan.prediction.mix; }
  const v1::Training& training() const { return setup_.spec.training(); }
  std::string Output() const { return OutputDirectory(setup_.spec, reporter_.run_directory()); }

  absl::Status Announce() {
    for (const LogLine& line :
         AnnouncementOf(mix(), setup_.plan.question.workload, setup_.data, step_count_))
      TUNESMITH_RETURN_IF_ERROR(reporter_.Log(line.severity, line.text));
    return absl::OkStatus();
  }

  absl::Status Resume() {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t step, FindCheckpoint());
    state_.loader = setup_.data.training.state();
    state_.data_digest = setup_.data.digest;
    if (step < 0) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(state_,
                               LoadCheckpoint(reporter_.run_directory(), step, *setup_.session));
    saved_ = state_;
    TUNESMITH_RETURN_IF_ERROR(CheckData());
    TUNESMITH_RETURN_IF_ERROR(setup_.data.training.Restore(state_.loader));
    return reporter_.Log(v1::LOG_SEVERITY_INFO,
                         StrCat("goes on from the checkpoint of step ", state_.step));
  }

  // The step to go on from; -1: there is none. The first rank's view counts: a shared file system may show others an older one.
  absl::StatusOr<int64_t> FindCheckpoint() {
    std::optional<int64_t> newest;
    if (ranks_.is_first()) {
      TUNESMITH_RETURN_IF_ERROR(RecoverCheckpoints(reporter_.run_directory()));
      TUNESMITH_ASSIGN_OR_RETURN(newest, NewestCheckpoint(reporter_.run_directory()));
    }
    return ranks_.FromFirst(newest.value_or(-1));
  }

  // In other data, the position that was saved means nothing. Earlier versions did not save what the data was.
  absl::Status CheckData() {
    if (!state_.data_digest) state_.data_digest = setup_.data.digest;
    if (*state_.data_digest == setup_.data.digest) return absl::OkStatus();
    return absl::FailedPreconditionError(
        StrCat("the documents of ", setup_.spec.dataset_path(),
               " are not those that the checkpoint of step ", state_.step,
               " was trained on: the file, the tokenizer, the chat template or its date, which is "
               "the time of job.json, has changed since; put back what was, or start a new job"));
  }

  absl::Status TakeStep() {
    const auto start = Clock::now();
    std::vector<Batch> batches;
    for (int64_t i = 0; i < mix().accumulation_count; ++i) {
      TUNESMITH_ASSIGN_OR_RETURN(batches.emplace_back(),
                                 setup_.data.training.NextBatch(mix().micro_batch, ranks_.share()));
    }
    int64_t own_token_count = 0;
    for (const Batch& batch : batches) own_token_count += batch.token_count;
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t token_count, ranks_.SumOfShares(own_token_count));
    const int64_t step = state_.step + 1;
    absl::StatusOr<StepResult> result = setup_.session->Step(batches, ConstantsOf(step));
    if (!result.ok()) return StepFailure(result.status(), step, RowsOfStep(batches));
    const double seconds = SecondsSince(start);
    step_seconds_.push_back(seconds);
    state_.last_loss = result->mean_loss;
    state_.step = step;
    state_.loader = setup_.data.training.state();
    state_.token_count += token_count;
    TUNESMITH_RETURN_IF_ERROR(ReportStep(*result, token_count, seconds));
    TUNESMITH_RETURN_IF_ERROR(TellNotes());
    return CheckSpike(result->mean_loss, batches);
  }

  absl::Status TellNotes() {
    CudaContext* const cuda = setup_.session->executor().context().cuda;
    if (cuda == nullptr) return absl::OkStatus();
    for (const std::string& note : cuda->TakeNotes())
      TUNESMITH_RETURN_IF_ERROR(reporter_.Log(v1::LOG_SEVERITY_WARNING, note));
    return absl::OkStatus();
  }

  std::string RowsOfStep(const std::vector<Batch>& batches) const {
    return RowsOf(batches, setup_.spec.dataset_path(), ranks_.share());
  }

  absl::Status CheckSpike(double loss, const std::vector<Batch>& batches) {
    const double ratio = state_.history.AddLoss(loss), most = setup_.spec.most_loss_spike();
    const bool fails = most > 0 && ratio > most;
    if (!fails && ratio < kToldSpike) return absl::OkStatus();
    const std::string text = SpikeText(loss, ratio), rows = RowsOfStep(batches);
    if (fails) return StepFailure(absl::DataLossError(text), state_.step, rows);
    return reporter_.Log(v1::LOG_SEVERITY_WARNING,
                         StrCat("step ", state_.step, " (", rows, "): ", text));
  }

  StepConstants ConstantsOf(int64_t step) const {
    const v1::Training& t = training();
    return {.learning_rate = LearningRateAt(t, step, step_count_),
            .beta1 = t.beta1(),
            .beta2 = t.beta2(),
            .epsilon = t.epsilon(),
            .weight_decay = t.weight_decay(),
            .max_gradient_norm = t.max_gradient_norm(),
            .optimizer_step = step};
  }

  absl::Status ReportStep(const StepResult& result, int64_t token_count, double seconds) {
    v1::Event event;
    v1::Progress& progress = *event.mutable_progress();
    progress.set_step(state_.step);
    progress.set_step_count(step_count_);
    progress.set_loss(result.mean_loss);
    progress.set_learning_rate(LearningRateAt(training(), state_.step, step_count_));
    progress.set_gradient_norm(result.gradient_norm);
    progress.set_step_seconds(seconds);
    progress.set_tokens_per_second(static_cast<double>(token_count) / seconds);
    progress.set_seconds_left(Median(step_seconds_) *
                              static_cast<double>(step_count_ - state_.step));
    progress.set_token_count(state_.token_count);
    TUNESMITH_RETURN_IF_ERROR(reporter_.Report(event));
    return reporter_.Beat(state_.step);
  }

  // The ranks stop together, or not at all.
  absl::Status LookWhetherToStop() {
    if (!is_stopping_) {
      TUNESMITH_ASSIGN_OR_RETURN(is_stopping_, ranks_.Any(stop_));
    }
    return absl::OkStatus();
  }

  // An attempt that was stopped while it evaluated has left that to the next.
  absl::Status BeforeSteps() {
    if (state_.step > 0) return BetweenSteps();
    TUNESMITH_ASSIGN_OR_RETURN(state_.held_out_loss_before, EvaluateHeldOut());
    return is_stopping_ ? absl::OkStatus() : Sample();
  }

  // Checkpoints and evaluations that fall due after a step, but for the last.
  absl::Status BetweenSteps() {
    if (state_.step == step_count_) return absl::OkStatus();
    const auto due = [this](int64_t every) { return every > 0 && state_.step % every == 0; };
    if (due(setup_.spec.evaluate_every_step_count()))
      TUNESMITH_RETURN_IF_ERROR(EvaluateHeldOut().status());
    if (due(setup_.spec.checkpoint_every_step_count()) || KeptBest() == state_.step) return Save();
    return absl::OkStatus();
  }

  bool OutOfPatience() const {
    const int64_t patience = setup_.spec.patience_evaluation_count();
    return patience > 0 && state_.history.evaluations_without_improvement() >= patience;
  }

  // The step whose checkpoint is kept for its evaluation.
  std::optional<int64_t> KeptBest() const {
    if (!setup_.spec.keep_best() || !state_.history.best()) return std::nullopt;
    return state_.history.best()->step;
  }

  // An error where a newer attempt of the job runs, which alone may write then.
  absl::Status CheckAttempt() {
    if (!ranks_.is_first() || AttemptNumber() == 0) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t newest,
                               convert::NewestAttempt(reporter_.run_directory()));
    if (newest <= AttemptNumber()) return absl::OkStatus();
    return absl::AbortedError(
        StrCat("attempt ", newest, " of this job has started; this attempt ends"));
  }

  // Not again what was just saved or loaded: a job that is asked to stop has little time.
  absl::Status Save() {
    TUNESMITH_RETURN_IF_ERROR(CheckAttempt());
    if (saved_ == state_) return absl::OkStatus();
    TUNESMITH_ASSIGN_OR_RETURN(const std::string path,
                               SaveCheckpoint(reporter_.run_directory(), *setup_.session, state_,
                                              {setup_.spec.kept_checkpoint_count(), KeptBest()}));
    saved_ = state_;
    v1::Event event;
    event.mutable_checkpoint_saved()->set_step(state_.step);
    event.mutable_checkpoint_saved()->set_path(path);
    return reporter_.Report(event);
  }

  // Mean loss over the held-out data; none where there is none, and where the job is to stop: then nothing is recorded, and it has to be done again.
  absl::StatusOr<std::optional<double>> EvaluateHeldOut() {
    if (!setup_.data.evaluation.has_value()) return std::optional<double>();
    const auto& last = state_.history.last();
    if (last && last->step == state_.step) return std::optional<double>(last->loss);
    Loader& loader = *setup_.data.evaluation;
    loader.StartEpoch(0);
    EvaluationResult result;
    for (;;) {
      TUNESMITH_RETURN_IF_ERROR(LookWhetherToStop());
      if (is_stopping_) return std::optional<double>();
      TUNESMITH_ASSIGN_OR_RETURN(const Batch batch,
                                 loader.NextBatchOfEpoch(mix().micro_batch, ranks_.share()));
      if (batch.row_count == 0) break;
      TUNESMITH_RETURN_IF_ERROR(setup_.session->Evaluate(batch, result));
      TUNESMITH_RETURN_IF_ERROR(reporter_.Beat(state_.step));
    }
    // Compared with others it would be the best, and JSON has no word for it.
    if (!std::isfinite(result.mean_loss)) return EvaluationFailure(result.mean_loss, state_.step);
    v1::Event event;
    event.mutable_evaluation()->set_step(state_.step);
    event.mutable_evaluation()->set_mean_loss(result.mean_loss);
    event.mutable_evaluation()->set_token_count(result.predicted_token_count);
    event.mutable_evaluation()->set_best(
        state_.step > 0 && state_.history.AddEvaluation({state_.step, result.mean_loss},
                                                        setup_.spec.least_improvement()));
    TUNESMITH_RETURN_IF_ERROR(reporter_.Report(event));
    return std::optional<double>(result.mean_loss);
  }

  absl::Status Sample() {
    for (const std::string& prompt : setup_.spec.sample_prompts()) {
      TUNESMITH_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                                 setup_.tokenizer->Encode(prompt, /*add_special=*/true));
      std::vector<int32_t> ends;
      if (setup_.tokenizer->eos_id()) ends.push_back(*setup_.tokenizer->eos_id());
      TUNESMITH_ASSIGN_OR_RETURN(
          const std::vector<int32_t> answer,
          setup_.session->Generate(tokens, setup_.spec.sample_token_count(), ends));
      v1::Event event;
      event.mutable_sample()->set_step(state_.step);
      event.mutable_sample()->set_prompt(prompt);
      event.mutable_sample()->set_text(setup_.tokenizer->Decode(answer));
      TUNESMITH_RETURN_IF_ERROR(reporter_.Report(event));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::JobExit> Interrupt() {
    TUNESMITH_RETURN_IF_ERROR(Save());
    TUNESMITH_RETURN_IF_ERROR(ranks_.Meet());
    v1::JobExit exit;
    exit.set_state(v1::JOB_STATE_CANCELLED);
    exit.set_reason(StrCat("interrupted after step ", state_.step, " of ", step_count_,
                           "; its checkpoint was saved, resume goes on from there"));
    exit.set_last_step(state_.step);
    return exit;
  }

  absl::StatusOr<v1::JobExit> Finish() {
    TUNESMITH_ASSIGN_OR_RETURN(std::optional<double> loss_after, EvaluateHeldOut());
    if (is_stopping_) return Interrupt();
    TUNESMITH_RETURN_IF_ERROR(Save());
    CheckpointState written = state_;
    if (const int64_t step = KeptBest().value_or(state_.step); step != state_.step) {
      TUNESMITH_ASSIGN_OR_RETURN(written, GoBackTo(step));
      loss_after = state_.history.best()->loss;
    }
    TUNESMITH_RETURN_IF_ERROR(Sample());
    TUNESMITH_RETURN_IF_ERROR(
        SaveResult(*setup_.session, setup_.base_checksum, setup_.spec.model_path(), Output()));
    // Until here others may read of this rank. What follows, the first does alone, and nobody waits for it: a merge may take longer than ranks are waited for.
    TUNESMITH_RETURN_IF_ERROR(ranks_.Meet());
    if (ranks_.is_first())
      TUNESMITH_RETURN_IF_ERROR(
          CompleteOutput(CardOf(written, loss_after), setup_.chat_template, Output()));
    v1::JobExit exit;
    exit.set_state(v1::JOB_STATE_SUCCEEDED);
    exit.set_last_step(state_.step);
    TUNESMITH_ASSIGN_OR_RETURN(*exit.mutable_summary(), SummaryOf(written.step, loss_after));
    v1::Event event;
    *event.mutable_finished() = exit.summary();
    TUNESMITH_RETURN_IF_ERROR(reporter_.Report(event));
    return exit;
  }

  // What is written is what the model was after `step`.
  absl::StatusOr<CheckpointState> GoBackTo(int64_t step) {
    TUNESMITH_ASSIGN_OR_RETURN(CheckpointState then,
                               LoadCheckpoint(reporter_.run_directory(), step, *setup_.session));
    TUNESMITH_RETURN_IF_ERROR(
        reporter_.Log(v1::LOG_SEVERITY_INFO,
                      StrCat("the model of step ", step, ", whose evaluation was the best of ",
                             state_.step, " steps, is written")));
    return then;
  }

  ModelCard CardOf(const CheckpointState& written, const std::optional<double>& loss_after) const {
    return {.plan = setup_.plan,
            .spec = setup_.spec,
            .data = setup_.data,
            .step_count = written.step,
            .token_count = written.token_count,
            .final_loss = written.last_loss,
            .held_out_loss_before = written.held_out_loss_before,
            .held_out_loss_after = loss_after};
  }

  absl::StatusOr<v1::Finished> SummaryOf(int64_t output_step,
                                         const std::optional<double>& loss_after) {
    TUNESMITH_ASSIGN_OR_RETURN(const int64_t used_bytes,
                               setup_.session->executor().arena().CountUsedBytes());
    v1::Finished summary;
    summary.set_step(state_.step);
    if (state_.held_out_loss_before) summary.set_held_out_loss_before(*state_.held_out_loss_before);
    if (loss_after) summary.set_held_out_loss_after(*loss_after);
    summary.set_predicted_arena_bytes(setup_.plan.prediction.memory.arena_bytes);
    summary.set_used_arena_bytes(used_bytes);
    summary.set_predicted_step_seconds(setup_.plan.prediction.time.step_seconds);
    summary.set_measured_step_seconds(SteadyStepSeconds());
    summary.set_adapter_dir(Output());
    if (setup_.spec.merge_output()) summary.set_merged_dir(MergedDirectory(Output()));
    summary.set_token_count(state_.token_count);
    summary.set_final_loss(state_.last_loss.value_or(0));
    summary.set_peak_resident_bytes(PeakResidentBytes());
    summary.set_skipped_row_count(setup_.data.skipped_row_count);
    summary.set_output_step(output_step);
    summary.set_stopped_early(state_.step < step_count_);
    summary.set_held_out_document_count(setup_.data.held_out_document_count);
    summary.set_held_out_share(setup_.data.held_out_share);
    return summary;
  }

  // The median step, the first left out: it touches its memory for the first time.
  double SteadyStepSeconds() const {
    if (step_seconds_.size() < 2) return Median(step_seconds_);
    return Median({step_seconds_.begin() + 1, step_seconds_.end()});
  }

  JobSetup setup_;
  RankGroup ranks_;
  JobReporter& reporter_;
  const std::atomic<bool>& stop_;
  CheckpointState state_;
  std::optional<CheckpointState> saved_;  // what the newest checkpoint holds
  bool is_stopping_ = false;
  int64_t step_count_ = 0;
  std::vector<double> step_seconds_;
};

v1::JobExit Failed(const absl::Status& status, int64_t step) {
  v1::JobExit exit;
  exit.set_state(v1::JOB_STATE_FAILED);
  exit.set_reason(std::string(status.message()));
  exit.set_exit_code(1);
  exit.set_last_step(step);
  if (IsRankLoss(status)) exit.set_cause(v1::END_CAUSE_NODE_FAILED);
  return exit;
}

// One rank of the job. What the first one returns becomes `*exit`.
absl::Status RunRank(const JobRank& rank, JobReporter& reporter, const std::atomic<bool>& stop,
                     v1::JobExit* exit) {
  TUNESMITH_ASSIGN_OR_RETURN(JobSetup setup,
                             SetUpRank(rank.inputs, rank.comm, rank.thread_count, rank.local_rank));
  RankGroup ranks(rank.comm, setup.plan.prediction.mix.sequence_parallel);
  JobRunner runner(std::move(setup), ranks, reporter, stop);
  const absl::StatusOr<v1::JobExit> result = runner.Run();
  // Here, where what others may still read of this rank is alive.
  if (!result.ok() && rank.comm != nullptr)
    rank.comm->Abort(std::string(result.status().message()));
  if (ranks.is_first()) *exit = result.ok() ? *result : Failed(result.status(), runner.step());
  return result.status();
}

v1::JobExit RunReported(const Environment& environment, const RankPlace& place,
                        JobReporter& reporter, const std::atomic<bool>& stop) {
  v1::JobExit exit;
  const auto run = [&](const JobRank& rank) -> absl::Status {
    if (rank.comm == nullptr || rank.comm->rank() == 0) return RunRank(rank, reporter, stop, &exit);
    const auto silent = JobReporter::Silent(reporter.run_directory());
    return RunRank(rank, *silent, stop, &exit);
  };
  // What attempts before have done is not undone.
  const auto newest = NewestCheckpoint(reporter.run_directory());
  absl::Status status = reporter.Beat(newest.ok() ? newest->value_or(0) : 0);
  if (status.ok()) status = RunRanks(environment, place, reporter.run_directory(), run);
  const bool is_told = exit.state() != v1::JOB_STATE_UNSPECIFIED;
  return status.ok() || (is_told && exit.state() == v1::JOB_STATE_FAILED) ? exit
                                                                          : Failed(status, 0);
}

}  // namespace

v1::JobExit RunJob(const std::string& run_directory, const std::atomic<bool>& stop) {
  const Environment environment = ProcessEnvironment();
  const absl::StatusOr<RankPlace> place = FindRank(environment);
  if (place.ok() && place->rank > 0) {
    const auto silent = JobReporter::Silent(run_directory);
    return RunReported(environment, *place, *silent, stop);
  }
  auto reporter = JobReporter::Open(run_directory);
  v1::JobExit result = !reporter.ok() ? Failed(reporter.status(), 0)
                       : !place.ok()  ? Failed(place.status(), 0)
                                      : RunReported(environment, *place, **reporter, stop);
  if (reporter.ok() && result.state() == v1::JOB_STATE_FAILED)
    (void)(*reporter)->Log(v1::LOG_SEVERITY_ERROR, result.reason());
  if (const absl::Status written = WriteExit(run_directory, result);
      !written.ok() && result.state() != v1::JOB_STATE_FAILED)
    result = Failed(written, result.last_step());
  return result;
}

}  // namespace tunesmith::trainer
