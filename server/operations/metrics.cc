#include "server/operations/metrics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/str_cat.h"
#include "common/text.h"

namespace tunesmith::server {
namespace {

std::string LabelText(const Labels& labels) {
  std::vector<std::string> pairs;
  for (const auto& [name, value] : labels) {
    pairs.push_back(
        StrCat(name, "=\"",
               absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}), "\""));
  }
  return StrJoin(pairs, ",");
}

std::string Braced(const std::string& labels) {
  return labels.empty() ? "" : StrCat("{", labels, "}");
}

std::string WithBound(const std::string& labels, const std::string& bound) {
  return StrCat("{", labels, labels.empty() ? "" : ",", "le=\"", bound, "\"}");
}

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return absl::StrFormat("%.17g", value);
}

std::string Header(const std::string& name, const std::string& help, const char* type) {
  return StrCat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

std::string HistogramText(const std::string& name, const std::string& labels,
                          const Histogram& histogram) {
  const Histogram::Figures figures = histogram.figures();
  std::string text;
  int64_t count = 0;
  for (size_t i = 0; i < figures.counts.size(); ++i) {
    count += figures.counts[i];
    const std::string bound =
        i < Histogram::Bounds().size() ? absl::StrFormat("%g", Histogram::Bounds()[i]) : "+Inf";
    text += StrCat(name, "_bucket", WithBound(labels, bound), " ", count, "\n");
  }
  return StrCat(text, name, "_sum", Braced(labels), " ", Number(figures.sum), "\n", name, "_count",
                Braced(labels), " ", count, "\n");
}

template <typename Figure>
Figure& FigureOf(std::map<std::string, std::unique_ptr<Figure>>& figures, const Labels& labels) {
  std::unique_ptr<Figure>& figure = figures[LabelText(labels)];
  if (figure == nullptr) figure = std::make_unique<Figure>();
  return *figure;
}

}  // namespace

const std::vector<double>& Histogram::Bounds() {
  static const std::vector<double> bounds = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1,
                                             0.3,    1,      3,     10,    30,   100};
  return bounds;
}

Histogram::Histogram() { figures_.counts.resize(Bounds().size() + 1); }

void Histogram::Observe(double seconds) {
  const auto bound = std::lower_bound(Bounds().begin(), Bounds().end(), seconds);
  std::lock_guard lock(mutex_);
  ++figures_.counts[static_cast<size_t>(bound - Bounds().begin())];
  figures_.sum += seconds;
}

Histogram::Figures Histogram::figures() const {
  std::lock_guard lock(mutex_);
  return figures_;
}

Counter& Metrics::CounterOf(const std::string& name, const std::string& help,
                            const Labels& labels) {
  std::lock_guard lock(mutex_);
  Family& family = families_.try_emplace(name, Family{.help = help}).first->second;
  return FigureOf(family.counters, labels);
}

Gauge& Metrics::GaugeOf(const std::string& name, const std::string& help, const Labels& labels) {
  std::lock_guard lock(mutex_);
  Family& family = families_.try_emplace(name, Family{.help = help}).first->second;
  return FigureOf(family.gauges, labels);
}

Histogram& Metrics::HistogramOf(const std::string& name, const std::string& help,
                                const Labels& labels) {
  std::lock_guard lock(mutex_);
  Family& family = families_.try_emplace(name, Family{.help = help}).first->second;
  return FigureOf(family.histograms, labels);
}

Metrics::Collection::~Collection() {
  std::lock_guard lock(metrics_.collectors_mutex_);
  metrics_.collectors_.erase(id_);
}

std::unique_ptr<Metrics::Collection> Metrics::Collect(std::function<void()> collect) {
  std::lock_guard lock(collectors_mutex_);
  const int64_t id = next_collector_++;
  collectors_[id] = std::move(collect);
  return std::make_unique<Collection>(*this, id);
}

std::string Metrics::Text() {
  {
    std::lock_guard lock(collectors_mutex_);
    for (const auto& [id, collect] : collectors_) collect();
  }
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& [name, family] : families_) {
    if (!family.counters.empty()) text += Header(name, family.help, "counter");
    for (const auto& [labels, counter] : family.counters)
      text += StrCat(name, Braced(labels), " ", counter->value(), "\n");
    if (!family.gauges.empty()) text += Header(name, family.help, "gauge");
    for (const auto& [labels, gauge] : family.gauges)
      text += StrCat(name, Braced(labels), " ", Number(gauge->value()), "\n");
    if (!family.histograms.empty()) text += Header(name, family.help, "histogram");
    for (const auto& [labels, histogram] : family.histograms)
      text += HistogramText(name, labels, *histogram);
  }
  return text;
}

Metrics& ProcessMetrics() {
  static auto& metrics = *new Metrics;  // also for threads that outlive main
  return metrics;
}

}  // namespace tunesmith::server
