#include "client/show_runtime.h"

#include "client/listings.h"
#include "client/show.h"
#include "client/table.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

std::string Range(const v1::RuntimeBytes& bytes) {
  return StrCat(Gib(bytes.low_bytes()), " to ", Gib(bytes.high_bytes()));
}

std::string MemoryText(const v1::RuntimeMemory& memory) {
  Table table({"memory per GPU", "GiB", "90 % interval"}, {1, 2});
  table.AddRow({"  at load", Gib(memory.load_bytes()), ""});
  table.AddRow({"  at the loss", Gib(memory.loss_bytes()), ""});
  table.AddRow({"  at backward", Gib(memory.backward_bytes()), ""});
  table.AddRow({"  at the optimizer step", Gib(memory.optimizer_step_bytes()), ""});
  table.AddRow({"  allocated, peak", Gib(memory.allocated().bytes()), Range(memory.allocated())});
  table.AddRow({"  reserved", Gib(memory.reserved().bytes()), Range(memory.reserved())});
  table.AddRow({"  process", Gib(memory.process().bytes()), Range(memory.process())});
  table.AddRow({"  available", Gib(memory.budget_bytes()), ""});
  if (memory.host_bytes() > 0) table.AddRow({"host memory", Gib(memory.host_bytes()), ""});
  return StrCat(table.ToString(), "binds at: ", memory.binding_instant(), "\n");
}

std::string TimeText(const v1::RuntimeTime& time) {
  return StrCat(
      "step: ", FormatSeconds(time.step_seconds()), " (90 % interval ",
      FormatSeconds(time.low_seconds()), " to ", FormatSeconds(time.high_seconds()), "; ",
      time.known_device() ? "rates from published measurements of this GPU" : "rates guessed",
      "): products ", FormatSeconds(time.gemm_seconds()), ", attention ",
      FormatSeconds(time.attention_seconds()), ", elementwise ",
      FormatSeconds(time.elementwise_seconds()), ", communication ",
      FormatSeconds(time.communication_seconds()), ", optimizer ",
      FormatSeconds(time.optimizer_seconds()), "; Python and launches take ",
      FormatSeconds(time.host_seconds()), "\n");
}

std::string NothingFits(const v1::RuntimeAnswer& answer) {
  const v1::RuntimeMemory& memory = answer.nearest().memory();
  const int64_t needed = memory.allocated().bytes() + memory.context_bytes();
  // Where the GPU's memory suffices, a note tells what does not.
  const std::string amounts = needed > memory.budget_bytes()
                                  ? StrCat("needs ", Gib(needed), " GiB per GPU, available ",
                                           Gib(memory.budget_bytes()), "\n")
                                  : "";
  return StrCat("nothing fits\nnearest: ", answer.nearest().mix_line(), "\n", amounts,
                MemoryText(memory));
}

std::string Chosen(const Output& output, const v1::RuntimeAnswer& answer) {
  const v1::RankedRuntimeMix& chosen = answer.ranked(0);
  return StrCat(TextOf(output, RuntimeMixListing(answer)), "* chosen: ", answer.choice_rule(),
                "\n\n", MemoryText(chosen.memory()), TimeText(chosen.time()));
}

}  // namespace

std::string ShowRuntimeAnswer(const Output& output, const v1::RuntimeAnswer& answer,
                              const std::vector<std::string>& notes) {
  std::string text = answer.ranked().empty() ? NothingFits(answer) : Chosen(output, answer);
  text += StrCat(answer.candidate_count(), " mixes, ", answer.feasible_count(), " fit\n");
  for (const std::string& note : notes) text += StrCat("note: ", note, "\n");
  for (const std::string& note : answer.notes()) text += StrCat("note: ", note, "\n");
  return text;
}

}  // namespace tunesmith::client
