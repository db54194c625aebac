#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tunesmith {

// The text of /proc/meminfo; empty where there is none.
std::string ReadMeminfo();

// The bytes of a field ("MemAvailable") in such a text, or 0 if it is not there.
int64_t MeminfoBytes(std::string_view meminfo, std::string_view field);

// The most resident memory that this process has had (VmHWM), bytes; 0 where the system does not tell.
int64_t PeakResidentBytes();

}  // namespace tunesmith
