# For the relocatable bundle: Abseil, PCRE2, utf8proc and the C++ runtime are linked into the binaries; what is still shared lies in the
# bundle's lib/, which binaries find beside their own folder. Debian's CMake files name Abseil's shared libraries only, but the packages carry
# the archives too.
get_property(imported_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS imported_targets)
  if(target MATCHES "^absl::")
    get_target_property(shared_file ${target} IMPORTED_LOCATION_NONE)
    if(shared_file MATCHES "\\.so")
      string(REGEX REPLACE "\\.so.*$" ".a" archive ${shared_file})
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION_NONE ${archive})
    endif()
  endif()
endforeach()

# replace_with_archive(TARGET LIBRARY): a pkg-config target that links lib<LIBRARY>.a.
function(replace_with_archive target library)
  find_library(${library}_ARCHIVE lib${library}.a REQUIRED)
  set_target_properties(${target} PROPERTIES INTERFACE_LINK_LIBRARIES ${${library}_ARCHIVE})
endfunction()
replace_with_archive(PkgConfig::PCRE2 pcre2-8)
replace_with_archive(PkgConfig::UTF8PROC utf8proc)

# RPATH rather than RUNPATH: it also serves OpenBLAS, which is loaded at run time, and what that needs in turn.
add_link_options(-static-libstdc++ -static-libgcc -Wl,--disable-new-dtags -Wl,--gc-sections)
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections> $<$<COMPILE_LANGUAGE:CXX>:-fdata-sections>)
set(CMAKE_BUILD_RPATH "$ORIGIN/../lib")
