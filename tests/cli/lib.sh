# shellcheck shell=sh
# Helpers of the command tests. Sourced with: BIN (folder of the programs), SOURCE (the repository), WORK (the fixture's folder).
# SPDX-License-Identifier: Apache-2.0

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# A private folder for one case, in which it runs; whatever it holds at the start and what the case adds with `keep` is expected at the end.
enter() {
    HERE=$(mktemp -d "${TMPDIR:-/tmp}/ddtwin-test-XXXXXX")
    trap 'chmod -R u+rwX "$HERE"; rm -rf "$HERE"' EXIT
    cd "$HERE" || exit 1
}

# refused CODE WORD COMMAND...: the command stops with this exit code and one sentence on stderr that holds WORD, says nothing on stdout and
# leaves no file behind.
refused() {
    code=$1 word=$2
    shift 2
    before=$(find . | sort)
    status=0
    "$@" >"$HERE.stdout" 2>"$HERE.stderr" </dev/null || status=$?
    sentence=$(cat "$HERE.stderr")
    lines=$(wc -l <"$HERE.stderr")
    printed=$(wc -c <"$HERE.stdout")
    rm -f "$HERE.stdout" "$HERE.stderr"
    after=$(find . | sort)
    printf '%s\n' "$sentence"
    [ "$status" -eq "$code" ] || fail "exit code $status instead of $code: $sentence"
    [ "$lines" -eq 1 ] || fail "$lines lines on stderr instead of one sentence"
    [ "$printed" -eq 0 ] || fail "$printed bytes on stdout of a failed command"
    case $sentence in
    *"$word"*) ;;
    *) fail "the sentence does not name '$word'" ;;
    esac
    case $sentence in
    "ddtwin: "*. | "ddtwin-engine: "*.) ;;
    *) fail "not a sentence of ours" ;;
    esac
    [ "$before" = "$after" ] || fail "files were left behind: before: $before after: $after"
}

# The small model of most cases; its table is decay.csv beside it.
# shellcheck disable=SC2034 # used by the scripts that source this
model=$SOURCE/tests/cli/decay.R

# flip FILE OFFSET: turns one bit of a byte.
flip() {
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    # shellcheck disable=SC2059 # the format is the octal byte
    printf "\\$(printf '%03o' $((byte ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

size_of() { wc -c <"$1" | tr -d ' '; }
