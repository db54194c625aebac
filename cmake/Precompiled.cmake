# Headers that most of a group's files read, read once: more than half of a build's time is spent on reading headers (docs/adr/0029). Each group has one precompiled header; targets of the
# group use it, whatever their definitions. OFF in presets that look at the code (sanitizers, clang-tidy, fuzzing): there a file that lacks an include fails.
option(TUNESMITH_PRECOMPILED "Precompile headers" OFF)

# tunesmith_precompiled_group(NAME [EXECUTABLE] DEPENDS ... OPTIONS ... HEADERS ...)
function(tunesmith_precompiled_group name)
  if(NOT TUNESMITH_PRECOMPILED)
    return()
  endif()
  cmake_parse_arguments(ARG "EXECUTABLE" "" "DEPENDS;OPTIONS;HEADERS" ${ARGN})
  set(source ${CMAKE_BINARY_DIR}/precompiled/${name}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Has its headers precompiled.\nint main() { return 0; }\n")
  # Code of executables and of libraries is compiled differently.
  if(ARG_EXECUTABLE)
    add_executable(tunesmith_precompiled_${name} EXCLUDE_FROM_ALL ${source})
  else()
    add_library(tunesmith_precompiled_${name} OBJECT EXCLUDE_FROM_ALL ${source})
  endif()
  target_link_libraries(tunesmith_precompiled_${name} PRIVATE tunesmith_warnings ${ARG_DEPENDS})
  target_compile_options(tunesmith_precompiled_${name} PRIVATE ${ARG_OPTIONS})
  target_precompile_headers(tunesmith_precompiled_${name} PRIVATE ${ARG_HEADERS})
endfunction()

# tunesmith_use_precompiled(TARGET GROUP)
function(tunesmith_use_precompiled target group)
  if(TUNESMITH_PRECOMPILED)
    target_precompile_headers(${target} REUSE_FROM tunesmith_precompiled_${group})
  endif()
endfunction()

if(TUNESMITH_PRECOMPILED)
  # One header serves targets with threads and without.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-pthread>)
  # g++ forgets which code of a precompiled header is the system's, and says of its own library what it keeps to itself elsewhere (gcc 12, false all of them). Other presets
  # have these warnings.
  add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-array-bounds;-Wno-stringop-overread;-Wno-stringop-overflow;-Wno-restrict>")
  # What ccache needs to know a precompiled header by its contents (ccache(1), PRECOMPILED HEADERS).
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
  if(CCACHE_PROGRAM)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  endif()
endif()

set(TUNESMITH_COMMON_HEADERS
  <algorithm> <array> <chrono> <cmath> <cstdint> <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional> <set> <sstream> <string> <string_view> <thread> <utility> <vector>
  <absl/status/status.h> <absl/status/statusor.h> <absl/strings/numbers.h> <absl/strings/str_cat.h> <absl/strings/str_join.h> <absl/strings/str_split.h>
  <absl/time/clock.h> <absl/time/time.h> <absl/types/span.h>)
set(TUNESMITH_MESSAGE_HEADERS
  <google/protobuf/util/time_util.h> <tunesmith/v1/events.pb.h> <tunesmith/v1/job_spec.pb.h> <tunesmith/v1/plan.pb.h> <tunesmith/v1/recommender.pb.h> <tunesmith/v1/run_directory.pb.h>)
set(TUNESMITH_SERVICE_HEADERS
  <grpcpp/grpcpp.h> <tunesmith/v1/calibrations.grpc.pb.h> <tunesmith/v1/clusters.grpc.pb.h> <tunesmith/v1/jobs.grpc.pb.h> <tunesmith/v1/measurements.grpc.pb.h>
  <tunesmith/v1/recommender.grpc.pb.h>)
