#!/bin/sh
# Makes the files that the command tests damage and mix up: two plans, keys of both, a twin and a result of the first.
# Usage: fixture.sh BIN SOURCE WORK
# SPDX-License-Identifier: Apache-2.0
set -eu
BIN=$1 SOURCE=$2 WORK=$3
. "$SOURCE/tests/cli/lib.sh"
rm -rf "$WORK"
mkdir -p "$WORK"
cd "$WORK"
cp "$SOURCE/tests/cli/decay.csv" table.csv
# The second plan is of another schedule: only one subject.
awk -F, 'NR == 1 || $1 == 1' table.csv >other.csv
"$BIN/ddtwin" compile "$model" --data-template table.csv -o plan.ddt
"$BIN/ddtwin" compile "$model" --data-template other.csv -o other.ddt
"$BIN/ddtwin" keygen --plan plan.ddt -o keys
"$BIN/ddtwin" keygen --plan other.ddt -o otherkeys
"$BIN/ddtwin" encrypt --plan plan.ddt --keys keys --data table.csv -o twin.ddt
"$BIN/ddtwin-engine" run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt
