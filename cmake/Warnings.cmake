# Every target of ours links tunesmith_warnings; third-party headers come in as SYSTEM and stay quiet.
add_library(tunesmith_warnings INTERFACE)
target_compile_options(tunesmith_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers -Werror>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra --Werror=all-warnings>)
# gcc 12 reports the value inside a StatusOr that holds an error.
target_compile_options(tunesmith_warnings INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
target_include_directories(tunesmith_warnings INTERFACE ${CMAKE_SOURCE_DIR})

if(TUNESMITH_SANITIZE)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${TUNESMITH_SANITIZE}>
                      $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${TUNESMITH_SANITIZE})
endif()

# tunesmith_library(NAME SOURCES ... DEPENDS ...): a static library with the alias tunesmith::NAME.
function(tunesmith_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(tunesmith_${name} STATIC ${ARG_SOURCES})
  add_library(tunesmith::${name} ALIAS tunesmith_${name})
  target_link_libraries(tunesmith_${name} PUBLIC $<BUILD_INTERFACE:tunesmith_warnings> ${ARG_DEPENDS})
endfunction()

# tunesmith_test(NAME SOURCES ... DEPENDS ... LABELS ...): one GoogleTest binary, one ctest entry. What is tested is optimized, tests themselves little: they are half of what is compiled. The
# folder's TUNESMITH_TEST_GROUP names their precompiled headers.
function(tunesmith_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tunesmith_warnings ${ARG_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
  if(TUNESMITH_TEST_GROUP)
    tunesmith_use_precompiled(${name} ${TUNESMITH_TEST_GROUP})
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "TUNESMITH_BIN_DIR=${CMAKE_BINARY_DIR}/bin;OPENBLAS_NUM_THREADS=2")
endfunction()
