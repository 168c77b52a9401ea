#!/bin/sh
# Data flows one way: a room includes only public headers of itself and of rooms below it, and no file of another room's folder.
# Usage: include_order.sh SOURCE-FOLDER
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$1"

# rank ROOM: the height of a room, from the bottom; 0 for what is not a room.
rank() {
    case $1 in
    base) echo 1 ;;
    wire) echo 2 ;;
    ring) echo 3 ;;
    ckks) echo 4 ;;
    custody) echo 5 ;;
    circuit) echo 6 ;;
    pharma) echo 7 ;;
    solve) echo 8 ;;
    twin) echo 9 ;;
    cli) echo 10 ;;
    *) echo 0 ;;
    esac
}

# Rooms that the engine is made of, or that must not know secrets, whatever their height.
forbidden() {
    case $1 in
    circuit | pharma | solve) [ "$2" = custody ] ;;
    engine) case $2 in custody | pharma | solve | twin) true ;; *) false ;; esac ;;
    *) false ;;
    esac
}

# check ROOM KIND FILE: every include of FILE, which belongs to ROOM; KIND is the name that forbidden() knows it by.
check() {
    sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\([^">]*\)[">].*/\1/p' "$3" | while read -r header; do
        case $header in
        ddt/*)
            other=${header#ddt/}
            other=${other%%/*}
            other=${other%.h}
            if [ "$(rank "$other")" -eq 0 ] || [ ! -e "include/$header" ]; then
                echo "$3 includes $header, which no room publishes"
            elif [ "$(rank "$other")" -gt "$(rank "$1")" ]; then
                echo "$3 includes $header, but $other lies above $1"
            elif forbidden "$2" "$other"; then
                echo "$3 includes $header, which $2 must not know"
            fi
            ;;
        *..*)
            # Sideways inside a room is fine: ring/avx2 uses what lies in ring.
            case $(realpath -m "$(dirname "$3")/$header") in
            "$(realpath "src/$1")"/*) ;;
            *) echo "$3 includes $header, out of its own room" ;;
            esac
            ;;
        esac
    done
}

# check_all: prints what is wrong under the current folder.
check_all() {
    find include/ddt src -name '*.[ch]' | while read -r file; do
        case $file in
        include/ddt/*)
            room=${file#include/ddt/}
            room=${room%%/*}
            room=${room%.h}
            kind=$room
            ;;
        src/cli/ddtwin-engine*) room=cli kind=engine ;;
        *)
            room=${file#src/}
            room=${room%%/*}
            kind=$room
            ;;
        esac
        [ "$(rank "$room")" -gt 0 ] || echo "$file belongs to no room"
        check "$room" "$kind" "$file"
    done
}

found=$(check_all)
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi

# The test can fail: a house with one file of each kind of mistake is refused.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp -R include "$scratch/include"
mkdir -p "$scratch/src/ring" "$scratch/src/solve" "$scratch/src/cli" "$scratch/src/attic"
echo '#include "ddt/ckks.h"' >"$scratch/src/ring/upwards.c"
echo '#  include <ddt/custody.h> /* secrets */' >"$scratch/src/solve/secrets.c"
echo '#include "ddt/solve.h"' >"$scratch/src/cli/ddtwin-engine-more.c"
echo '#include "../wire/format.h"' >"$scratch/src/ring/sideways.c"
echo '#include "ddt/nowhere.h"' >"$scratch/src/ring/unknown.c"
echo '#include <stdio.h>' >"$scratch/src/attic/roomless.c"
echo '#include "ddt/twin.h"' >"$scratch/src/cli/ddtwin.c"
cd "$scratch"
refused=$(check_all | grep -c 'src/')
if [ "$refused" -ne 6 ]; then
    echo "of six planted mistakes $refused were found:"
    check_all
    exit 1
fi
echo "every include points downwards"
