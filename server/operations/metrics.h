#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

// Figures of this process, as Prometheus reads them (text format 0.0.4). Names and labels are of code, never of what users send: their
// number is bounded. Names follow Prometheus' rules: base units, counters end in _total.
namespace tunesmith::server {

using Labels = std::vector<std::pair<std::string, std::string>>;

// What only grows. Thread-safe, as all of this file.
class Counter {
 public:
  void Add(int64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

class Gauge {
 public:
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Seconds, by upper bounds from 100 microseconds to 100 seconds.
class Histogram {
 public:
  static const std::vector<double>& Bounds();

  Histogram();
  void Observe(double seconds);

  struct Figures {
    std::vector<int64_t> counts;  // per bound, those above the last bound at the end; not summed up
    double sum = 0;
  };
  Figures figures() const;

 private:
  mutable std::mutex mutex_;
  Figures figures_;
};

// Observes how long it lived.
class Stopwatch {
 public:
  explicit Stopwatch(Histogram& histogram) : histogram_(histogram) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { histogram_.Observe(absl::ToDoubleSeconds(absl::Now() - start_)); }

 private:
  Histogram& histogram_;
  const absl::Time start_ = absl::Now();
};

class Metrics {
 public:
  // The figure of this name and these labels, made at the first call; it lives as long as the registry. `help` is that of the first call.
  Counter& CounterOf(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge& GaugeOf(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram& HistogramOf(const std::string& name, const std::string& help,
                         const Labels& labels = {});

  // `collect` sets gauges before a text is made. Removed when the handle goes.
  class Collection {
   public:
    Collection(Metrics& metrics, int64_t id) : metrics_(metrics), id_(id) {}
    Collection(const Collection&) = delete;
    Collection& operator=(const Collection&) = delete;
    ~Collection();

   private:
    Metrics& metrics_;
    const int64_t id_;
  };
  std::unique_ptr<Collection> Collect(std::function<void()> collect);

  // All figures.
  std::string Text();

 private:
  struct Family {
    std::string help;
    std::map<std::string, std::unique_ptr<Counter>> counters;  // by labels as text
    std::map<std::string, std::unique_ptr<Gauge>> gauges;
    std::map<std::string, std::unique_ptr<Histogram>> histograms;
  };

  std::mutex mutex_;
  std::map<std::string, Family> families_;
  std::mutex collectors_mutex_;
  std::map<int64_t, std::function<void()>> collectors_;
  int64_t next_collector_ = 0;
};

// The registry of this process.
Metrics& ProcessMetrics();

}  // namespace tunesmith::server
