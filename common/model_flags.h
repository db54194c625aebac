#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

// The flags of the commands that work on a model without a job. The trainer's binary carries them out; `tunesmith` describes and checks them too, and
// passes them on.
namespace tunesmith {

// What an adapter meets, and whether it may be another model's.
struct BaseFlags {
  std::string base = "auto";  // auto, wide, nf4 or nf4-double
  bool any_base = false;
};

struct EvaluateFlags {
  std::string model;
  std::string adapter;  // empty: none
  std::string dataset;
  int64_t context = 0;
  std::string device = "cpu";
  int64_t thread_count = 0;  // 0: one per processor
  bool skips_bad_rows = false;
  std::string data_format;    // empty: as the first row tells
  std::string chat_template;  // empty: the model's own
  std::string output = "table";
  BaseFlags base;
};

struct ConvertFlags {
  std::string model;
  std::string output;
  std::string dtype = "bf16";
  double shard_gigabytes = 5;
  std::string adapter;  // empty: none is merged
  BaseFlags base;
};

// `flags` must outlive `command`'s parsing.
void AddEvaluateFlags(CLI::App& command, EvaluateFlags& flags);
void AddConvertFlags(CLI::App& command, ConvertFlags& flags);

}  // namespace tunesmith
