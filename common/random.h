#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

// Counter-based random numbers: the value at (key, counter) is a function of both alone, so neither
// the order of evaluation nor the number of threads can change it. The generator is SplitMix64
// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014), whose n-th
// output has a closed form.
namespace tunesmith {

constexpr uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// 64 random bits.
constexpr uint64_t RandomBits(uint64_t key, uint64_t counter) {
  return MixBits(key + (counter + 1) * 0x9e3779b97f4a7c15u);
}

// A key for a purpose named by a number or a text, within another key or a seed.
constexpr uint64_t RandomKey(uint64_t key, uint64_t number) {
  return RandomBits(MixBits(key), number);
}
constexpr uint64_t RandomKey(uint64_t key, std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return RandomKey(key, hash);
}

// Uniform in [0, 1), with 53 bits.
constexpr double RandomUniform(uint64_t key, uint64_t counter) {
  return static_cast<double>(RandomBits(key, counter) >> 11) * 0x1p-53;
}

// Standard normal (Box and Muller).
inline double RandomNormal(uint64_t key, uint64_t counter) {
  const double radius = std::sqrt(-2.0 * std::log1p(-RandomUniform(key, 2 * counter)));
  return radius * std::cos(2.0 * std::numbers::pi * RandomUniform(key, 2 * counter + 1));
}

// An integer in [0, bound), without modulo bias beyond 2^-64 * bound. REQUIRES: bound > 0.
constexpr int64_t RandomBelow(uint64_t key, uint64_t counter, int64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>(
      (static_cast<Wide>(RandomBits(key, counter)) * static_cast<Wide>(bound)) >> 64);
}

}  // namespace tunesmith
