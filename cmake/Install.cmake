# `cmake --install build`: the programs, manual pages, completions, protos and the C++ client with its CMake and pkg-config files; `ninja -C build uninstall` takes
# all of it away again. Programs find each other in one folder, so they lie together and bin/ has links to what people call.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(PROGRAM_DIR ${CMAKE_INSTALL_LIBDIR}/tunesmith)
set(CLIENT_INCLUDE_DIR ${CMAKE_INSTALL_INCLUDEDIR}/tunesmith)
set(CLIENT_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/tunesmith)
set(INSTALL_STAGE ${CMAKE_BINARY_DIR}/install)
file(MAKE_DIRECTORY ${INSTALL_STAGE}/bin ${INSTALL_STAGE}/man)

foreach(program tunesmith tunesmithd tunesmith-shim tunesmith-trainer tunesmith-profiler)
  install(TARGETS ${program} RUNTIME DESTINATION ${PROGRAM_DIR})
  file(RELATIVE_PATH to_program /${CMAKE_INSTALL_BINDIR} /${PROGRAM_DIR}/${program})
  file(CREATE_LINK ${to_program} ${INSTALL_STAGE}/bin/${program} SYMBOLIC)
  install(FILES ${INSTALL_STAGE}/bin/${program} DESTINATION ${CMAKE_INSTALL_BINDIR})
endforeach()
if(TARGET tunesmith_mpi)
  install(TARGETS tunesmith_mpi LIBRARY DESTINATION ${PROGRAM_DIR})
endif()

# Written by the program itself, so that they say what it knows.
add_custom_command(
  OUTPUT ${INSTALL_STAGE}/tunesmith.bash ${INSTALL_STAGE}/_tunesmith ${INSTALL_STAGE}/tunesmith.fish ${INSTALL_STAGE}/man/tunesmith.1
  COMMAND tunesmith __man-pages ${INSTALL_STAGE}/man
  COMMAND tunesmith completion bash > ${INSTALL_STAGE}/tunesmith.bash
  COMMAND tunesmith completion zsh > ${INSTALL_STAGE}/_tunesmith
  COMMAND tunesmith completion fish > ${INSTALL_STAGE}/tunesmith.fish
  COMMENT "manual pages and completions"
  VERBATIM)
add_custom_target(tunesmith_pages ALL
  DEPENDS ${INSTALL_STAGE}/tunesmith.bash ${INSTALL_STAGE}/_tunesmith ${INSTALL_STAGE}/tunesmith.fish ${INSTALL_STAGE}/man/tunesmith.1)
install(DIRECTORY ${INSTALL_STAGE}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
install(FILES ${INSTALL_STAGE}/tunesmith.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tunesmith)
install(FILES ${INSTALL_STAGE}/_tunesmith DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${INSTALL_STAGE}/tunesmith.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

install(DIRECTORY proto/tunesmith DESTINATION ${CMAKE_INSTALL_DATADIR}/tunesmith/proto FILES_MATCHING PATTERN "*.proto")
install(DIRECTORY deploy/ DESTINATION ${CMAKE_INSTALL_DATADIR}/tunesmith/deploy PATTERN bundle EXCLUDE)

# The client library, static, with what it stands on.
set(CLIENT_LIBRARIES tunesmith_client tunesmith_tls_files tunesmith_convert tunesmith_runtimes tunesmith_planner tunesmith_common tunesmith_proto_grpc tunesmith_proto)
install(TARGETS ${CLIENT_LIBRARIES} EXPORT tunesmith ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CLIENT_INCLUDE_DIR})
foreach(library ${CLIENT_LIBRARIES})
  string(REPLACE tunesmith_ "" exported ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${exported})
endforeach()
install(EXPORT tunesmith NAMESPACE tunesmith:: DESTINATION ${CLIENT_CMAKE_DIR} FILE tunesmith-targets.cmake)
configure_package_config_file(cmake/tunesmith-config.cmake.in ${INSTALL_STAGE}/tunesmith-config.cmake INSTALL_DESTINATION ${CLIENT_CMAKE_DIR})
write_basic_package_version_file(${INSTALL_STAGE}/tunesmith-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${INSTALL_STAGE}/tunesmith-config.cmake ${INSTALL_STAGE}/tunesmith-config-version.cmake DESTINATION ${CLIENT_CMAKE_DIR})
configure_file(cmake/tunesmith-client.pc.in ${INSTALL_STAGE}/tunesmith-client.pc @ONLY)
install(FILES ${INSTALL_STAGE}/tunesmith-client.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES client/client.h client/credentials.h DESTINATION ${CLIENT_INCLUDE_DIR}/client)
install(DIRECTORY ${CMAKE_BINARY_DIR}/proto/generated/tunesmith DESTINATION ${CLIENT_INCLUDE_DIR} FILES_MATCHING PATTERN "*.h")

add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -DMANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt -P ${CMAKE_SOURCE_DIR}/cmake/Uninstall.cmake VERBATIM)
