// Replays published measurements through runtimes/: published_bench FILE [--rows]. Exit status 2 for a file that cannot be read.
#include <cstdio>
#include <string_view>

#include "common/file.h"
#include "tests/benchmarks/published/report.h"
#include "tests/benchmarks/published/rows.h"

namespace {

int Usage() {
  std::fputs("usage: published_bench FILE [--rows]\n", stderr);
  return 2;
}

void PrintBadRows(const std::string& path,
                  const std::vector<tunesmith::published::BadRow>& bad_rows) {
  for (const auto& row : bad_rows) {
    const std::string column = row.column.empty() ? "" : " column " + row.column + ":";
    std::fprintf(stderr, "%s:%lld:%s %s; the row is left out\n", path.c_str(),
                 static_cast<long long>(row.line), column.c_str(), row.problem.c_str());
  }
}

int Run(const std::string& path, bool print_rows) {
  const auto text = tunesmith::ReadFile(path);
  if (!text.ok()) {
    std::fprintf(stderr, "published_bench: %s\n", std::string(text.status().message()).c_str());
    return 2;
  }
  const auto file = tunesmith::published::ParseRows(*text, path);
  if (!file.ok()) {
    std::fprintf(stderr, "published_bench: %s\n", std::string(file.status().message()).c_str());
    return 2;
  }
  PrintBadRows(path, file->bad_rows);
  const auto judgement = tunesmith::published::JudgeRows(file->rows);
  if (print_rows) std::fputs(tunesmith::published::RowsText(judgement).c_str(), stdout);
  std::fputs(tunesmith::published::ReportText(judgement).c_str(), stdout);
  std::fputs(
      tunesmith::published::ReportJson(judgement, static_cast<int64_t>(file->bad_rows.size()))
          .c_str(),
      stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return Usage();
  if (argc == 3 && std::string_view(argv[2]) != "--rows") return Usage();
  return Run(argv[1], argc == 3);
}
