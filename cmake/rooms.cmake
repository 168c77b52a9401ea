# Common flags, and one static library a room. A room lists the rooms below it that it uses; its sources are every .c file
# in its folder, so that adding a file needs no change here.

# From the bottom up.
set(DDT_ROOMS base wire ring ckks custody circuit pharma solve twin)

add_library(ddt_flags INTERFACE)
target_include_directories(ddt_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(ddt_flags INTERFACE _GNU_SOURCE)
# -ffp-contract=off: encoded plaintexts are the same bytes on every machine and compiler.
target_compile_options(ddt_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers -Wconversion -Wshadow -Wstrict-prototypes
                       -Wmissing-prototypes -ffp-contract=off -fno-math-errno -fstack-protector-strong
                       # Debian 12's valgrind cannot read the DWARF 5 that Clang writes.
                       $<$<C_COMPILER_ID:Clang>:-gdwarf-4>)
target_link_options(ddt_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
if(DDT_WERROR)
  target_compile_options(ddt_flags INTERFACE -Werror)
endif()
if(DDT_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(DDT_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread -fno-omit-frame-pointer)
elseif(DDT_SANITIZE)
  message(FATAL_ERROR "DDT_SANITIZE is '${DDT_SANITIZE}'; it can be address, thread or empty.")
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT DDT_COVERAGE)
  target_compile_definitions(ddt_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
target_compile_options(ddt_flags INTERFACE ${sanitize})
target_link_options(ddt_flags INTERFACE ${sanitize})
if(DDT_COVERAGE)
  target_compile_options(ddt_flags INTERFACE --coverage)
  target_link_options(ddt_flags INTERFACE --coverage)
endif()
if(DDT_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "DDT_FUZZ needs Clang: configure with -DCMAKE_C_COMPILER=clang.")
  endif()
  target_compile_options(ddt_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# ddt_room(<name> <room below or library>...): a room that has no sources yet is left out, here and where it is used.
function(ddt_room name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(ddt_${name} STATIC ${sources})
  target_include_directories(ddt_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  target_link_libraries(ddt_${name} PUBLIC ddt_flags m)
  foreach(below ${ARGN})
    if(TARGET ddt_${below})
      target_link_libraries(ddt_${name} PUBLIC ddt_${below})
    elseif(NOT below IN_LIST DDT_ROOMS)
      target_link_libraries(ddt_${name} PUBLIC ${below})
    endif()
  endforeach()
endfunction()

# ddt_link_rooms(<target> <room>...): links those of the rooms that exist.
function(ddt_link_rooms target)
  foreach(room ${ARGN})
    if(TARGET ddt_${room})
      target_link_libraries(${target} PRIVATE ddt_${room})
    endif()
  endforeach()
endfunction()
