#include "client/pictures.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "absl/strings/str_format.h"
#include "client/memory_classes.h"
#include "client/show.h"
#include "client/style.h"
#include "common/numbers.h"
#include "common/str_cat.h"
#include "common/units.h"

namespace tunesmith::client {
namespace {

constexpr int kDefaultColumns = 80;

// Where the classes end on a bar of `width`; rounded ends, so that the bar is as long as the whole.
std::string Bar(const v1::MemoryPrediction& memory, int width) {
  const auto budget = static_cast<double>(std::max(memory.budget_bytes(), memory.total_bytes()));
  std::string bar;
  int64_t bytes = 0;
  int column = 0, index = 0;
  for (const MemoryClass& part : MemoryClasses(memory)) {
    bytes += part.bytes;
    const int end = static_cast<int>(std::lround(static_cast<double>(bytes) / budget * width));
    bar += OnBackground(index++, std::string(static_cast<size_t>(end - column), part.letter));
    column = end;
  }
  return bar + std::string(static_cast<size_t>(width - column), '.');
}

std::string Legend(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes) {
  std::string legend;
  const std::vector<MemoryClass> classes = MemoryClasses({});
  for (size_t i = 0; i < classes.size(); ++i) {
    const bool any = std::any_of(mixes.begin(), mixes.end(), [&](const v1::RankedMix& mix) {
      return MemoryClasses(mix.prediction().memory())[i].bytes > 0;
    });
    if (!any) continue;
    absl::StrAppend(&legend, legend.empty() ? "" : ", ",
                    OnBackground(static_cast<int>(i), std::string(1, classes[i].letter)), " ",
                    classes[i].name);
  }
  return legend;
}

// A scale from the least to the most value of the mixes.
struct Scale {
  double least = 0;
  double most = 0;

  int CellOf(double value, int count) const {
    if (most <= least) return 0;
    return static_cast<int>(std::lround((value - least) / (most - least) * (count - 1)));
  }
};

Scale ScaleOf(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return {*least, *most};
}

char SignOf(int index) { return index < 9 ? static_cast<char>('1' + index) : 'o'; }

}  // namespace

std::string MemoryBars(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes, int width) {
  std::string text;
  for (int i = 0; i < mixes.size(); ++i) {
    const v1::MemoryPrediction& memory = mixes.Get(i).prediction().memory();
    absl::StrAppend(&text, absl::StrFormat("%4d |", i + 1), Bar(memory, width), "|  ",
                    Gib(memory.total_bytes()), " of ", Gib(memory.budget_bytes()), " GiB\n");
  }
  return text.empty() ? "" : StrCat(text, "      ", Legend(mixes), "\n");
}

std::string FrontPlot(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes, int width,
                      int height) {
  if (mixes.size() < 2) return "";
  std::vector<double> seconds, gib;
  for (const v1::RankedMix& mix : mixes) {
    seconds.push_back(mix.prediction().time().step_seconds());
    gib.push_back(static_cast<double>(mix.prediction().memory().total_bytes()) /
                  static_cast<double>(kGiB));
  }
  const Scale x = ScaleOf(seconds), y = ScaleOf(gib);
  std::vector<std::string> plane(static_cast<size_t>(height),
                                 std::string(static_cast<size_t>(width), ' '));
  for (size_t i = 0; i < seconds.size(); ++i) {
    const int row = height - 1 - y.CellOf(gib[i], height);
    char& place = plane[static_cast<size_t>(row)][static_cast<size_t>(x.CellOf(seconds[i], width))];
    place = place == ' ' ? SignOf(static_cast<int>(i)) : '*';
  }
  std::string text;
  for (size_t row = 0; row < plane.size(); ++row) {
    const bool top = row == 0, bottom = row + 1 == plane.size();
    absl::StrAppend(&text,
                    top || bottom ? absl::StrFormat("%10.2f GiB", top ? y.most : y.least)
                                  : std::string(14, ' '),
                    " |", plane[row], "\n");
  }
  const std::string least = FormatSeconds(x.least), most = FormatSeconds(x.most);
  const size_t gap = static_cast<size_t>(
      std::max<int64_t>(1, width - static_cast<int64_t>(least.size() + most.size())));
  return StrCat(text, std::string(15, ' '), "+", std::string(static_cast<size_t>(width), '-'), "\n",
                std::string(16, ' '), least, std::string(gap, ' '), most, "\n");
}

std::string Sparkline(const std::vector<double>& values, int width) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> means;
  const auto count = static_cast<int64_t>(values.size());
  const int64_t span_count = std::min<int64_t>(width, count);
  for (int64_t i = 0; i < span_count; ++i) {
    const auto begin = values.begin() + i * count / span_count,
               end = values.begin() + (i + 1) * count / span_count;
    means.push_back(std::accumulate(begin, end, 0.0) / static_cast<double>(end - begin));
  }
  std::erase_if(means, [](double mean) { return !std::isfinite(mean); });
  if (means.empty()) return "";
  const Scale scale = ScaleOf(means);
  std::string line;
  for (const double mean : means) line += kBlocks[scale.CellOf(mean, std::size(kBlocks))];
  return line;
}

int TerminalWidth() {
  struct winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  int64_t count = 0;
  return columns != nullptr && ParseInt64(columns, &count) && count > 0
             ? static_cast<int>(std::min<int64_t>(count, 1000))
             : kDefaultColumns;
}

}  // namespace tunesmith::client
