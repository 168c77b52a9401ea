#!/bin/sh
# The engine contains no function that touches a secret key: no symbol that the custody library defines is in ddtwin-engine or in the
# shared libddt. Usage: engine_symbols.sh NM ENGINE DDTWIN CUSTODY-ARCHIVE SHARED-LIBDDT
# SPDX-License-Identifier: Apache-2.0
set -eu
nm=$1 engine=$2 ddtwin=$3 custody=$4 shared=$5
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# symbols FILE: global names that FILE defines or needs, in its full and its dynamic table.
symbols() {
    { "$nm" "$1"; "$nm" -D "$1" 2>/dev/null || true; } | awk 'NF >= 2 { sub(/@.*/, "", $NF); print $NF }' | sort -u
}

"$nm" --defined-only --extern-only "$custody" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/global"
symbols "$engine" >"$scratch/engine"
symbols "$ddtwin" >"$scratch/ddtwin"
symbols "$shared" >"$scratch/shared"

# The test can fail: the same comparison finds the custody functions where they belong, and reads the engine at all.
if [ "$(comm -12 "$scratch/global" "$scratch/ddtwin" | wc -l)" -lt 5 ]; then
    echo "ddtwin itself shows fewer than 5 custody symbols: this comparison would miss them in the engine"
    exit 1
fi
grep -q '^ddt_reader_open$' "$scratch/engine" || { echo "the engine's symbols cannot be read"; exit 1; }

status=0
for program in engine shared; do
    found=$(comm -12 "$scratch/global" "$scratch/$program")
    if [ -n "$found" ]; then
        echo "$program contains what only custody may:"
        echo "$found"
        status=1
    fi
done
if command -v ldd >/dev/null && ldd "$engine" | grep -q custody; then
    echo "the engine loads the custody library"
    status=1
fi
exit $status
