// Asks which mix fine-tunes Llama 3.1 8B soonest on one A100, and prints it: recommend [SERVER]. Without a server the linked planner answers.

#include <cstdio>
#include <memory>

#include "client/client.h"

int main(int argc, char** argv) {
  using namespace tunesmith;
  const std::unique_ptr<client::Recommender> recommender =
      argc > 1 ? client::MakeRemoteRecommender({.server = argv[1]})
               : client::MakeOfflineRecommender(absl::Seconds(10));
  v1::RecommendRequest request;
  v1::Question& question = *request.mutable_question();
  question.set_model_name("Llama-3.1-8B");
  question.set_device_name("A100-80GB");
  question.set_method(v1::METHOD_LORA);
  question.mutable_workload()->set_context(4096);
  question.mutable_workload()->set_rows_per_step(16);
  question.mutable_workload()->set_document_capacity(64);

  const absl::StatusOr<v1::RecommendResponse> answer = recommender->Recommend(request);
  if (!answer.ok()) {
    std::fprintf(stderr, "%s\n", answer.status().ToString().c_str());
    return 1;
  }
  if (answer->ranked().empty()) {
    std::puts("nothing fits");
    return 3;
  }
  const v1::RankedMix& chosen = answer->ranked(0);
  std::printf("%s\n%.2f GiB, %.2f s per step\n", chosen.mix_line().c_str(),
              static_cast<double>(chosen.prediction().memory().total_bytes()) / (1 << 30),
              chosen.prediction().time().step_seconds());
}
