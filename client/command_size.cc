#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "absl/strings/str_split.h"
#include "client/cluster_flag.h"
#include "client/commands.h"
#include "client/exit_codes.h"
#include "client/listings.h"
#include "client/positive.h"
#include "client/prices.h"
#include "client/print_answer.h"
#include "client/question_flags.h"
#include "client/show_size.h"
#include "common/duration.h"
#include "common/status_macros.h"
#include "common/str_cat.h"
#include "planner/answer/device_counts.h"
#include "planner/model/hardware.h"
#include "proto/convert/json.h"
#include "proto/convert/model.h"

namespace tunesmith::client {
namespace {

// Longer than any context that is asked about needs; the planner cuts it to the context.
constexpr int64_t kLongContext = 1 << 20;

struct SizeFlags {
  QuestionFlags question;
  bool gpus_given = false;
  std::string cluster;
  std::string deadline;
  std::vector<std::string> prices;
  std::string price_file;
  int64_t devices_per_node = planner::kDevicesPerNode;
  int64_t most_devices = 0;  // 0: the planner's own limit
  bool longest_context = false;
  std::string plan_out;
  Output output;
};

absl::StatusOr<std::vector<Price>> AllPrices(const SizeFlags& flags) {
  std::vector<Price> prices;
  if (!flags.price_file.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(prices, ReadPrices(flags.price_file));
  }
  for (const std::string& text : flags.prices) {
    TUNESMITH_ASSIGN_OR_RETURN(Price price, ParsePrice(text));
    prices.push_back(std::move(price));
  }
  return prices;
}

std::string NameOf(const v1::SizeKind& kind) {
  return kind.has_hardware() ? kind.hardware().name() : kind.device_name();
}

v1::SizeKind KindOfGroup(const planner::NodeGroup& group) {
  v1::SizeKind kind;
  *kind.mutable_hardware() = convert::ToProto(group.hardware);
  kind.set_devices_per_node(group.devices_per_node);
  kind.set_device_limit(group.node_count * group.devices_per_node);
  kind.set_network_bytes_per_second(group.network_bytes_per_second);
  kind.set_host_memory_bytes(group.host_memory_bytes);
  return kind;
}

// A count is how many there are: "16xL4" at most 16, "2x8xH100" at most 2 nodes of 8.
absl::StatusOr<v1::SizeKind> KindOfText(absl::string_view text, const SizeFlags& flags) {
  TUNESMITH_ASSIGN_OR_RETURN(const planner::NamedDevices devices,
                             planner::SplitDevices(ToStd(text)));
  v1::SizeKind kind;
  kind.set_device_name(devices.name);
  kind.set_device_limit(devices.device_count);
  kind.set_devices_per_node(devices.node_count > 0 ? devices.device_count / devices.node_count
                                                   : flags.devices_per_node);
  kind.set_network_bytes_per_second(flags.question.network_gigabits_per_second * 1e9 / 8);
  return kind;
}

// The kinds of --cluster, of --gpus, or those that have a price.
absl::StatusOr<std::vector<v1::SizeKind>> KindsOf(const SizeFlags& flags,
                                                  const std::vector<Price>& prices) {
  std::vector<v1::SizeKind> kinds;
  if (!flags.cluster.empty()) {
    TUNESMITH_ASSIGN_OR_RETURN(const auto groups, ReadCluster(flags.cluster));
    for (const planner::NodeGroup& group : groups) kinds.push_back(KindOfGroup(group));
    return kinds;
  }
  std::vector<std::string> texts;
  if (flags.gpus_given) {
    texts = absl::StrSplit(flags.question.gpus, ',');
  } else {
    for (const Price& price : prices) {
      if (!price.device.empty()) texts.push_back(price.device);
    }
  }
  if (texts.empty())
    return absl::InvalidArgumentError(
        "--gpus is missing; name the kinds to choose from, such as H100 or H100,A100-80GB");
  for (const std::string& text : texts) {
    TUNESMITH_ASSIGN_OR_RETURN(v1::SizeKind kind, KindOfText(text, flags));
    kinds.push_back(std::move(kind));
  }
  return kinds;
}

absl::Status SetPrices(const std::vector<Price>& prices, std::vector<v1::SizeKind>& kinds) {
  std::vector<std::string> names;
  for (const v1::SizeKind& kind : kinds) names.push_back(NameOf(kind));
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<double> amounts, PricesOf(names, prices));
  for (size_t i = 0; i < kinds.size(); ++i) kinds[i].set_price_per_device_hour(amounts[i]);
  return absl::OkStatus();
}

// Whatever --gpus says, the kinds are what is asked about.
absl::StatusOr<v1::SizeRequest> CountsRequest(const SizeFlags& flags, v1::Question question) {
  v1::SizeRequest request;
  v1::DeviceCountsAsked& asked = *request.mutable_device_counts();
  if (!flags.deadline.empty()) {
    const absl::StatusOr<double> seconds = ParseDurationSeconds(flags.deadline);
    if (!seconds.ok())
      return absl::InvalidArgumentError(
          StrCat("--deadline: ", std::string(seconds.status().message())));
    asked.set_finish_within_seconds(*seconds);
  }
  TUNESMITH_ASSIGN_OR_RETURN(const std::vector<Price> prices, AllPrices(flags));
  const bool sized = question.workload().dataset_token_count() > 0;
  if (!sized && (asked.finish_within_seconds() > 0 || !prices.empty()))
    return absl::InvalidArgumentError(
        "hours and cost need the size of the data set; give --dataset or --dataset-tokens");
  TUNESMITH_ASSIGN_OR_RETURN(std::vector<v1::SizeKind> kinds, KindsOf(flags, prices));
  TUNESMITH_RETURN_IF_ERROR(SetPrices(prices, kinds));
  for (v1::SizeKind& kind : kinds) *asked.add_kinds() = std::move(kind);
  asked.set_most_device_count(flags.most_devices);
  question.clear_devices();
  *request.mutable_question() = std::move(question);
  return request;
}

// One request for the devices of --gpus, or one for every kind of node.
absl::StatusOr<std::vector<HeadedAnswer<v1::SizeRequest>>> ContextRequests(
    const SizeFlags& flags, const v1::Question& question) {
  std::vector<HeadedAnswer<v1::SizeRequest>> requests;
  const auto add = [&](const std::string& heading, const v1::Question& asked) {
    v1::SizeRequest request;
    *request.mutable_question() = asked;
    request.mutable_longest_context();
    requests.push_back({.heading = heading, .answer = std::move(request)});
  };
  if (flags.cluster.empty()) {
    add("", question);
    return requests;
  }
  TUNESMITH_ASSIGN_OR_RETURN(const auto groups, ReadCluster(flags.cluster));
  for (const planner::NodeGroup& group : groups)
    add(GroupName(group), QuestionForGroup(question, group));
  return requests;
}

absl::StatusOr<std::vector<HeadedAnswer<v1::SizeRequest>>> RequestsOf(
    const SizeFlags& flags, const v1::Question& question) {
  if (flags.longest_context) return ContextRequests(flags, question);
  TUNESMITH_ASSIGN_OR_RETURN(v1::SizeRequest request, CountsRequest(flags, question));
  return std::vector<HeadedAnswer<v1::SizeRequest>>{{.heading = "", .answer = std::move(request)}};
}

const v1::Plan* PlanOf(const v1::SizeResponse& answer) {
  if (answer.has_device_counts())
    return answer.device_counts().has_plan() ? &answer.device_counts().plan() : nullptr;
  return answer.longest_context().has_plan() ? &answer.longest_context().plan() : nullptr;
}

absl::Status WritePlan(const SizeFlags& flags,
                       const std::vector<HeadedAnswer<v1::SizeResponse>>& answers) {
  const v1::Plan* const plan = PlanOf(answers.front().answer);
  if (flags.plan_out.empty() || plan == nullptr) return absl::OkStatus();
  if (answers.size() > 1)
    return absl::InvalidArgumentError(
        "--plan-out: the cluster has several kinds of nodes; ask about one of them");
  TUNESMITH_RETURN_IF_ERROR(convert::WriteJsonFile(flags.plan_out, *plan));
  std::fprintf(stderr, "plan written to %s\n", flags.plan_out.c_str());
  return absl::OkStatus();
}

absl::StatusOr<AskedQuestion> QuestionOf(const SizeFlags& flags) {
  QuestionFlags question = flags.question;
  if (!flags.longest_context) return QuestionFromFlags(question);
  if (question.loss == "completion")
    return absl::InvalidArgumentError(
        "--loss completion depends on the context; with --longest-context give "
        "--loss-tokens-per-row");
  if (question.context > 0)
    return absl::InvalidArgumentError("--context is what --longest-context finds; leave it out");
  question.context = kLongContext;
  return QuestionFromFlags(question);
}

Listing SizeListing(const v1::SizeResponse& answer) {
  if (answer.has_device_counts())
    return DeviceCountListing(answer.device_counts(), /*impossible_too=*/true);
  google::protobuf::RepeatedPtrField<v1::RankedMix> mixes;
  if (answer.longest_context().has_best()) *mixes.Add() = answer.longest_context().best();
  Listing listing = MixListing(mixes, /*starred=*/true);
  listing.Prepend({"context", "context", true}, CountCell(answer.longest_context().context()));
  return listing;
}

constexpr AnswerForms<v1::SizeResponse> kSizeForms = {ShowSize, SizeListing};

int RunSize(const Globals& globals, const SizeFlags& flags) {
  const absl::StatusOr<AskedQuestion> asked = QuestionOf(flags);
  if (!asked.ok()) return Fail(asked.status());
  const auto requests = RequestsOf(flags, asked->question);
  if (!requests.ok()) return Fail(requests.status());
  std::vector<HeadedAnswer<v1::SizeResponse>> answers;
  const std::unique_ptr<Recommender> recommender = globals.MakeRecommender();
  for (const auto& [heading, request] : *requests) {
    absl::StatusOr<v1::SizeResponse> answer = recommender->Size(request);
    if (!answer.ok()) return Fail(answer.status());
    answers.push_back({.heading = heading, .answer = *std::move(answer)});
  }
  PrintAnswers(answers, asked->notes, flags.output, kSizeForms);
  if (const absl::Status status = WritePlan(flags, answers); !status.ok()) return Fail(status);
  const bool any = std::any_of(answers.begin(), answers.end(),
                               [](const auto& headed) { return PlanOf(headed.answer) != nullptr; });
  return any ? kExitOk : kExitNothingFits;
}

void AddSizeFlags(CLI::App& command, SizeFlags& flags) {
  AddQuestionFlags(command, flags.question);
  AddClusterFlag(command, flags.cluster);
  CLI::Option* const longest = command.add_flag(
      "--longest-context", flags.longest_context,
      "Ask for the longest context that fits the devices, instead of for their count");
  command
      .add_option("--deadline", flags.deadline,
                  "Time allowed for the whole data set, such as 8h, 90m or 2d; any by default")
      ->excludes(longest);
  command
      .add_option("--price", flags.prices,
                  "What an hour of a device costs, such as H100=2.99, in any currency; repeat for "
                  "other kinds. The cheapest kind and count is chosen then")
      ->excludes(longest);
  command
      .add_option("--prices", flags.price_file, "The same as a JSON file such as {\"H100\": 2.99}")
      ->excludes(longest);
  command.add_option("--devices-per-node", flags.devices_per_node, "Devices of a node")
      ->check(Positive())
      ->excludes(longest)
      ->capture_default_str();
  command
      .add_option("--max-devices", flags.most_devices, "Most devices of a kind; 1024 by default")
      ->check(Positive())
      ->excludes(longest);
  command.add_option("--plan-out", flags.plan_out, "Write the choice as a plan, for launch --plan");
  AddOutputFlags(command, flags.output);
}

}  // namespace

void AddSize(CLI::App& app, Globals& globals) {
  CLI::App* command = app.add_subcommand(
      "size",
      "Find how many devices, and of which kind, finish in time or cost least; or the longest "
      "context that fits");
  auto flags = std::make_shared<SizeFlags>();
  AddSizeFlags(*command, *flags);
  command->callback([&globals, flags, command] {
    flags->gpus_given = command->count("--gpus") > 0;
    globals.run = [&globals, flags] { return RunSize(globals, *flags); };
  });
}

}  // namespace tunesmith::client
