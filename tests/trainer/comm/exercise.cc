#include "tests/trainer/comm/exercise.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "common/random.h"
#include "common/str_cat.h"
#include "trainer/comm/thread_communicator.h"

namespace tunesmith::trainer {
namespace {

template <typename T>
constexpr DType kTypeOf = DType::kF32;
template <>
constexpr DType kTypeOf<double> = DType::kF64;
template <>
constexpr DType kTypeOf<uint16_t> = DType::kBF16;

double Wide(double x) { return x; }
float Wide(float x) { return x; }
float Wide(uint16_t x) { return FloatFromBf16(x); }
template <typename T, typename W>
T Narrow(W x) {
  if constexpr (std::is_same_v<T, uint16_t>) return Bf16FromFloat(x);
  return static_cast<T>(x);
}

class Exerciser {
 public:
  explicit Exerciser(Communicator& communicator) : c_(communicator), size_(c_.size()) {}

  std::string Run() {
    for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000, 5003}) {
      Sums<float>(count);
      Sums<double>(count);
      Sums<uint16_t>(count);
      Moves(count);
    }
    // Parts that are larger than a piece of a message backend's scratch.
    SumsOfAll<float>(2'500'000);
    for (int i = 0; i < 50; ++i) Check(c_.Barrier().ok(), "Barrier");
    return wrong_.empty() ? StrCat(digest_) : StrCat("wrong: ", wrong_);
  }

 private:
  void Check(bool right, const std::string& what) {
    if (!right && wrong_.empty()) wrong_ = what;
  }

  template <typename T>
  void Keep(const std::vector<T>& values) {
    for (const T& value : values) {
      uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof value);
      digest_ = (digest_ ^ bits) * 0x100000001b3u;
    }
  }

  // Data of `rank` in the call that is next. Values of both signs and many sizes: the order of a sum shows in its last bits.
  template <typename T>
  std::vector<T> DataOf(int64_t rank, int64_t count) const {
    const uint64_t key =
        RandomKey(RandomKey(static_cast<uint64_t>(call_), "exercise"), static_cast<uint64_t>(rank));
    std::vector<T> data(static_cast<size_t>(count));
    for (size_t i = 0; i < data.size(); ++i) {
      const double x = RandomUniform(key, i) - 0.5;
      data[i] = Narrow<T>(static_cast<decltype(Wide(T{}))>(x * (1 << (i % 12))));
    }
    return data;
  }

  // Elements begin, begin + 1, ... of the sum, added to `before`.
  template <typename T>
  std::vector<T> SumOf(int64_t total, int64_t begin, int64_t count,
                       const std::vector<T>* before = nullptr) const {
    std::vector<decltype(Wide(T{}))> sums(static_cast<size_t>(count));
    for (int64_t rank = 0; rank < size_; ++rank) {
      const std::vector<T> data = DataOf<T>(rank, total);
      for (size_t i = 0; i < sums.size(); ++i) {
        const auto x = Wide(data[static_cast<size_t>(begin) + i]);
        sums[i] = rank == 0 ? x : sums[i] + x;
      }
    }
    std::vector<T> result(sums.size());
    for (size_t i = 0; i < sums.size(); ++i)
      result[i] = Narrow<T>(before == nullptr ? sums[i] : sums[i] + Wide((*before)[i]));
    return result;
  }

  template <typename T>
  void SumsOfAll(int64_t count) {
    ++call_;
    std::vector<T> all = DataOf<T>(c_.rank(), count);
    Check(c_.AllReduce(all.data(), count, kTypeOf<T>).ok(), "AllReduce fails");
    Check(all == SumOf<T>(count, 0, count), StrCat("AllReduce of ", count));
    Keep(all);
  }

  template <typename T>
  void Sums(int64_t count) {
    SumsOfAll<T>(count);
    const int64_t total = count * size_, begin = count * c_.rank();
    std::vector<T> whole = DataOf<T>(c_.rank(), total), apart(static_cast<size_t>(count)),
                   sum(apart), before(apart);
    Check(c_.ReduceScatter(whole.data(), apart.data(), count, kTypeOf<T>, false).ok(),
          "ReduceScatter fails");
    sum = SumOf<T>(total, begin, count);
    Check(apart == sum, StrCat("ReduceScatter of ", count));
    before = apart;
    Check(c_.ReduceScatter(whole.data(), apart.data(), count, kTypeOf<T>, true).ok(),
          "ReduceScatter to a sum fails");
    Check(apart == SumOf<T>(total, begin, count, &before),
          StrCat("ReduceScatter to a sum of ", count));
    Check(whole == DataOf<T>(c_.rank(), total), "ReduceScatter changes its input");
    Keep(apart);

    // In place, and what AllReduce is made of.
    T* place = whole.data() + begin;
    Check(c_.ReduceScatter(whole.data(), place, count, kTypeOf<T>, false).ok(),
          "ReduceScatter in place fails");
    Check(std::equal(sum.begin(), sum.end(), place), StrCat("ReduceScatter in place of ", count));
    Check(c_.AllGather(place, whole.data(), count * SizeOf(kTypeOf<T>)).ok(), "AllGather fails");
    std::vector<T> reduced = DataOf<T>(c_.rank(), total);
    Check(c_.AllReduce(reduced.data(), total, kTypeOf<T>).ok(), "AllReduce fails");
    Check(whole == reduced, StrCat("ReduceScatter and AllGather are not AllReduce at ", count));
  }

  void Exchange(const std::vector<uint16_t>& own, int64_t bytes, int64_t group) {
    const int64_t place = c_.rank() % group, first = c_.rank() - place;
    std::vector<uint16_t> out(static_cast<size_t>(bytes * group)), expected;
    for (int64_t other = 0; other < group; ++other) {
      const auto data = DataOf<uint16_t>(first + other, bytes * size_);
      const auto begin = data.begin() + place * bytes;
      expected.insert(expected.end(), begin, begin + bytes);
    }
    Check(c_.AllToAll(own.data(), out.data(), 2 * bytes, group).ok(), "AllToAll fails");
    Check(out == expected, StrCat("AllToAll of ", bytes, " in groups of ", group));
    Keep(out);
  }

  void Moves(int64_t bytes) {
    ++call_;
    const std::vector<uint16_t> own = DataOf<uint16_t>(c_.rank(), bytes * size_);
    std::vector<uint16_t> out(own.size());
    for (int64_t group = 1; group <= size_; ++group) {
      if (size_ % group == 0) Exchange(own, bytes, group);
    }
    Check(c_.AllToAll(own.data(), out.data(), 2 * bytes, size_ + 1).code() ==
              absl::StatusCode::kInvalidArgument,
          "AllToAll takes groups that are not all ranks");
    Check(c_.AllGather(own.data(), out.data(), 2 * bytes).ok(), "AllGather fails");
    Keep(out);
    for (int64_t root = 0; root < size_; ++root) {
      std::vector<uint16_t> data = DataOf<uint16_t>(c_.rank(), bytes);
      Check(c_.Broadcast(data.data(), 2 * bytes, root).ok(), "Broadcast fails");
      Check(data == DataOf<uint16_t>(root, bytes), StrCat("Broadcast of ", bytes));
      const auto gathered = out.begin() + root * bytes;
      Check(std::equal(data.begin(), data.end(), gathered), StrCat("AllGather of ", bytes));
    }
  }

  Communicator& c_;
  const int64_t size_;
  int64_t call_ = 0;
  uint64_t digest_ = 0xcbf29ce484222325u;
  std::string wrong_;
};

}  // namespace

std::string Exercise(Communicator& communicator) { return Exerciser(communicator).Run(); }

std::vector<std::string> ExerciseThreads(int64_t size) {
  const auto communicators = MakeThreadCommunicators(size, std::chrono::seconds(60));
  std::vector<std::string> digests(communicators.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < communicators.size(); ++r)
    threads.emplace_back([&, r] { digests[r] = Exercise(*communicators[r]); });
  for (std::thread& thread : threads) thread.join();
  return digests;
}

}  // namespace tunesmith::trainer
