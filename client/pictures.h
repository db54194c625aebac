#pragma once

#include <string>
#include <vector>

#include "tunesmith/v1/recommender.pb.h"

// Pictures made of characters. They say what the tables beside them say.
namespace tunesmith::client {

// A bar for each mix, its memory by class against the budget: a letter for every part of it, dots for what is free, and what the letters mean.
//
//    1 |WWWWWWWWWAAAAAAAAAAAAAAAALX..........|  66.36 of 79.14 GiB
std::string MemoryBars(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes, int width);

// Mixes as digits in a plane of step time (to the right) and memory (upwards); '*' where several fall on one place. Empty for fewer than two mixes.
std::string FrontPlot(const google::protobuf::RepeatedPtrField<v1::RankedMix>& mixes, int width,
                      int height);

// Eight heights of blocks, the values' means over at most `width` spans of equal length; empty where there are none.
std::string Sparkline(const std::vector<double>& values, int width);

// Columns of the terminal on stdout, 80 where that is not known.
int TerminalWidth();

}  // namespace tunesmith::client
