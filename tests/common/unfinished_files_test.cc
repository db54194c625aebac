#include "common/unfinished_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/common/temporary_directory.h"

namespace tunesmith {
namespace {

std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.push_back(entry.path().filename());
  return names;
}

TEST(UnfinishedFilesTest, WhatAWriterLeftGoesAndNothingElse) {
  const TemporaryDirectory directory;
  auto writer = AtomicFileWriter::Open(directory.File("model.safetensors"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ(NamesIn(directory.path()).size(), 1u);
  for (const char* name :
       {"a.tmp", "a.1.tmp", "a.-1.tmp", "a.1-.tmp", "a.1-2", "a1-2.tmp", ".1-2.tmp", "1-2.tmp"})
    ASSERT_TRUE(WriteFileAtomically(directory.File(name), "").ok());
  const std::vector<std::string> others = [&] {
    std::vector<std::string> names = NamesIn(directory.path());
    std::erase_if(names, [](const std::string& name) { return name.starts_with("model"); });
    return names;
  }();
  ASSERT_EQ(others.size(), 8u);
  RemoveUnfinishedFiles(directory.path());
  EXPECT_THAT(NamesIn(directory.path()), testing::UnorderedElementsAreArray(others));
  RemoveUnfinishedFiles(directory.File("absent"));
}

}  // namespace
}  // namespace tunesmith
