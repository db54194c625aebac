#include "trainer/comm/mpi_transport.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <list>
#include <string>
#include <thread>

#include "common/status_macros.h"
#include "common/str_cat.h"

namespace tunesmith::trainer {
namespace {

constexpr int32_t kDataTag = 1;
constexpr int32_t kNoticeTag = 2;

// The kind, and the text with zeros behind it.
using NoticeBytes = std::array<char, MessageTransport::kMostNoticeBytes + 2>;

class MpiTransport final : public MessageTransport {
 public:
  explicit MpiTransport(const TunesmithMpi& mpi) : mpi_(mpi) {}

  absl::Status Listen() {
    const int error = mpi_.receive(heard_.data(), static_cast<int64_t>(heard_.size()),
                                   TUNESMITH_MPI_ANY_RANK, kNoticeTag, &heard_handle_);
    if (error == 0) return absl::OkStatus();
    heard_handle_ = -1;
    return ErrorOf(error);
  }

  absl::StatusOr<int32_t> Send(int64_t peer, const void* data, int64_t bytes) override {
    int32_t handle = 0;
    const int error = mpi_.send(data, bytes, peer, kDataTag, &handle);
    if (error != 0) return ErrorOf(error);
    return handle;
  }

  absl::StatusOr<int32_t> Receive(int64_t peer, void* data, int64_t bytes) override {
    int32_t handle = 0;
    const int error = mpi_.receive(data, bytes, peer, kDataTag, &handle);
    if (error != 0) return ErrorOf(error);
    return handle;
  }

  absl::StatusOr<bool> IsDone(int32_t handle) override {
    int32_t is_done = 0;
    const int error = mpi_.test(handle, &is_done, nullptr);
    if (error != 0) return ErrorOf(error);
    return is_done != 0;
  }

  void Abandon(absl::Span<const int32_t> receives) override {
    for (const int32_t handle : receives) (void)mpi_.cancel(handle);
  }

  // MPI moves messages when it is asked for one.
  void Progress(std::chrono::microseconds wait) override {
    if (wait.count() > 0) std::this_thread::sleep_for(wait);
  }

  void Tell(int64_t peer, Notice::Kind kind, std::string_view text) override {
    Told& told = told_.emplace_back();
    told.bytes[0] = static_cast<char>(kind);
    std::memcpy(told.bytes.data() + 1, text.data(), std::min(text.size(), told.bytes.size() - 2));
    const int error = mpi_.send(told.bytes.data(), static_cast<int64_t>(told.bytes.size()), peer,
                                kNoticeTag, &told.handle);
    if (error != 0) told_.pop_back();
  }

  bool HasTold() override {
    std::erase_if(told_, [this](const Told& told) {
      int32_t is_done = 0;
      return mpi_.test(told.handle, &is_done, nullptr) != 0 || is_done != 0;
    });
    return told_.empty();
  }

  std::optional<Notice> Hear() override {
    (void)HasTold();
    int32_t has_come = 0;
    int64_t teller = 0;
    if (heard_handle_ < 0 || mpi_.test(heard_handle_, &has_come, &teller) != 0 || has_come == 0)
      return std::nullopt;
    heard_.back() = '\0';
    Notice notice{teller, static_cast<Notice::Kind>(heard_[0]), heard_.data() + 1};
    (void)Listen();
    return notice;
  }

  std::optional<LostRank> FindLost() const override { return std::nullopt; }
  bool IsGone(int64_t) const override { return false; }

  void Finish() override {
    if (heard_handle_ >= 0) (void)mpi_.cancel(heard_handle_);
    (void)mpi_.finish();
  }

 private:
  struct Told {
    NoticeBytes bytes = {};
    int32_t handle = 0;
  };

  absl::Status ErrorOf(int error) const {
    std::array<char, 512> text = {};
    mpi_.error_text(error, text.data(), static_cast<int64_t>(text.size()));
    return absl::UnavailableError(text.data());
  }

  const TunesmithMpi& mpi_;
  NoticeBytes heard_ = {};
  int32_t heard_handle_ = -1;
  std::list<Told> told_;  // under way: their bytes stay where they are
};

}  // namespace

absl::StatusOr<std::unique_ptr<MessageTransport>> MakeMpiTransport(const TunesmithMpi& mpi) {
  auto transport = std::make_unique<MpiTransport>(mpi);
  TUNESMITH_RETURN_IF_ERROR(transport->Listen());
  return transport;
}

}  // namespace tunesmith::trainer
