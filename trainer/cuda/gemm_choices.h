#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tunesmith::trainer {

// What a product is known by: shapes, dtypes, strides, alignments, that of a bias among them (gemm_plans.h).
inline constexpr size_t kGemmKeySize = 21;
using GemmKey = std::array<int64_t, kGemmKeySize>;
// An algorithm of cublasLt, opaque to us.
using GemmAlgorithm = std::array<uint64_t, 8>;

// Which algorithm each product was quickest with on one kind of device by one version of the library, kept in a text file: a line a product. Not thread safe.
class GemmChoices {
 public:
  // What `path` holds; lines that are none are left out. Empty path, or no file: nothing.
  explicit GemmChoices(std::string path);

  // Null: not known.
  const GemmAlgorithm* Find(const GemmKey& key) const;
  void Add(const GemmKey& key, const GemmAlgorithm& algorithm);
  // Writes what was added since, beside what other processes stored meanwhile. Errors of common/file.h; nothing is left half-written.
  absl::Status Save();

 private:
  std::string path_;
  std::map<GemmKey, GemmAlgorithm> known_;
  std::map<GemmKey, GemmAlgorithm> added_;
};

// $XDG_CACHE_HOME/tunesmith/products-<device>-<version>.txt, else under $HOME/.cache; empty where neither is set.
std::string GemmChoicesPath(std::string_view device_name, int64_t library_version);

}  // namespace tunesmith::trainer
