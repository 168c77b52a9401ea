#!/bin/sh
# An installation is complete: a program outside this tree builds against the shared libraries through pkg-config, against the static ones
# through CMake, and runs. Usage: install.sh BUILD-FOLDER COMPILER TEST-FOLDER
# SPDX-License-Identifier: Apache-2.0
set -eu
build=$1 compiler=$2 tests=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/usr" >/dev/null
PKG_CONFIG_PATH=$(dirname "$(find "$scratch/usr" -name libddt.pc)")
export PKG_CONFIG_PATH
libraries=$(dirname "$(find "$scratch/usr" -name 'libddt.so')")
# The .pc files name the prefix of the configuration; --prefix moved it.
flags=$(pkg-config --define-variable=prefix="$scratch/usr" --cflags --libs libddt)
# shellcheck disable=SC2086 # the flags are words
"$compiler" -std=c17 "$tests/consumer/consumer.c" -o "$scratch/consumer" $flags
LD_LIBRARY_PATH=$libraries "$scratch/consumer"

# Every header stands alone, in C without a warning, and all of them serve C++; so do the examples.
warnings="-Wall -Wextra -Wconversion -pedantic -Werror"
include=$(dirname "$(find "$scratch/usr" -path '*/ddt/base.h')")/..
for header in $(cd "$include" && find ddt -name '*.h' | sort); do
    echo "#include \"$header\"" >"$scratch/header.c"
    # shellcheck disable=SC2086
    "$compiler" -std=c17 $warnings -I"$include" -fsyntax-only "$scratch/header.c"
    cat "$scratch/header.c" >>"$scratch/headers.cc"
done
plusplus=$(echo "$compiler" | sed 's/gcc\([^/]*\)$/g++\1/; s/clang\([^/]*\)$/clang++\1/; s/\<cc$/c++/')
# shellcheck disable=SC2086
! command -v "$plusplus" >/dev/null || "$plusplus" -std=c++17 $warnings -I"$include" -fsyntax-only "$scratch/headers.cc"
for example in "$scratch"/usr/share/doc/*/examples/*.c; do
    # shellcheck disable=SC2086
    "$compiler" -std=c17 $warnings -I"$include" -fsyntax-only "$example"
done

cmake -S "$tests/consumer" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/usr" -DCMAKE_C_COMPILER="$compiler" >/dev/null
cmake --build "$scratch/build" >/dev/null
"$scratch/build/consumer"
for program in ddtwin ddtwin-engine; do
    if [ -x "$scratch/usr/bin/$program" ] && [ ! -s "$scratch/usr/share/man/man1/$program.1" ]; then
        echo "$program is installed without its manual page"
        exit 1
    fi
done
