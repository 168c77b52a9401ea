#!/bin/sh
# Every source file names its licence near its top. Usage: licences.sh SOURCE-FOLDER
# SPDX-License-Identifier: Apache-2.0
set -eu
cd "$1"
missing=$(find include src tests bench fuzz \( -name '*.c' -o -name '*.h' -o -name '*.sh' \) \
    -exec sh -c 'for file; do head -n 20 "$file" | grep -q "SPDX-License-Identifier: Apache-2.0" || echo "$file"; done' sh {} +)
if [ -n "$missing" ]; then
    echo "without SPDX-License-Identifier: Apache-2.0 in the first 20 lines:"
    echo "$missing"
    exit 1
fi
