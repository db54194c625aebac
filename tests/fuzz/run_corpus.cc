// Runs a fuzz target over every file of the folders that are named: a regression test without libFuzzer. Fails when there is no file.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

#include "common/file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  int64_t count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      const auto text = tunesmith::ReadFile(entry.path().string());
      if (!text.ok()) {
        std::cerr << text.status() << "\n";
        return 1;
      }
      std::cerr << entry.path().string() << std::endl;  // flushed: names the input that crashes
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text->data()), text->size());
      ++count;
    }
  }
  std::cerr << count << " inputs\n";
  return count > 0 ? 0 : 1;
}
