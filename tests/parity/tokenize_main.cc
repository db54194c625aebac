// Prints what our tokenizer makes of each line of standard input, for comparison with others: a JSON string per line in, a JSON array of ids per line
// out; with --decode, the text that the ids stand for instead.
//
//   tokenize MODEL [--add-special] [--decode] [--write-tokenizer-json FILE]
#include <fstream>
#include <iostream>
#include <string>

#include "common/json.h"
#include "trainer/model_io/tokenizer.h"
#include "trainer/model_io/tokenizer_json.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << status << "\n";
  return 1;
}

int EncodeLines(const tunesmith::trainer::Tokenizer& tokenizer, bool add_special, bool decode) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto text = tunesmith::ParseJson(line, "standard input");
    if (!text.ok() || !text->is_string()) return Fail(text.status());
    const auto ids = tokenizer.Encode(text->get<std::string>(), add_special);
    if (!ids.ok()) return Fail(ids.status());
    const nlohmann::json result =
        decode ? nlohmann::json(tokenizer.Decode(*ids)) : nlohmann::json(*ids);
    std::cout << result.dump() << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    return Fail(absl::InvalidArgumentError(
        "usage: tokenize MODEL [--add-special] [--decode] [--write-tokenizer-json FILE]"));
  const auto tokenizer = tunesmith::trainer::OpenTokenizer(argv[1]);
  if (!tokenizer.ok()) return Fail(tokenizer.status());
  bool add_special = false, decode = false;
  for (int i = 2; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--add-special") add_special = true;
    if (flag == "--decode") decode = true;
    if (flag == "--write-tokenizer-json" && i + 1 < argc) {
      std::ofstream(argv[++i]) << tunesmith::trainer::TokenizerJsonFromSpec(tokenizer->spec());
    }
  }
  return EncodeLines(*tokenizer, add_special, decode);
}
