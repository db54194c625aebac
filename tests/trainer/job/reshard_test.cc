#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/file.h"
#include "common/random.h"
#include "common/text.h"
#include "planner/program/build_program.h"
#include "planner/program/checkpoint_bytes.h"
#include "tests/planner/program_fixture.h"
#include "trainer/comm/thread_communicator.h"
#include "trainer/job/checkpoint.h"
#include "trainer/model_io/weight_source.h"
#include "trainer/pieces.h"
#include "trainer/thread_pool.h"

// A checkpoint belongs to no number of ranks: what 4 saved, 1, 2 or 3 load, whatever they share.
namespace tunesmith::trainer {
namespace {

using planner::Mix;
using planner::Offload;

struct Sharing {
  int64_t rank_count;
  int64_t zero_stage;
  Offload offload = Offload::kNone;
  int64_t sequence_parallel = 1;  // of these ranks
  int64_t offload_percent = 100;
};

// The sessions of all ranks of a mix.
class Team {
 public:
  Team(Mix mix, const Sharing& sharing) {
    mix.data_parallel = sharing.rank_count / sharing.sequence_parallel;
    mix.sequence_parallel = sharing.sequence_parallel;
    mix.zero_stage = sharing.zero_stage;
    mix.offload = sharing.offload;
    mix.offload_percent = sharing.offload_percent;
    const planner::ProgramInputs inputs =
        planner::ToyInputs(planner::ToyModel(3, /*tied_head=*/false, /*qkv_bias=*/true), mix);
    communicators_ = MakeThreadCommunicators(sharing.rank_count, std::chrono::seconds(60));
    sessions_.resize(communicators_.size());
    const auto weights = RandomModel(inputs.model, 1);
    for (size_t r = 0; r < sessions_.size(); ++r) {
      auto session =
          Session::Create(*planner::BuildProgram(inputs),
                          {.device = planner::BackendKind::kCpu,
                           .threads = &threads_,
                           .comm = sharing.rank_count > 1 ? communicators_[r].get() : nullptr},
                          *weights, 5);
      EXPECT_TRUE(session.ok()) << session.status();
      sessions_[r] = *std::move(session);
    }
  }

  const planner::Program& program() const { return sessions_[0]->program(); }

  void ForEachRank(const std::function<void(Session& session)>& function) {
    std::vector<std::thread> ranks;
    for (auto& session : sessions_) ranks.emplace_back([&] { function(*session); });
    for (std::thread& rank : ranks) rank.join();
  }

  // Visits what every rank holds of every tensor.
  void ForEachPiece(const std::function<void(Session&, const StateTensor&, const Piece&)>& visit) {
    for (auto& session : sessions_) {
      const int64_t rank = session->executor().arena().rank();
      for (const StateTensor& tensor : StateTensorsOf(session->program(), rank)) {
        for (const Piece& piece : tensor.held) visit(*session, tensor, piece);
      }
    }
  }

 private:
  ThreadPool threads_{1};
  std::vector<std::unique_ptr<Communicator>> communicators_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

// Of the safetensors files of a checkpoint, without their headers.
int64_t TensorBytes(const std::string& checkpoint) {
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(checkpoint)) {
    if (file.path().extension() != ".safetensors") continue;
    const std::string whole = ReadFile(file.path().string()).value();
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, whole.data(), sizeof header_bytes);
    bytes += static_cast<int64_t>(whole.size() - sizeof header_bytes - header_bytes);
  }
  return bytes;
}

// Bytes of a tensor that tell their place.
std::vector<uint8_t> Pattern(const StateTensor& tensor) {
  std::vector<uint8_t> bytes(static_cast<size_t>(tensor.bytes));
  const uint64_t key = RandomKey(7, tensor.name);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(RandomBits(key, i));
  return bytes;
}

void Fill(Team& team) {
  team.ForEachPiece([](Session& session, const StateTensor& tensor, const Piece& piece) {
    ASSERT_TRUE(session.executor()
                    .arena()
                    .Write(piece.buffer, piece.instance,
                           Pattern(tensor).data() + piece.tensor_first, piece.bytes,
                           piece.buffer_first)
                    .ok());
  });
}

void ExpectFilled(Team& team, const std::string& what) {
  std::map<std::string, std::vector<bool>> held;  // by tensor: which bytes some rank has
  team.ForEachPiece([&](Session& session, const StateTensor& tensor, const Piece& piece) {
    std::vector<uint8_t> bytes(static_cast<size_t>(piece.bytes));
    ASSERT_TRUE(
        session.executor()
            .arena()
            .Read(piece.buffer, piece.instance, bytes.data(), piece.bytes, piece.buffer_first)
            .ok());
    const std::vector<uint8_t> expected = Pattern(tensor);
    EXPECT_EQ(std::memcmp(bytes.data(), expected.data() + piece.tensor_first, bytes.size()), 0)
        << tensor.name << " from byte " << piece.tensor_first << ", " << what;
    std::vector<bool>& seen = held[tensor.name];
    seen.resize(static_cast<size_t>(tensor.bytes));
    std::fill_n(seen.begin() + piece.tensor_first, piece.bytes, true);
  });
  EXPECT_FALSE(held.empty());
  for (const auto& [name, seen] : held)
    EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0) << "nobody holds all of " << name;
}

TEST(ReshardTest, AnyNumberOfRanksLoadsWhatAnotherSaved) {
  const std::string directory =
      StrCat(testing::TempDir(), "/reshard-", static_cast<int64_t>(getpid()));
  const Sharing savers[] = {
      {4, 0}, {4, 1}, {4, 3, Offload::kNone, 2},         {4, 3, Offload::kAll},
      {1, 0}, {3, 2}, {1, 0, Offload::kOptimizer, 1, 30}};
  const Sharing loaders[] = {{1, 0},
                             {2, 1, Offload::kOptimizer},
                             {2, 3, Offload::kOptimizer, 1, 60},
                             {2, 2, Offload::kNone, 2},
                             {3, 3},
                             {1, 0, Offload::kAll}};
  for (const planner::OptimizerState states :
       {planner::OptimizerState::kFp32, planner::OptimizerState::kInt8}) {
    for (const planner::Method method : {planner::Method::kFull, planner::Method::kQlora}) {
      const Mix mix{.method = method,
                    .lora = {.rank = 3, .alpha = 6},
                    .precision = planner::Precision::kBf16,
                    .optimizer_state = states,
                    .attention = planner::AttentionKernel::kFlash};
      for (const Sharing& saver : savers) {
        std::filesystem::remove_all(directory);
        std::filesystem::create_directories(directory);
        Team team(mix, saver);
        Fill(team);
        team.ForEachRank([&](Session& session) {
          const auto path = SaveCheckpoint(directory, session, {.step = 3});
          EXPECT_TRUE(path.ok()) << path.status();
        });
        EXPECT_EQ(TensorBytes(directory + "/checkpoints/step-3"),
                  planner::CheckpointBytes(team.program()));
        for (const Sharing& loader : loaders) {
          Team other(mix, loader);
          other.ForEachRank([&](Session& session) {
            const auto state = LoadCheckpoint(directory, 3, session);
            EXPECT_TRUE(state.ok()) << state.status();
          });
          ExpectFilled(other,
                       StrCat(saver.rank_count, " ranks saved, ", loader.rank_count, " load"));
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace tunesmith::trainer
