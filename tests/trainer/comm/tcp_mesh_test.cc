// Ranks that meet by TCP, as threads of this process: who is let in, who is not, and what a connection that breaks does.
#include "trainer/comm/tcp_mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <thread>

#include "common/file.h"
#include "common/str_cat.h"
#include "tests/trainer/comm/exercise.h"
#include "tests/trainer/comm/run_ranks.h"
#include "trainer/comm/rank_secret.h"
#include "trainer/comm/tcp_communicator.h"
#include "trainer/comm/tcp_socket.h"

namespace tunesmith::trainer {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;

constexpr TimeLimits kShort{.start = milliseconds(2000), .call = milliseconds(5000)};
constexpr TimeLimits kPatient{.start = milliseconds(20000), .call = milliseconds(20000)};

std::vector<TcpRank> Ranks(int64_t size, const std::string& host = "127.0.0.1") {
  const HostPort master{host, FreePort()};
  std::vector<TcpRank> ranks;
  for (int64_t rank = 0; rank < size; ++rank)
    ranks.push_back({.rank = rank,
                     .size = size,
                     .master = master,
                     .secret = "s",
                     .attempt = 1,
                     .facts = "plan a"});
  return ranks;
}

// Runs the ranks side by side; what each says: what `run` gives, or why it did not join.
using Run = std::function<std::string(Communicator&)>;
std::vector<std::string> RunAll(const std::vector<TcpRank>& ranks, const TimeLimits& limits,
                                const Run& run) {
  std::vector<std::string> said(ranks.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ranks.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto communicator = OpenTcpCommunicator(ranks[i], limits);
      said[i] = communicator.ok() ? run(**communicator) : communicator.status().ToString();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return said;
}

std::string SumOnce(Communicator& communicator) {
  float x = 1;
  const absl::Status status = communicator.AllReduce(&x, 1, DType::kF32);
  return status.ok() ? StrCat(x) : status.ToString();
}

TEST(TcpMeshTest, RanksComputeTheBitsThatThreadsDo) {
  for (const int64_t size : {1, 2, 3, 4})
    EXPECT_EQ(RunAll(Ranks(size), kPatient, Exercise), ExerciseThreads(size));
}

TEST(TcpMeshTest, NamesAndAddressesOfIpv6AreTaken) {
  EXPECT_THAT(RunAll(Ranks(3, "localhost"), kPatient, SumOnce), testing::Each("3"));
  if (!Listen({"::1", 0}).ok()) GTEST_SKIP() << "this host has no IPv6";
  EXPECT_THAT(RunAll(Ranks(3, "::1"), kPatient, SumOnce), testing::Each("3"));
}

// Many names of hosts mean 127.0.1.1 for themselves.
TEST(TcpMeshTest, AHostsOwnNameIsTaken) {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  if (!Connect({name, 1}, std::chrono::steady_clock::now()).ok() &&
      Connect({name, 1}, std::chrono::steady_clock::now() + std::chrono::seconds(1))
              .status()
              .message()
              .find("not known") != std::string::npos)
    GTEST_SKIP() << "this host's name does not resolve";
  EXPECT_THAT(RunAll(Ranks(3, name), kPatient, SumOnce), testing::Each("3"));
}

TEST(TcpMeshTest, WhoDoesNotKnowTheSecretIsNotLetIn) {
  std::vector<TcpRank> ranks = Ranks(3);
  ranks[1].secret = "another";
  const auto said = RunAll(ranks, kShort, SumOnce);
  EXPECT_THAT(said[0], AllOf(HasSubstr("rank 0 has waited 2 s for rank 1 to join"),
                             HasSubstr("does not know the job's secret")));
  EXPECT_THAT(said[1], HasSubstr("it has another secret"));
  EXPECT_THAT(said[2], HasSubstr("rank 0 has waited 2 s for rank 1 to join"));
}

TEST(TcpMeshTest, RanksOfAnotherPlanEndTheMeeting) {
  std::vector<TcpRank> ranks = Ranks(3);
  ranks[1].facts = "plan b";
  for (const std::string& said : RunAll(ranks, kPatient, SumOnce))
    EXPECT_THAT(said, HasSubstr("rank 1 has plan b, and rank 0 has plan a"));
}

TEST(TcpMeshTest, RanksOfAnotherNumberOfRanksEndTheMeeting) {
  std::vector<TcpRank> ranks = Ranks(2);
  ranks[1].size = 3;
  for (const std::string& said : RunAll(ranks, kPatient, SumOnce))
    EXPECT_THAT(said, HasSubstr("rank 1 was started as one of 3 ranks, and rank 0 as one of 2"));
}

TEST(TcpMeshTest, ASecondRankOfANumberIsRefused) {
  std::vector<TcpRank> ranks = Ranks(3);
  ranks[2].rank = 1;
  const auto said = RunAll(ranks, kShort, SumOnce);
  EXPECT_THAT(said[0], AllOf(HasSubstr("rank 0 has waited 2 s for rank 2 to join"),
                             HasSubstr("a second rank 1 is not let in")));
  EXPECT_THAT(said[1] + said[2], AllOf(HasSubstr("a second rank 1 is not let in; give every"),
                                       HasSubstr("for rank 2 to join")));
}

TEST(TcpMeshTest, ARankOfAnEarlierAttemptIsRefusedAndEndsNothing) {
  std::vector<TcpRank> ranks = Ranks(2);
  ranks.push_back(ranks[1]);
  ranks[2].attempt = 0;
  ranks[2].facts = "plan of then";
  // It comes first.
  std::string late;
  std::thread old([&] {
    const auto communicator = OpenTcpCommunicator(ranks[2], kPatient);
    late = communicator.status().ToString();
  });
  const auto lead = std::async(std::launch::async, [&] {
    const auto communicator = OpenTcpCommunicator(ranks[0], kPatient);
    return communicator.ok() ? SumOnce(**communicator) : communicator.status().ToString();
  });
  old.join();
  EXPECT_THAT(late, HasSubstr("a rank 1 of attempt 0 is not let in: this is attempt 1"));
  const auto communicator = OpenTcpCommunicator(ranks[1], kPatient);
  ASSERT_TRUE(communicator.ok()) << communicator.status();
  EXPECT_EQ(SumOnce(**communicator), "2");
}

// A process that died while the others were joining, and the one that came in its place.
TEST(TcpMeshTest, ARankThatLeavesWhileOthersJoinMayBeReplaced) {
  const std::vector<TcpRank> ranks = Ranks(3);
  std::vector<std::string> said(3);
  std::vector<std::thread> threads;
  const auto start = [&](size_t rank) {
    threads.emplace_back([&, rank] {
      const auto communicator = OpenTcpCommunicator(ranks[rank], kPatient);
      said[rank] = communicator.ok() ? SumOnce(**communicator) : communicator.status().ToString();
    });
  };
  start(0);
  EXPECT_FALSE(OpenTcpCommunicator(ranks[1], {.start = milliseconds(300), .call = {}}).ok());
  start(1);
  start(2);
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(said, testing::Each("3"));
}

Descriptor Dial(const HostPort& to) {
  for (int tries = 0; tries < 100; ++tries) {
    auto socket = Connect(to, std::chrono::steady_clock::now() + std::chrono::seconds(1));
    if (socket.ok()) return *std::move(socket);
    std::this_thread::sleep_for(milliseconds(20));
  }
  return Descriptor();
}

TEST(TcpMeshTest, StrangersDoNotKeepRanksFromMeeting) {
  const std::vector<TcpRank> ranks = Ranks(3);
  std::string lead;
  std::thread first([&] { lead = RunAll({ranks[0]}, kPatient, SumOnce)[0]; });
  std::vector<Descriptor> strangers;
  const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::seconds(5); };
  for (int i = 0; i < 40; ++i) strangers.push_back(Dial(ranks[0].master));  // silent ones
  const std::string garbage(100'000, 'x');
  for (const std::string& text : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("TSRANK01"),
                                  garbage, std::string("TSRANK01") + garbage}) {
    strangers.push_back(Dial(ranks[0].master));
    (void)SendAll(strangers.back(), text.data(), static_cast<int64_t>(text.size()), soon());
  }
  EXPECT_THAT(RunAll({ranks[1], ranks[2]}, kPatient, SumOnce), testing::Each("3"));
  first.join();
  EXPECT_EQ(lead, "3");
  // Those who come later find nobody.
  EXPECT_FALSE(Connect(ranks[0].master, soon()).ok());
}

TEST(TcpMeshTest, APortThatIsTakenIsNamedWithTheCure) {
  const std::vector<TcpRank> ranks = Ranks(2);
  const auto taken = Listen(ranks[0].master);
  ASSERT_TRUE(taken.ok());
  const auto said = RunAll({ranks[0]}, kShort, SumOnce)[0];
  EXPECT_THAT(said, AllOf(HasSubstr(StrCat("rank 0 cannot listen at ", TextOf(ranks[0].master))),
                          HasSubstr("in use"), HasSubstr("choose another MASTER_ADDR")));
}

TEST(TcpMeshTest, AMasterThatNobodyKnowsIsNamed) {
  std::vector<TcpRank> ranks = Ranks(2, "no-such-host.invalid");
  const auto said = RunAll(ranks, kShort, SumOnce);
  EXPECT_THAT(said[0], HasSubstr("the name no-such-host.invalid is not known"));
  EXPECT_THAT(said[1], AllOf(HasSubstr("rank 1 has waited 2 s for rank 0"),
                             HasSubstr("the name no-such-host.invalid is not known")));
}

// Carries bytes between rank 0 and those who believe that it listens here, and can cut.
class Proxy {
 public:
  explicit Proxy(const HostPort& to) : to_(to), listener_(*Listen({"127.0.0.1", 0})) {
    thread_ = std::thread([this] {
      while (!is_over_) Turn();
    });
  }
  ~Proxy() {
    is_over_ = true;
    thread_.join();
  }

  HostPort address() const { return LocalAddress(listener_); }
  // Cuts the connection on which so many bytes have gone.
  void CutAfter(int64_t bytes) { cut_after_ = bytes; }

 private:
  struct Pair {
    Descriptor a, b;
    int64_t bytes = 0;
  };

  void Turn() {
    std::vector<pollfd> entries = {{.fd = listener_.get(), .events = POLLIN, .revents = 0}};
    for (const Pair& pair : pairs_) {
      entries.push_back({.fd = pair.a.get(), .events = POLLIN, .revents = 0});
      entries.push_back({.fd = pair.b.get(), .events = POLLIN, .revents = 0});
    }
    poll(entries.data(), entries.size(), 20);
    for (Pair& pair : pairs_) {
      Pump(pair, pair.a, pair.b);
      Pump(pair, pair.b, pair.a);
    }
    if (Descriptor next = Accept(listener_); next.get() >= 0)
      pairs_.push_back({std::move(next), Dial(to_), 0});
  }

  void Pump(Pair& pair, Descriptor& from, Descriptor& to) {
    char buffer[65536];
    const ssize_t got = from.get() < 0 ? -1 : recv(from.get(), buffer, sizeof buffer, 0);
    if (got > 0)
      (void)SendAll(to, buffer, got, std::chrono::steady_clock::now() + std::chrono::seconds(5));
    pair.bytes += std::max<ssize_t>(0, got);
    if (got == 0 || pair.bytes > cut_after_) {
      pair.a.Close();
      pair.b.Close();
    }
  }

  const HostPort to_;
  Descriptor listener_;
  std::vector<Pair> pairs_;
  std::atomic<int64_t> cut_after_ = int64_t{1} << 60;
  std::atomic<bool> is_over_ = false;
  std::thread thread_;
};

TEST(TcpMeshTest, AConnectionThatIsCutInAMessageEndsAllAndIsNamed) {
  std::vector<TcpRank> ranks = Ranks(3);
  Proxy proxy(ranks[0].master);
  ranks[1].master = proxy.address();
  const auto begin = std::chrono::steady_clock::now();
  const auto said = RunAll(ranks, kPatient, [&](Communicator& communicator) {
    std::vector<float> data(4'000'000, 1.0f);
    absl::Status status =
        communicator.AllReduce(data.data(), static_cast<int64_t>(data.size()), DType::kF32);
    EXPECT_TRUE(status.ok()) << status;
    proxy.CutAfter(8'000'000);
    for (int i = 0; i < 50 && status.ok(); ++i)
      status = communicator.AllReduce(data.data(), static_cast<int64_t>(data.size()), DType::kF32);
    return status.ToString();
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  for (const std::string& text : said)
    EXPECT_THAT(text, AllOf(HasSubstr("UNAVAILABLE: "), HasSubstr(" is lost: its connection ")));
}

TEST(RankSecretTest, RankZeroMakesItAndTheOthersWait) {
  const std::string path = StrCat(testing::TempDir(), "rank-secret-", getpid());
  std::string found;
  std::thread other([&] { found = *ShareRankSecret(path, 1, std::chrono::seconds(10)); });
  std::this_thread::sleep_for(milliseconds(100));
  const auto made = ShareRankSecret(path, 0, milliseconds(0));
  other.join();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(found, *made);
  EXPECT_EQ(made->size(), 64u);
  EXPECT_EQ(*ShareRankSecret(path, 0, milliseconds(0)), *made) << "a later attempt has the same";
  chmod(path.c_str(), 0644);
  EXPECT_THAT(ShareRankSecret(path, 1, milliseconds(0)).status().ToString(),
              HasSubstr("chmod 600 "));
  chmod(path.c_str(), 0600);
  ASSERT_TRUE(WriteFileAtomically(path, "short").ok());
  chmod(path.c_str(), 0600);
  EXPECT_THAT(ShareRankSecret(path, 1, milliseconds(0)).status().ToString(),
              HasSubstr("holds no secret of ranks"));
  unlink(path.c_str());
  const std::string draft = StrCat(path, ".", getpid());
  ASSERT_TRUE(WriteFileAtomically(draft, "of a process that was killed").ok());
  EXPECT_EQ(ShareRankSecret(path, 0, milliseconds(0))->size(), 64u);
  EXPECT_NE(access(draft.c_str(), F_OK), 0);
  EXPECT_THAT(ShareRankSecret("/absent/rank-secret", 0, milliseconds(0)).status().ToString(),
              HasSubstr("No such file"));
  unlink(path.c_str());
  EXPECT_THAT(ShareRankSecret(path, 1, milliseconds(50)).status().ToString(),
              HasSubstr("rank 1 has waited 0.05 s for "));
}

}  // namespace
}  // namespace tunesmith::trainer
