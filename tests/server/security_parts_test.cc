#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "common/private_file.h"
#include "server/call_watch.h"
#include "server/security/access_list.h"
#include "server/security/call_limits.h"
#include "server/security/listeners.h"
#include "server/security/path_roots.h"
#include "server/security/roles.h"
#include "server/security/token.h"
#include "tests/server/api_calls.h"
#include "tests/server/certificates.h"
#include "tests/server/server_process.h"

// The parts of the door by themselves. The server as a whole is attacked in security_access_test.cc and those beside it.
namespace tunesmith::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHash = HashText(HashToken("a token"));

std::string Refusal(const absl::Status& status) { return std::string(status.message()); }

TEST(RolesTest, TheTableHasEveryMethodOfEveryService) {
  for (const auto* method : AllMethods())
    EXPECT_TRUE(HasRole(PathOf(*method)))
        << PathOf(*method) << " needs a line in server/security/roles.cc";
  EXPECT_GE(AllServices().size(), 4u);
}

TEST(RolesTest, AMethodThatTheTableDoesNotHaveNeedsAnAdmin) {
  EXPECT_EQ(RoleFor("/tunesmith.v1.JobService/DeleteEverything"), Role::kAdmin);
  EXPECT_EQ(RoleFor("/grpc.health.v1.HealthX/Check"), Role::kAdmin);
  EXPECT_EQ(RoleFor(""), Role::kAdmin);
  EXPECT_FALSE(HasRole("/tunesmith.v1.JobService/DeleteEverything"));
}

TEST(TokenTest, TokensDifferAndTheirHashesComeBackFromText) {
  const std::string token = NewToken().value();
  EXPECT_EQ(token.size(), 53u);
  EXPECT_NE(token, NewToken().value());
  EXPECT_EQ(ParseHash(HashText(HashToken(token))), HashToken(token));
  EXPECT_TRUE(SameHash(HashToken(token), HashToken(token)));
  EXPECT_FALSE(SameHash(HashToken(token), HashToken(token + " ")));
  EXPECT_FALSE(SameHash(HashToken(token), ""));
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(HashText(HashToken("abc")),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(AccessFileTest, EveryLineThatIsWrongIsNamed) {
  const auto entries =
      ParseAccessFile("# people\n\ntoken alice submitter " + kHash +
                      " expires=2027-01-31T00:00:00Z # until then\ncertificate ci reader\n");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].role, Role::kSubmitter);
  EXPECT_EQ(absl::FormatTime((*entries)[0].expires, absl::UTCTimeZone()),
            "2027-01-31T00:00:00+00:00");
  const std::string problems =
      Refusal(ParseAccessFile(
                  "token a king " + kHash + "\ntoken b reader secretsecretsecret\nhello\n" +
                  "certificate c\ntoken d reader " + kHash + " expires=tomorrow\ntoken e reader " +
                  kHash + "\ntoken e admin " + kHash + "\ncertificate j\u00fcrgen reader\n")
                  .status());
  for (const char* part :
       {"line 1 \"king\" is no role", "line 2 \"secretsecret...\" is no hash",
        "line 3 begins with \"hello\"", "line 4 has too few", "line 5 \"expires=tomorrow\"",
        "line 7 names e again", "line 8 names are 1 to 256 printable ASCII"})
    EXPECT_THAT(problems, HasSubstr(part));
  EXPECT_THAT(problems, Not(HasSubstr("secretsecretsecret")))
      << "what may be a token is not repeated";
}

TEST(AccessFileTest, AddTokenKeepsTheHashAloneInAFileOfItsOwners) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/access";
  const std::string token = AddToken(path, "alice", "reader").value();
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::string text = ReadPrivateFile(path).value();
  EXPECT_THAT(text, Not(HasSubstr(token)));
  EXPECT_EQ(ParseAccessFile(text)->front().hash, HashToken(token));
  EXPECT_TRUE(absl::IsAlreadyExists(AddToken(path, "alice", "admin").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(AddToken(path, "bob", "king").status()));
  for (const std::string name : {"bob\nadmin", "j\u00fcrgen", "", "a b", "a#b"})
    EXPECT_THAT(Refusal(AddToken(path, name, "admin").status()), HasSubstr("printable ASCII"));
  ASSERT_TRUE(AddToken(path, "bob", "admin").ok());
  EXPECT_EQ(ParseAccessFile(ReadPrivateFile(path).value())->size(), 2u);
}

TEST(PrivateFileTest, AFileThatOthersReadIsRefusedWithTheCure) {
  const ScratchDirectory scratch;
  const std::string path = scratch.File("key", "secret");
  for (const auto& [mode, good] : std::map<mode_t, bool>{{0600, true},
                                                         {0640, true},
                                                         {0644, false},
                                                         {0604, false},
                                                         {0660, false},
                                                         {0602, false}}) {
    chmod(path.c_str(), mode);
    const auto text = ReadPrivateFile(path);
    EXPECT_EQ(text.ok(), good) << std::oct << mode;
    if (good) continue;
    EXPECT_THAT(Refusal(text.status()), HasSubstr("run: chmod 600 " + path));
  }
}

class AccessListTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) {
    std::filesystem::remove(path_);
    std::ofstream(path_) << text;
    chmod(path_.c_str(), 0600);
  }
  std::unique_ptr<AccessList> Open() {
    return AccessList::Open(path_, [this](const std::string& line) { log_ += line + "\n"; })
        .value();
  }

  ScratchDirectory scratch_;
  const std::string path_ = scratch_.path() + "/access";
  std::string log_;
};

TEST_F(AccessListTest, WhoIsTakenOutIsRefusedASecondLater) {
  Write("token alice admin " + kHash + "\n");
  const auto list = Open();
  EXPECT_EQ(list->FindToken("a token")->name, "alice");
  EXPECT_TRUE(absl::IsUnauthenticated(list->FindToken("another").status()));
  Write("# nobody\n");
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_TRUE(absl::IsUnauthenticated(list->FindToken("a token").status()));
  EXPECT_THAT(log_, HasSubstr("was read again: 0 callers"));
}

TEST_F(AccessListTest, AFileThatWentWrongLeavesWhatWasKnown) {
  Write("token alice admin " + kHash + "\n");
  const auto list = Open();
  Write("nonsense\n");
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_TRUE(list->FindToken("a token").ok());
  EXPECT_THAT(log_, HasSubstr("stays as it was"));
  chmod(path_.c_str(), 0644);
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_TRUE(list->FindToken("a token").ok());
  EXPECT_THAT(log_, HasSubstr("chmod 600"));
}

TEST_F(AccessListTest, AnExpiredTokenSaysSo) {
  Write("token alice admin " + kHash + " expires=2020-01-01T00:00:00Z\n");
  EXPECT_THAT(Refusal(Open()->FindToken("a token").status()),
              HasSubstr("alice expired at 2020-01-01"));
}

TEST_F(AccessListTest, ACertificateIsKnownByAnyOfItsNames) {
  Write("certificate alice.example reader\n");
  const auto list = Open();
  EXPECT_EQ(list->FindCertificate({"x", "alice.example"}, "")->role, Role::kReader);
  EXPECT_TRUE(absl::IsUnauthenticated(list->FindCertificate({"alice"}, "").status()));
  EXPECT_TRUE(absl::IsUnauthenticated(list->FindCertificate({}, "").status()));
}

TEST_F(AccessListTest, ASubjectIsAnotherKindOfName) {
  Write("subject CN=alice,O=Acme\\20Ltd submitter\n");
  const auto list = Open();
  EXPECT_EQ(list->FindCertificate({"alice"}, "CN=alice,O=Acme Ltd")->role, Role::kSubmitter);
  EXPECT_TRUE(absl::IsUnauthenticated(list->FindCertificate({"alice"}, "CN=alice").status()));
  EXPECT_TRUE(absl::IsUnauthenticated(
      list->FindCertificate({"CN=alice,O=Acme\\20Ltd"}, "CN=mallory").status()))
      << "a common name that is written as a subject";
}

TEST(CallLimitsTest, TheRateIsKeptPerCallerWithABurst) {
  CallCounter counter({.calls_per_second = 10, .calls_at_once = 0});
  const absl::Time start = absl::FromUnixSeconds(1000);
  int admitted_count = 0;
  for (int i = 0; i < 1000; ++i) admitted_count += counter.Admit("alice", start).ok() ? 1 : 0;
  EXPECT_EQ(admitted_count, 60);
  EXPECT_TRUE(counter.Admit("bob", start).ok());
  EXPECT_THAT(Refusal(counter.Admit("alice", start)), HasSubstr("more than 10 calls a second"));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(counter.Admit("alice", start + absl::Seconds(1)).ok());
  EXPECT_FALSE(counter.Admit("alice", start + absl::Seconds(1)).ok());
}

TEST(CallLimitsTest, CallsInProgressAreCounted) {
  CallCounter counter({.calls_per_second = 0, .calls_at_once = 2});
  counter.Began("alice");
  EXPECT_TRUE(counter.Admit("alice", absl::Now()).ok());
  counter.Began("alice");
  EXPECT_TRUE(absl::IsResourceExhausted(counter.Admit("alice", absl::Now())));
  EXPECT_TRUE(counter.Admit("bob", absl::Now()).ok());
  counter.Ended("alice");
  EXPECT_TRUE(counter.Admit("alice", absl::Now()).ok());
}

TEST(ListenersTest, BeyondLoopbackNeedsTlsAndAnAccessFileOrInsecure) {
  const auto guard = [](const std::string& address, bool access, bool insecure) {
    return PlanListeners(
        {.addresses = {address}, .tls = {}, .has_access_file = access, .insecure = insecure});
  };
  for (const char* address : {"127.0.0.1:1", "localhost:0", "[::1]:1", "127.1.2.3:5"})
    EXPECT_EQ(guard(address, false, false)->front().guard, Guard::kLoopback) << address;
  EXPECT_EQ(guard("unix:/a", false, false)->front().guard, Guard::kFileMode);
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1",
                              "127.0.0.1.evil.org:1", "*:1", ":1"}) {
    EXPECT_THAT(Refusal(guard(address, false, false).status()), HasSubstr("--tls-cert")) << address;
    EXPECT_THAT(Refusal(guard(address, true, false).status()), HasSubstr("--tls-cert")) << address;
    EXPECT_THAT(Refusal(guard(address, true, true).status()), HasSubstr("in the clear")) << address;
    EXPECT_EQ(guard(address, false, true)->front().guard, Guard::kNone) << address;
  }
}

TEST(ListenersTest, ClientCertificatesBeyondLoopbackNeedTheirRolesTold) {
  ListenOptions options{.addresses = {"0.0.0.0:1"},
                        .tls = {.certificate_path = Certificate("server.crt"),
                                .key_path = Certificate("server.key"),
                                .client_authority_path = Certificate("ca.crt"),
                                .revocation_directory = {}}};
  EXPECT_THAT(Refusal(PlanListeners(options).status()),
              HasSubstr("without --access-file: it says what each client may do"));
  options.has_access_file = true;
  EXPECT_EQ(PlanListeners(options)->front().guard, Guard::kTls);
}

class PathRootsTest : public ::testing::Test {
 protected:
  PathRootsTest() {
    for (const char* directory : {"models/m", "data", "out", "secret"})
      std::filesystem::create_directories(scratch_.path() + "/" + directory);
    scratch_.File("secret/key", "secret");
    scratch_.File("data/train.jsonl", "{}\n");
    scratch_.File("models/m/config.json", "{}\n");
    roots_ = ResolveRoots({.confines = true,
                           .models = {At("models")},
                           .data = {At("data")},
                           .outputs = {At("out")}})
                 .value();
  }
  std::string At(const std::string& path) const { return scratch_.path() + "/" + path; }
  absl::Status Confine(v1::JobSpec& spec) const {
    convert::Violations violations;
    ConfinePaths(roots_, spec, violations);
    return violations.ToStatus();
  }
  absl::Status ConfineData(const std::string& path) const {
    v1::JobSpec spec;
    spec.set_dataset_path(path);
    return Confine(spec);
  }

  ScratchDirectory scratch_;
  PathRoots roots_;
};

TEST_F(PathRootsTest, WhatLeadsOutIsRefusedInTheSameWordsWhetherItExistsOrNot) {
  EXPECT_TRUE(ConfineData(At("data/train.jsonl")).ok());
  std::filesystem::create_symlink(At("secret/key"), At("data/link"));
  std::filesystem::create_directory_symlink(At("secret"), At("data/directory"));
  for (const char* path : {"data/../secret/key", "data/link", "data/directory/key", "secret/key",
                           "data2", "data/../data2/x", "data/x/../../secret/key", "models/m"})
    EXPECT_TRUE(absl::IsInvalidArgument(ConfineData(At(path)))) << path;
  EXPECT_TRUE(absl::IsInvalidArgument(
      ConfineData(At("data/train.jsonl") + std::string("\0/../../secret/key", 18))));
  const auto words = [&](const std::string& path) {
    const std::string text = Refusal(ConfineData(At(path)));
    return text.substr(text.find("which"));
  };
  EXPECT_EQ(words("secret/key"), words("secret/none"));
  EXPECT_EQ(words("data/link"), words("secret/none"));
}

TEST_F(PathRootsTest, LinksAreFollowedWhenTheJobIsMadeAndLookedAtAgainBeforeItStarts) {
  std::filesystem::create_symlink(At("data/train.jsonl"), At("data/newest"));
  v1::JobSpec spec;
  spec.set_dataset_path(At("data/newest"));
  spec.set_output_dir(At("out/a/b"));
  ASSERT_TRUE(Confine(spec).ok());
  EXPECT_EQ(spec.dataset_path(), std::filesystem::canonical(At("data")).string() + "/train.jsonl");
  EXPECT_TRUE(CheckStillConfined(roots_, spec).ok());
  std::filesystem::create_directory_symlink(At("secret"), At("out/a"));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckStillConfined(roots_, spec)));
  std::filesystem::remove(At("out/a"));
  std::filesystem::create_directories(At("out/other"));
  std::filesystem::create_directory_symlink(At("out/other"), At("out/a"));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckStillConfined(roots_, spec)))
      << "elsewhere below the root too";
}

TEST_F(PathRootsTest, AModelsFilesMayNotLeadOut) {
  v1::JobSpec spec;
  spec.set_model_path(At("models/m"));
  EXPECT_TRUE(Confine(spec).ok());
  std::filesystem::create_directories(At("models/blobs"));
  scratch_.File("models/blobs/1", "{}\n");
  std::filesystem::create_symlink("../blobs/1", At("models/m/tokenizer.json"));
  EXPECT_TRUE(Confine(spec).ok()) << "a hub's cache is made so";
  std::filesystem::create_symlink(At("secret/key"), At("models/m/generation_config.json"));
  EXPECT_THAT(Refusal(Confine(spec)), HasSubstr("generation_config.json"));
}

TEST_F(PathRootsTest, WhatAnOutputHoldsMayNotLeadOut) {
  v1::JobSpec spec;
  spec.set_output_dir(At("out/run"));
  std::filesystem::create_directories(At("out/run"));
  ASSERT_TRUE(Confine(spec).ok());
  std::filesystem::create_directory_symlink(At("secret"), At("out/run/merged"));
  EXPECT_THAT(Refusal(Confine(spec)), HasSubstr("out/run/merged"));
  EXPECT_TRUE(absl::IsFailedPrecondition(CheckStillConfined(roots_, spec)));
}

// Root lists every directory: nobody, while the object lives.
class WithoutRoot {
 public:
  WithoutRoot() {
    if (geteuid() != 0) return;
    was_root_ = true;
    EXPECT_EQ(seteuid(kNobody), 0);
  }
  ~WithoutRoot() {
    if (was_root_) {
      EXPECT_EQ(seteuid(0), 0);
    }
  }

 private:
  static constexpr uid_t kNobody = 65534;
  bool was_root_ = false;
};

// Its files could be opened all the same, by their names.
TEST_F(PathRootsTest, AModelThatCannotBeListedIsRefused) {
  using std::filesystem::perms;
  constexpr perms kEnter = perms::owner_exec | perms::group_exec | perms::others_exec;
  std::filesystem::permissions(scratch_.path(), perms::owner_all | kEnter);
  std::filesystem::permissions(At("models/m"), kEnter);
  v1::JobSpec spec;
  spec.set_model_path(At("models/m"));
  absl::Status status;
  {
    const WithoutRoot nobody;
    status = Confine(spec);
  }
  std::filesystem::permissions(At("models/m"), perms::owner_all);
  EXPECT_THAT(Refusal(status), HasSubstr("cannot list"));
}

TEST_F(PathRootsTest, WithoutARootNothingIsTakenAndWithoutConfinementEverything) {
  roots_.data.clear();
  EXPECT_THAT(Refusal(ConfineData(At("data/train.jsonl"))),
              HasSubstr("started without --data-root"));
  roots_.confines = false;
  EXPECT_TRUE(ConfineData("/etc/passwd").ok());
  EXPECT_THAT(
      Refusal(ResolveRoots({.confines = true, .models = {At("none")}, .data = {}, .outputs = {}})
                  .status()),
      HasSubstr("--model-root"));
}

TEST(TraceIdTest, IsOfATraceparentThatIsOne) {
  EXPECT_EQ(TraceId("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            "4bf92f3577b34da6a3ce929d0e0e4736");
  for (const char* bad : {"", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                          "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                          "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                          "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    EXPECT_EQ(TraceId(bad), "") << bad;
}

}  // namespace
}  // namespace tunesmith::server
