#!/bin/sh
# One case of the command tests. Usage: cases.sh CASE BIN SOURCE WORK
# Every function case_NAME is a test of its own: CMake reads the names from this file.
# SPDX-License-Identifier: Apache-2.0
set -eu
CASE=$1 BIN=$2 SOURCE=$3 WORK=$4
. "$SOURCE/tests/cli/lib.sh"

ddtwin() { "$BIN/ddtwin" "$@"; }
engine() { "$BIN/ddtwin-engine" "$@"; }

# ------------------------------------------------------------------ usage

case_unknown_command() { refused 2 simulat ddtwin simulat; }
case_unknown_option() {
    refused 2 "--colour" ddtwin check "$model" --colour red
    refused 2 "--colour" engine run --colour
    refused 2 "-x" ddtwin keygen -x
}
case_missing_option() {
    refused 2 "-o" ddtwin simulate "$model" --data table.csv
    refused 2 MODEL ddtwin check
    refused 2 "--twin" engine run --plan a --eval-keys b -o c
}
case_bad_option_value() {
    refused 2 "--threads" ddtwin check "$model" --threads none
    refused 2 "--threads" ddtwin check "$model" --threads 0
    refused 2 "--threads" ddtwin check "$model" --threads 100000
    refused 2 "--grid" ddtwin check "$model" --grid -1
    refused 2 "--grid" ddtwin check "$model" --grid nan
    refused 2 "--param" ddtwin check "$model" --param lke
    refused 2 "--output" ddtwin check "$model" --output a,,b
    refused 2 twice ddtwin check "$model" --output a,b,a
    refused 2 "--data" ddtwin check "$model" --data
    refused 2 locf ddtwin check "$model" --covariates both
    refused 2 extra ddtwin check "$model" extra
    refused 2 "given twice" ddtwin check "$model" --data "$WORK/table.csv" --data "$WORK/table.csv"
    refused 2 "--for update" ddtwin compile "$model" --data-template "$WORK/table.csv" --for fit --points 64 -o plan.ddt
    refused 2 "--for recommend" ddtwin compile "$model" --data-template "$WORK/table.csv" --target trough=1:3 -o plan.ddt
    mkdir none
    refused 1 "no model" ddtwin models none
    refused 1 "no model" ddtwin models none --json
}
case_help_teaches() {
    for command in check simulate compile keygen encrypt decrypt fit recommend grant open info models; do
        ddtwin $command --help >help.txt
        grep -q "ddtwin $command" help.txt || fail "no usage in the help of $command"
        grep -q Example help.txt || fail "no example in the help of $command"
        # Every option that a command has is in the manual page and in docs/commands.md.
        grep -oE '^  --?[a-z-]+' help.txt | tr -d ' ' | while read -r option; do
            tr -d '\134' <"$SOURCE/man/ddtwin.1" | grep -q -e "$option" || fail "$option is not in ddtwin.1"
            grep -q -e "$option" "$SOURCE/docs/commands.md" || [ "$option" = --help ] || fail "$option is not in commands.md"
        done
    done
    for command in run update info; do
        engine $command --help | grep -oE '^  --?[a-z-]+' | tr -d ' ' | while read -r option; do
            tr -d '\134' <"$SOURCE/man/ddtwin-engine.1" | grep -q -e "$option" || fail "$option is not in ddtwin-engine.1"
        done
    done
    ddtwin --version | grep -q '^ddtwin [0-9]'
    engine --version | grep -q '^ddtwin-engine [0-9]'
}
# The table of docs/commands.md says of each option exactly the commands that have it.
case_options_table() {
    sed -n '/^## Options/,/^The environment/p' "$SOURCE/docs/commands.md" | awk -F '|' '$2 ~ /`-/ && $3 !~ /^ all/ {
        split($2, word, "[` ]+"); n = split($3, command, ",")
        for (i = 1; i <= n; i++) { gsub(/\(.*\)/, "", command[i]); gsub(/^ +| +$/, "", command[i]); print word[2], command[i] }
    }' | sort >documented.txt
    for command in check simulate compile keygen encrypt decrypt fit recommend grant open info models; do
        ddtwin $command --help | sed -nE "s/^  (--?[a-z-]+) .*/\1 $command/p"
    done >offered.txt
    for command in run update info; do
        engine $command --help | sed -nE "s/^  (--?[a-z-]+) .*/\1 ddtwin-engine $command/p"
    done >>offered.txt
    grep -vE '^(-o|--threads|--json|--help) ' offered.txt | sort | diff documented.txt - || fail "docs/commands.md and --help differ"
}
case_full_stdout() {
    [ -e /dev/full ] || exit 77
    status=0
    ddtwin --help >/dev/full 2>stderr.txt || status=$?
    [ $status -eq 1 ] || fail "exit code $status when the output is full"
}

# ------------------------------------------------------------------ models and data

case_model_with_unknown_function() {
    sed 's/exp(lke/besselj(lke/' "$model" >odd.R
    refused 1 besselj ddtwin check odd.R
    refused 1 besselj ddtwin simulate odd.R --data "$WORK/table.csv" -o out
    refused 1 besselj ddtwin compile odd.R --data-template "$WORK/table.csv" -o plan.ddt
}
case_missing_model() { refused 1 nowhere.R ddtwin check nowhere.R; }
case_missing_covariate_column() {
    cut -d, -f1-6 "$SOURCE/data/vancomycin_events.csv" >bare.csv
    refused 1 column ddtwin simulate "$SOURCE/models/vancomycin_thomson2009.R" --data bare.csv -o out
}
case_unknown_parameter() { refused 1 nosuch ddtwin check "$model" --param nosuch=1; }
case_unknown_output() { refused 1 nosuch ddtwin check "$model" --output nosuch; }
case_value_outside_range() {
    cp "$WORK/table.csv" heavy.csv
    # Ten times the dose.
    sed -i 's/^1,0,100,1/1,0,1000,1/' heavy.csv
    refused 1 1000 ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data heavy.csv -o twin.ddt
    refused 1 AMT ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data heavy.csv -o twin.ddt
    refused 1 "line 2" ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data heavy.csv -o twin.ddt
}
case_other_schedule() {
    refused 1 other.csv ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data "$WORK/other.csv" -o twin.ddt
}
case_decreasing_times() {
    awk -F, -v OFS=, 'NR == 4 { $2 = 99 } { print }' "$WORK/table.csv" >table.csv
    refused 1 "line 5" ddtwin simulate "$model" --data table.csv -o out
}
# Tables as they come from a spreadsheet, an infusion pump or an attacker: taken as they are meant, or refused with file and line.
case_naive_tables() {
    v=$SOURCE/models/vancomycin_thomson2009.R
    head=ID,TIME,AMT,RATE,CMT,EVID,DV,WT,CRCL
    dose=p,0,1000,1000,1,1,.,75,80
    level=p,11.5,.,.,1,0,10,75,80
    # A mark of UTF-8, line ends of Windows, old Macs and none, quotes, blanks, empty lines, small letters.
    printf '\357\273\277%s\r\n%s\r\n\r\n"p",11.5,.,.,1,0, 10 ,75,80' "$(echo $head | tr A-Z a-z)" $dose >good.csv
    ddtwin check "$v" --data good.csv >/dev/null || fail "a table of a spreadsheet is refused"
    printf '%s\r%s\r%s\r' $head $dose $level >mac.csv
    ddtwin check "$v" --data mac.csv >/dev/null || fail "old line ends are refused"
    while read -r word first second; do
        printf '%s\n%s\n%s\n' $head "$first" "$second" >bad.csv
        refused 1 "$word" ddtwin check "$v" --data bad.csv
        refused 1 bad.csv ddtwin compile "$v" --data-template bad.csv --for update -o plan.ddt
    done <<END
TIME p,nan,1000,1000,1,1,.,75,80 $level
AMT p,0,inf,1000,1,1,.,75,80 $level
AMT p,0,-1000,1000,1,1,.,75,80 $level
AMT p,0,1e300,1e300,1,1,.,75,80 $level
AMT p,0,1000mg,1000,1,1,.,75,80 $level
WT p,0,1000,1000,1,1,.,NaN,80 $level
-75 p,0,1000,1000,1,1,.,-75,80 $level
WT p,0,1000,1000,1,1,.,0,0 p,11.5,.,.,1,0,10,0,0
fields $dose p,11,5,.,.,1,0,10,75,80
fields p,0,1000 $level
EVID p,0,1000,1000,1,9,.,75,80 $level
CMT p,0,1000,1000,9,1,.,75,80 $level
DV $dose p,11.5,.,.,1,0,<5,75,80
TIME $dose p,1e18,.,.,1,0,10,75,80
TIME $dose p,11:30,.,.,1,0,10,75,80
END
    printf '%s\n%s\n%s\nq,0,1000,1000,1,1,.,75,80\np,12,1000,1000,1,1,.,75,80\n' $head $dose $level >bad.csv
    refused 1 "line 5" ddtwin check "$v" --data bad.csv
    sed 's/,/;/g; s/11\.5/11,5/' good.csv >bad.csv
    refused 1 commas ddtwin check "$v" --data bad.csv
    printf 'ID;TIME;AMT;1,5\np;0,5;1000;3\n' >bad.csv
    refused 1 commas ddtwin check "$v" --data bad.csv
    printf '%s,WT\n%s,75\n' $head $dose >bad.csv
    refused 1 twice ddtwin check "$v" --data bad.csv
    printf '\377\376%s\n' $head >bad.csv
    refused 1 bad.csv ddtwin check "$v" --data bad.csv
    mkdir folder.csv folder.R
    refused 1 folder.csv ddtwin check "$v" --data folder.csv
    refused 1 folder.R ddtwin check folder.R
    refused 1 /dev/zero ddtwin check "$v" --data /dev/zero
    refused 1 /dev/null ddtwin check "$v" --data /dev/null
    refused 1 folder.csv ddtwin compile "$v" --data-template good.csv --for update -o folder.csv
    refused 1 folder.csv ddtwin info folder.csv
    refused 1 folder.csv/plan.ddt ddtwin decrypt --keys folder.csv --result "$WORK/result.ddt" -o out
}
# A megabyte of noise, of zeros, of brackets, of signs, of one letter: no model, and told so at once.
case_garbage_models() {
    "$BIN/ddtwin" info "$WORK/keys/eval.ddt" >/dev/null
    head -c 1000000 "$WORK/keys/eval.ddt" >noise.R
    head -c 1000000 /dev/zero >zeros.R
    tr '\0' '(' <zeros.R >brackets.R
    tr '\0' a <zeros.R >letters.R
    { printf 'x <- function() {\n model({ a <- ' && head -c 500000 brackets.R; } >nested.R
    { printf 'x <- function() {\n model({ a <- ' && tr '(' - <brackets.R | head -c 500000 && echo '1 }) }'; } >signs.R
    : >empty.R
    for garbage in noise zeros brackets letters nested signs empty; do
        refused 1 $garbage.R ddtwin check $garbage.R
        refused 1 $garbage.R ddtwin check "$model" --data $garbage.R
    done
}
case_text_in_number() {
    awk -F, -v OFS=, 'NR == 4 { $2 = "noon" } { print }' "$WORK/table.csv" >table.csv
    refused 1 noon ddtwin simulate "$model" --data table.csv -o out
}
# Doses without a time to compute.
case_doses_alone() {
    printf 'ID,TIME,AMT\n1,0,100\n' >doses.csv
    refused 1 "no observation" ddtwin check "$model" --data doses.csv
    refused 1 "no observation" ddtwin simulate "$model" --data doses.csv --clear -o out
    refused 1 "no observation" ddtwin compile "$model" --data-template doses.csv -o plan.ddt
    printf 'ID,TIME,AMT,EVID\n1,0,100,1\n1,24,100,1\n' >doses.csv
    ddtwin check "$model" --data doses.csv --grid 4 >/dev/null || fail "a grid is a time to compute, too"
}
case_empty_table() {
    : >table.csv
    refused 1 table.csv ddtwin simulate "$model" --data table.csv -o out
    head -n 1 "$WORK/table.csv" >table.csv
    refused 1 table.csv ddtwin simulate "$model" --data table.csv -o out
}
case_empty_files() {
    : >empty.ddt
    refused 1 empty.ddt ddtwin keygen --plan empty.ddt -o keys
    refused 1 empty.ddt engine run --plan empty.ddt --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o result.ddt
    refused 1 empty.ddt engine run --plan "$WORK/plan.ddt" --eval-keys empty.ddt --twin "$WORK/twin.ddt" -o result.ddt
    refused 1 empty.ddt engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin empty.ddt -o result.ddt
    refused 1 empty.ddt ddtwin decrypt --keys "$WORK/keys" --result empty.ddt -o out
    refused 1 empty.ddt ddtwin info empty.ddt
}

# ------------------------------------------------------------------ regimens and physicians

product='dose=20:200:20; interval=6,12'
case_recommend_in_the_clear() {
    ddtwin recommend "$model" --data "$WORK/table.csv" --target trough=1:3 --product "$product" --clear -o out --json >told.json
    for file in recommendation.json candidates.csv report.html; do
        [ -s "out/$file" ] || fail "no $file"
    done
    grep -q '"regimen"' out/recommendation.json || fail "no regimen"
    # 10 doses x 2 intervals for each of the table's subjects, and a heading.
    subjects=$(tail -n +2 "$WORK/table.csv" | cut -d, -f1 | sort -u | wc -l)
    [ "$(wc -l <out/candidates.csv)" -eq $((20 * subjects + 1)) ] || fail "candidates.csv does not hold all candidates"
    cmp -s told.json out/recommendation.json || fail "--json and recommendation.json differ"
}
case_recommend_levels() {
    # Levels alone say nothing yet; the commands that recommend tells turn them into eta columns, which count.
    printf 'ID,TIME,AMT,EVID,DV,WT\n1,0,100,1,.,70\n1,1,.,0,9.1,70\n1,3.25,.,0,3.7,70\n2,0,50,1,.,60\n2,2.5,.,0,3,60\n' >levels.csv
    sed 's/v <- exp(lv)/v <- exp(lv) * WT \/ 70/' "$model" >by_weight.R
    set -- --target trough=1:3 --product "$product" --clear
    ddtwin recommend by_weight.R --data levels.csv "$@" -o out >told.txt
    grep -q '^levels .*not used' told.txt || fail "levels are not said to be unused: $(cat told.txt)"
    sed -n 's/^  \(ddtwin fit .*\)/\1 --clear/p; s/^  \(awk .*\)/\1/p' told.txt >next.sh
    [ "$(wc -l <next.sh)" -eq 2 ] || fail "recommend tells other commands: $(cat next.sh)"
    # shellcheck disable=SC1091
    . ./next.sh >/dev/null
    [ "$(head -n 1 with-etas.csv)" = ID,TIME,AMT,EVID,DV,WT,eta.ke ] || fail "with-etas.csv begins with $(head -n 1 with-etas.csv)"
    ddtwin recommend by_weight.R --data with-etas.csv "$@" -o own >told.txt
    grep -q '^levels ' told.txt && fail "levels are said to be unused beside etas"
    cmp -s out/candidates.csv own/candidates.csv && fail "etas change nothing"
    # Without a covariate there is nothing to encrypt before the fit; that is told as well.
    cut -d, -f1-5 levels.csv >bare.csv
    refused 1 "ddtwin fit" ddtwin recommend "$model" --data bare.csv "$@" -o none
    true
}
case_recommend_a_course() {
    # A dose of its own size at each time: within its bounds, in its steps, one row each; no result that could be granted.
    vancomycin="$SOURCE/models/vancomycin_thomson2009.R"
    printf 'ID,TIME,EVID,WT,CRCL,eta_cl,eta_v1,eta_q,eta_v2\nA,0,2,80,70,0.1,0,0,0\nB,0,2,60,30,0,0.1,0,-0.2\n' >patients.csv
    set -- --target 'auc0-24=400:600; auc24-48=400:600; tox:trough@24=18,weight=0.5' --product 'course=0,12,24; dose=250:1500:250; infusion=1'
    ddtwin recommend "$vancomycin" --data patients.csv "$@" --clear -o out >told.txt
    grep -q '^A .*0 h: [0-9]* mg, 12 h: ' told.txt || fail "no course is told: $(cat told.txt)"
    awk -F, 'NR == 1 && $0 != "ID,TIME,DOSE,COMPUTED" { exit 1 }
        NR > 1 && ($3 < 250 || $3 > 1500 || $3 % 250 || ($4 - $3) ^ 2 > 126 ^ 2) { exit 1 } END { exit NR != 7 }' out/candidates.csv ||
        fail "candidates.csv is no table of doses: $(cat out/candidates.csv)"
    grep -q '"course"' out/recommendation.json || fail "recommendation.json has no course"
    grep -q 'As computed' out/report.html || fail "the report has no doses"
    refused 1 "granted" ddtwin compile "$vancomycin" --data-template patients.csv --for recommend "$@" --grantable -o plan.ddt
    refused 2 "contradictory" ddtwin recommend "$vancomycin" --data patients.csv --target auc0-24=400:600 --product 'course=0,12; dose=900:500:250' --clear -o none
}
case_recommend_by_simulation() {
    # A nadir is not among the sums of the linear way: every candidate is simulated. One command, and the same by files.
    curves='dose=50:150:50; interval=6; cycles=2'
    ddtwin recommend "$model" --data "$WORK/table.csv" --target 'nadir=0.5:2; max=8' --product "$curves" --clear -o clear --json >told.json
    grep -q '"pareto"' told.json || fail "no Pareto front"
    head -n 1 clear/candidates.csv | grep -q 'nadir,max,cost,p_target,cost(nadir),cost(max),nadir.p05,nadir.p50,nadir.p95,max.p05,max.p50,max.p95,PARETO$' || fail "candidates.csv has other columns"
    ddtwin compile "$model" --data-template "$WORK/table.csv" --for recommend --target 'nadir=0.5:2; max=8' --product "$curves" \
        -o plan.ddt >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    ddtwin encrypt --plan plan.ddt --keys keys --data "$WORK/table.csv" -o twin.ddt >/dev/null
    engine run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt >/dev/null
    ddtwin decrypt --keys keys --result result.ddt -o files >/dev/null
    [ -s files/candidates.csv ] || fail "decrypt wrote no candidates.csv"
    # Metrics and costs by files are those of the clear run; subjects are numbered in files.
    sort -t, -k1,4 clear/candidates.csv | grep -v ^ID >a.csv
    sort -t, -k1,4 files/candidates.csv | grep -v ^ID >b.csv
    paste -d, a.csv b.csv | awk -F, '{ for (i = 6; i <= 11; i++) { d = $i - $(i + NF / 2); if (d < -0.01 || d > 0.01) exit 1 } }' ||
        fail "encrypted candidates differ from clear ones"
    # Curves are granted, too: what the physician is told was read off rounded ones, and is the holder's to within the steps.
    by_files "$model" "$WORK/table.csv" 'nadir=0.5:2; max=8' "$curves" --grantable
    ddtwin keygen --physician -o doctor >/dev/null
    ddtwin grant --keys keys --result result.ddt --subject 2 --to doctor/physician-public.ddt -o grant.ddt >/dev/null
    ddtwin open --keys doctor --grant grant.ddt >opened.txt
    awk -F, '$1 == 2 { print $2, $6, $7; exit }' files/candidates.csv >own.txt
    sed -n '/^recommended/{s/[a-z]* *\([0-9.]*\) .*/\1/p;n;s/.*nadir \([0-9.]*\), max \([0-9.]*\).*/\1\n\2/p;}' opened.txt | paste -sd' ' |
        paste -d' ' - own.txt | awk '{ exit !(NF == 6 && $1 == $4 && ($2 - $5)^2 < 0.02^2 && ($3 - $6)^2 < 0.1^2) }' ||
        fail "opened $(cat opened.txt), decrypted $(cat own.txt)"
}
# by_files MODEL DATA TARGET PRODUCT [OPTIONS of compile]: plan, keys, twin and result as files, and files/candidates.csv of them.
by_files() {
    by_model=$1 by_data=$2 by_target=$3 by_product=$4
    shift 4
    rm -rf keys files clear
    ddtwin recommend "$by_model" --data "$by_data" --target "$by_target" --product "$by_product" --clear -o clear >/dev/null
    ddtwin compile "$by_model" --data-template "$by_data" --for recommend --target "$by_target" --product "$by_product" -o plan.ddt "$@" >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    ddtwin encrypt --plan plan.ddt --keys keys --data "$by_data" -o twin.ddt >/dev/null
    engine run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt >/dev/null
    ddtwin decrypt --keys keys --result result.ddt -o files >/dev/null
}
# same_candidates LAST: columns 6 to LAST of files/candidates.csv are those of the clear run.
same_candidates() {
    for same_folder in clear files; do
        sort -t, -k1,5 $same_folder/candidates.csv | grep -v ^ID | cut -d, -f1-"$1" >$same_folder.csv
    done
    paste -d, clear.csv files.csv | awk -F, '{ for (i = 6; i <= NF / 2; i++) { d = $i - $(i + NF / 2); s = $i < 0 ? -$i : $i; s = s < 1 ? 1 : s
        if (d < -0.005 * s || d > 0.005 * s) exit 1 } }' || fail "encrypted candidates differ from clear ones"
}
case_long_recommend_by_files() {
    vancomycin=$SOURCE/models/vancomycin_thomson2009.R
    cat >levels.csv <<'END'
ID,TIME,AMT,RATE,EVID,DV,WT,CRCL,eta_cl,eta_v1,eta_q,eta_v2
1,0,1000,1000,1,.,70,66,0.1,-0.05,0,0.2
1,11.5,.,.,0,9.5,70,66,0.1,-0.05,0,0.2
1,12,.,.,2,.,70,66,0.1,-0.05,0,0.2
END
    by_files "$vancomycin" levels.csv 'auc24@48=400:600; trough@48=10:15' 'dose=500:1500:250; interval=12; infusion=1'
    same_candidates 11
    printf 'ID,TIME,EVID,WT,CRCL\n1,0,2,55,40\n2,0,2,90,110\n' >sizes.csv
    by_files "$vancomycin" sizes.csv 'auc24=400:600; trough=10:15' 'dose=10:25:5; interval=8,12; infusion=1; per=WT'
    same_candidates 11
    # The metrics of a plan for releases are the clear run's, and what a physician opens is what the holder decrypts.
    printf 'ID,TIME,EVID,WT,CRCL\n1,0,2,70,66\n' >one.csv
    by_files "$vancomycin" one.csv 'auc24=400:600; trough=10:15' 'dose=500:1500:250; interval=8,12; infusion=1' --grantable
    same_candidates 7
    ddtwin keygen --physician -o doctor >/dev/null
    ddtwin grant --keys keys --result result.ddt --to doctor/physician-public.ddt -o grant.ddt >/dev/null
    ddtwin open --keys doctor --grant grant.ddt >opened.txt
    regimen=$(sed -n 's/^recommended *//p' opened.txt)
    sed -n '2p' files/candidates.csv | awk -F, -v regimen="$regimen" '{ if (regimen !~ "^" $2 " mg every " $3 " h") exit 1 }' ||
        fail "opened '$regimen', decrypted $(sed -n '2p' files/candidates.csv)"
}
case_impossible_targets() {
    set -- recommend "$model" --data "$WORK/table.csv" --product "$product" --clear -o out
    refused 1 "out of reach" ddtwin "$@" --target trough=9999:99999
    refused 2 contradictory ddtwin "$@" --target auc24=5:1
    refused 2 "lb/L" ddtwin "$@" --target 'auc24=400:600[lb/L]'
    refused 2 metric ddtwin "$@" --target colour=1
    refused 2 auc24 ddtwin "$@" --target auc24
    refused 1 "--target" ddtwin recommend "$model" --data "$WORK/table.csv" --product "$product" --clear -o out
    refused 1 "--product" ddtwin recommend "$model" --data "$WORK/table.csv" --target trough=1:3 --clear -o out
}
case_impossible_products() {
    set -- recommend "$model" --data "$WORK/table.csv" --target trough=1:3 --clear -o out
    refused 2 contradictory ddtwin "$@" --product dose=20:10:5
    refused 2 LOWEST ddtwin "$@" --product dose=1:100
    refused 2 1024 ddtwin "$@" --product dose=1:1000000:1
    refused 2 interval ddtwin "$@" --product 'dose=100:200:10; infusion=30; interval=6'
}
case_purposes() {
    refused 2 colours ddtwin compile "$model" --data-template "$WORK/table.csv" --for colours -o plan.ddt
    refused 2 "--grid" ddtwin compile "$model" --data-template "$WORK/table.csv" --for fit --grid 1 -o plan.ddt
    refused 1 "public key" ddtwin grant --keys "$WORK/keys" --result "$WORK/result.ddt" --to "$WORK/plan.ddt" -o grant.ddt
    ddtwin keygen --physician -o doctor >/dev/null
    refused 1 "nothing in it to grant" ddtwin grant --keys "$WORK/keys" --result "$WORK/result.ddt" \
        --to doctor/physician-public.ddt -o grant.ddt
}
case_fit() {
    # Levels that curves of the model can come near to.
    cat >levels.csv <<'END'
ID,TIME,AMT,EVID,DV
1,0,100,1,.
1,0.5,.,0,11.0
1,1,.,0,9.1
1,3.25,.,0,3.7
2,0,50,1,.
2,2.5,.,0,3
3,0,50,1,.
3,2.5,.,0,3000
END
    # A level that no curve of the model comes near: its subject is left out, by name, and the others are served.
    ddtwin fit "$model" --data levels.csv -o out --json >told.json 2>told.txt
    grep -q 'subject 3 is left out.*line 9: DV of the subject 3 is 3000' told.txt || fail "told: $(cat told.txt)"
    grep -q '"id": "3"' told.json || fail "the summary does not list who was left out"
    for file in etas.csv individuals.csv uncertainty.csv residuals.csv summary.json report.html; do
        [ -s "out/$file" ] || fail "no $file"
    done
    [ "$(head -n 1 out/etas.csv)" = ID,eta.ke ] || fail "etas.csv begins with $(head -n 1 out/etas.csv)"
    [ "$(wc -l <out/etas.csv)" -eq 4 ] || fail "etas.csv does not hold three subjects"
    ddtwin fit "$model" --data levels.csv --clear -o clear >/dev/null 2>&1
    for folder in out clear; do
        for table in etas individuals uncertainty; do
            [ "$(tail -n 1 $folder/$table.csv | tr -d ,)" = 3 ] || fail "$folder/$table.csv tells of the subject 3"
        done
        [ "$(tail -n 1 $folder/residuals.csv)" = 3,2.5,cp,3000,0,,, ] || fail "$folder/residuals.csv tells of the subject 3"
    done
    # Encrypted and clear run agree: the bar of an eta is 0.01.
    paste -d, out/etas.csv clear/etas.csv | tail -n +2 |
        awk -F, '{ d = $2 - $4; if (d < -0.01 || d > 0.01) exit 1 }' || fail "the encrypted fit differs from the clear one"
    # Earlier results are replaced, also by a second run.
    ddtwin fit "$model" --data levels.csv --clear -o clear >/dev/null 2>&1 || fail "a second fit does not replace the first"
    # A table of such levels alone is refused.
    sed -n '1,5p;8,$p' levels.csv | sed 's/,11.0/,990/' >far.csv
    refused 1 "none of the 2 subjects" ddtwin fit "$model" --data far.csv -o far
}
# A fit through plan, twin and result files: everyone's etas are those of the clear run.
fit_by_files() {
    ddtwin fit "$1" --data "$2" --clear -o clear >/dev/null
    ddtwin compile "$1" --data-template "$2" --for fit -o plan.ddt >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    ddtwin encrypt --plan plan.ddt --keys keys --data "$2" -o twin.ddt >/dev/null
    engine run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt >/dev/null
    ddtwin decrypt --keys keys --result result.ddt -o files >/dev/null
    for table in etas uncertainty; do
        [ "$(wc -l <"files/$table.csv")" -eq "$3" ] || fail "$table.csv has $(wc -l <"files/$table.csv") lines instead of $3"
        paste -d, "clear/$table.csv" "files/$table.csv" | tail -n +2 | awk -F, '{ n = NF / 2; for (i = 2; i <= n; i++) {
            d = $i - $(i + n); if ($1 != $(1 + n) || d < -0.005 || d > 0.005) exit 1 } }' ||
            fail "$2: $(paste -d, "clear/$table.csv" "files/$table.csv") differ"
    done
    rm -rf clear keys files plan.ddt twin.ddt result.ddt
}
case_long_fit_by_files() {
    fit_by_files "$SOURCE/models/vancomycin_thomson2009.R" "$SOURCE/data/vancomycin_levels.csv" 4
    # A weight that changes, a level below the limit of quantification.
    cat >weight.R <<'END'
m <- function() {
  ini({ tcl <- 1.4; eta.cl ~ 0.09; eta.v ~ 0.04; add.sd <- 0.5; prop.sd <- 0.1 })
  model({
    cl <- exp(tcl + eta.cl) * (WT / 70)^0.75
    v <- 30 * exp(eta.v)
    d/dt(central) <- -cl / v * central
    cp <- central / v
    cp ~ add(add.sd) + prop(prop.sd)
  })
}
END
    cat >weight.csv <<'END'
ID,TIME,EVID,AMT,DV,CENS,WT
a,0,1,500,.,0,60
a,2,0,0,12.5,0,62
a,10,0,0,6.1,0,75
b,0,1,400,.,0,80
b,2,0,0,11.0,0,80
b,10,0,0,5,1,90
c,0,1,300,.,0,50
c,12,0,0,5,1,58
END
    fit_by_files weight.R weight.csv 4
}
case_grant() {
    ddtwin compile "$model" --data-template "$WORK/table.csv" --for recommend --target trough=1:3 --product "$product" \
        --grantable -o plan.ddt >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    ddtwin keygen --physician -o doctor >/dev/null
    ddtwin keygen --physician -o nurse >/dev/null
    ddtwin encrypt --plan plan.ddt --keys keys --data "$WORK/table.csv" -o twin.ddt >/dev/null
    engine run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt >/dev/null
    set -- grant --keys keys --result result.ddt --to doctor/physician-public.ddt -o grant.ddt
    refused 1 "--subject" ddtwin "$@"
    refused 1 nobody ddtwin "$@" --subject nobody
    ddtwin "$@" --subject 2 | grep -q "1 of the key's" || fail "the release was not counted"
    ddtwin open --keys doctor --grant grant.ddt >opened.txt
    grep -q "^recommended" opened.txt || fail "no recommendation"
    grep -q "^subject *2" opened.txt || fail "another subject's"
    # Beside the target's metric: the usual others, their bands, cost and P(target); and what bands mean.
    grep -A 1 "^recommended" opened.txt | grep -Eq 'trough [0-9.]+ \([0-9.]+ to [0-9.]+\), cost [0-9.]+, p_target [0-9.]+, auc24 .*, peak ' ||
        fail "no bands: $(cat opened.txt)"
    grep -Eq "^bands .*points of the (posterior|population)" opened.txt || fail "bands are not explained: $(cat opened.txt)"
    ddtwin open --keys doctor --grant grant.ddt --json >opened.json
    grep -q '"p05_p50_p95"' opened.json || fail "no percentiles in JSON"
    refused 1 "another physician" ddtwin open --keys nurse --grant grant.ddt
    # What is granted is what the key's holder decrypts, to within the step.
    ddtwin decrypt --keys keys --result result.ddt -o out >/dev/null
    best=$(sed -n 's/^recommended *//p' opened.txt)
    grep -q "\"regimen\": \"$best\"" out/recommendation.json || fail "'$best' is not among the decrypted best"
    # A ledger that is gone, or spent, is the end of grants.
    mv keys/ledger.txt ledger.txt
    refused 1 ledger ddtwin "$@" --subject 2
}
case_physician_keys() {
    refused 2 "--physician" ddtwin keygen -o doctor
    refused 2 "--physician" ddtwin keygen --physician --plan "$WORK/plan.ddt" -o doctor
    ddtwin keygen --physician -o doctor >/dev/null
    [ "$(stat -c %a doctor/physician.ddt)" = 600 ] || fail "others may open the physician's key"
    refused 3 overwritten ddtwin keygen --physician -o doctor
    refused 1 "$WORK/plan.ddt" ddtwin open --keys doctor --grant "$WORK/plan.ddt"
    refused 1 nowhere ddtwin open --keys doctor --grant nowhere.ddt
    ddtwin info doctor/physician-public.ddt | grep -q "physician's public key"
    chmod 644 doctor/physician.ddt
    refused 3 "chmod 600" ddtwin open --keys doctor --grant "$WORK/plan.ddt"
}

# ------------------------------------------------------------------ files that do not belong together

case_plan_of_another_model() {
    sed 's/lv <- 2/lv <- 2.1/' "$model" >changed.R
    refused 1 changed.R ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --model changed.R \
        --data "$WORK/table.csv" -o twin.ddt
    ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --model "$model" --data "$WORK/table.csv" -o twin.ddt
}
case_keys_of_another_plan() {
    refused 1 "$WORK/plan.ddt" ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/otherkeys" \
        --data "$WORK/table.csv" -o twin.ddt
    refused 1 "$WORK/otherkeys" ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/otherkeys" \
        --data "$WORK/table.csv" -o twin.ddt
    refused 1 "$WORK/otherkeys/eval.ddt" engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/otherkeys/eval.ddt" \
        --twin "$WORK/twin.ddt" -o result.ddt
}
case_twin_of_another_plan() {
    refused 1 "$WORK/twin.ddt" engine run --plan "$WORK/other.ddt" --eval-keys "$WORK/otherkeys/eval.ddt" \
        --twin "$WORK/twin.ddt" -o result.ddt
}
case_result_of_another_plan() {
    refused 1 "$WORK/result.ddt" ddtwin decrypt --keys "$WORK/otherkeys" --result "$WORK/result.ddt" -o out
}
case_file_of_another_kind() {
    refused 1 twin engine run --plan "$WORK/twin.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o r.ddt
    refused 1 plan ddtwin decrypt --keys "$WORK/keys" --result "$WORK/plan.ddt" -o out
}
# Two keys of one plan: the digests agree, so only the numbers can tell.
case_result_of_another_key() {
    ddtwin keygen --plan "$WORK/plan.ddt" -o keys >/dev/null
    refused 1 "$WORK/result.ddt" ddtwin decrypt --keys keys --result "$WORK/result.ddt" -o out
}

# Every command, with a file that is not there, and with files in each other's places.
case_missing_files() {
    P=$WORK/plan.ddt K=$WORK/keys T=$WORK/twin.ddt
    refused 1 nowhere ddtwin check nowhere.R
    refused 1 nowhere ddtwin check "$model" --data nowhere.csv
    refused 1 nowhere ddtwin simulate "$model" --data nowhere.csv -o out
    refused 1 nowhere ddtwin compile "$model" --data-template nowhere.csv -o plan.ddt
    refused 1 nowhere ddtwin compile "$model" --data-template nowhere.csv --for update -o plan.ddt
    refused 1 nowhere ddtwin keygen --plan nowhere.ddt -o keys
    refused 1 nowhere ddtwin encrypt --plan nowhere.ddt --keys "$K" --data "$WORK/table.csv" -o t.ddt
    refused 1 nowhere ddtwin encrypt --plan "$P" --keys nowhere --data "$WORK/table.csv" -o t.ddt
    refused 1 nowhere ddtwin encrypt --plan "$P" --keys "$K" --data nowhere.csv -o t.ddt
    refused 1 nowhere ddtwin encrypt --plan "$P" --keys "$K" --model nowhere.R --data "$WORK/table.csv" -o t.ddt
    refused 1 nowhere ddtwin decrypt --keys nowhere --result "$WORK/result.ddt" -o out
    refused 1 nowhere ddtwin decrypt --keys "$K" --result nowhere.ddt -o out
    refused 1 nowhere ddtwin fit "$model" --data nowhere.csv -o out
    refused 1 nowhere ddtwin recommend "$model" --data nowhere.csv --target trough=1:3 --product "$product" -o out
    refused 1 nowhere ddtwin grant --keys "$K" --result "$WORK/result.ddt" --to nowhere.ddt -o grant.ddt
    refused 1 nowhere ddtwin open --keys nowhere --grant "$P"
    refused 1 nowhere ddtwin info nowhere.ddt
    refused 1 nowhere ddtwin models nowhere
    refused 1 nowhere engine run --plan nowhere.ddt --eval-keys "$K/eval.ddt" --twin "$T" -o r.ddt
    refused 1 nowhere engine run --plan "$P" --eval-keys nowhere.ddt --twin "$T" -o r.ddt
    refused 1 nowhere engine run --plan "$P" --eval-keys "$K/eval.ddt" --twin nowhere.ddt -o r.ddt
    refused 1 nowhere engine update --plan nowhere.ddt --eval-keys "$K/eval.ddt" --new "$T" -o r.ddt
}
case_swapped_files() {
    P=$WORK/plan.ddt K=$WORK/keys T=$WORK/twin.ddt R=$WORK/result.ddt
    refused 1 "$T" ddtwin keygen --plan "$T" -o keys
    refused 1 "$T" ddtwin encrypt --plan "$T" --keys "$K" --data "$WORK/table.csv" -o t.ddt
    refused 1 "$P" ddtwin encrypt --plan "$P" --keys "$K" --data "$P" -o t.ddt
    refused 1 "$P" ddtwin check "$P"
    refused 1 "$WORK/table.csv" ddtwin check "$WORK/table.csv"
    refused 1 "$model" ddtwin check "$model" --data "$model"
    refused 1 "$T" ddtwin decrypt --keys "$K" --result "$T" -o out
    refused 1 "$R" engine run --plan "$P" --eval-keys "$K/eval.ddt" --twin "$R" -o r.ddt
    refused 1 "$T" engine run --plan "$P" --eval-keys "$T" --twin "$T" -o r.ddt
    refused 1 "$P" engine update --plan "$P" --eval-keys "$K/eval.ddt" --new "$T" -o r.ddt
    refused 1 "$K/public.ddt" engine run --plan "$P" --eval-keys "$K/public.ddt" --twin "$T" -o r.ddt
}

# ------------------------------------------------------------------ damaged files

# damaged KIND FILE: a copy cut at several places and with flipped bits at several places is refused by whoever reads it.
damaged() {
    kind=$1 file=$2
    size=$(size_of "$file")
    for cut in 1 31 40 $((size / 2)) $((size - 1)); do
        head -c "$cut" "$file" >bad.ddt
        chmod 600 bad.ddt
        reader_of "$kind"
    done
    for place in 3 9 20 37 60 $((size / 3)) $((size / 2)) $((size - 40)) $((size - 1)); do
        cp "$file" bad.ddt
        chmod 600 bad.ddt
        flip bad.ddt "$place"
        reader_of "$kind"
    done
}
reader_of() {
    case $1 in
    plan)
        refused 1 bad.ddt ddtwin keygen --plan bad.ddt -o newkeys
        refused 1 bad.ddt engine run --plan bad.ddt --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o r.ddt
        ;;
    eval)
        refused 1 bad.ddt engine run --plan "$WORK/plan.ddt" --eval-keys bad.ddt --twin "$WORK/twin.ddt" -o r.ddt
        ;;
    twin)
        refused 1 bad.ddt engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin bad.ddt -o r.ddt
        ;;
    result)
        refused 1 bad.ddt ddtwin decrypt --keys "$WORK/keys" --result bad.ddt -o out
        ;;
    secret)
        mv bad.ddt keys/secret.ddt
        refused 1 keys/secret.ddt ddtwin decrypt --keys keys --result "$WORK/result.ddt" -o out
        ;;
    public)
        mv bad.ddt keys/public.ddt
        refused 1 keys/public.ddt ddtwin encrypt --plan "$WORK/plan.ddt" --keys keys --data "$WORK/table.csv" -o t.ddt
        ;;
    esac
}
case_damaged_plan() { damaged plan "$WORK/plan.ddt"; }
case_damaged_eval_keys() { damaged eval "$WORK/keys/eval.ddt"; }
case_damaged_twin() { damaged twin "$WORK/twin.ddt"; }
case_damaged_result() { damaged result "$WORK/result.ddt"; }
case_damaged_secret_key() {
    mkdir keys
    cp "$WORK/keys/plan.ddt" keys
    : >keys/secret.ddt
    damaged secret "$WORK/keys/secret.ddt"
}
case_damaged_public_key() {
    mkdir keys
    cp "$WORK/keys/plan.ddt" keys
    : >keys/public.ddt
    damaged public "$WORK/keys/public.ddt"
}

# ------------------------------------------------------------------ security

case_key_readable_by_others() {
    mkdir keys
    cp -p "$WORK/keys/plan.ddt" "$WORK/keys/secret.ddt" keys
    for mode in 640 604 660; do
        chmod $mode keys/secret.ddt
        refused 3 keys/secret.ddt ddtwin decrypt --keys keys --result "$WORK/result.ddt" -o out
        refused 3 keys/secret.ddt ddtwin encrypt --plan "$WORK/plan.ddt" --keys keys --data "$WORK/table.csv" -o t.ddt
    done
}
case_modes_of_keys() {
    [ "$(stat -c %a "$WORK/keys")" = 700 ] || fail "the key folder is open to others"
    [ "$(stat -c %a "$WORK/keys/secret.ddt")" = 600 ] || fail "the secret key is open to others"
}
case_passphrase() {
    umask 077
    printf 'correct horse battery staple\n' >pass
    printf 'something else\n' >wrong
    : >none
    ddtwin keygen --plan "$WORK/plan.ddt" -o keys --passphrase-file pass >/dev/null
    refused 3 keys/secret.ddt ddtwin encrypt --plan "$WORK/plan.ddt" --keys keys --passphrase-file wrong \
        --data "$WORK/table.csv" -o twin.ddt
    refused 3 keys/secret.ddt setsid "$BIN/ddtwin" encrypt --plan "$WORK/plan.ddt" --keys keys --data "$WORK/table.csv" -o twin.ddt
    refused 3 none ddtwin encrypt --plan "$WORK/plan.ddt" --keys keys --passphrase-file none --data "$WORK/table.csv" -o t.ddt
    ddtwin encrypt --plan "$WORK/plan.ddt" --keys keys --passphrase-file pass --data "$WORK/table.csv" -o twin.ddt
}
case_insecure_parameters() {
    "$BIN/cli_insecure_plan" plan.ddt
    refused 3 plan.ddt engine run --plan plan.ddt --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o r.ddt
    refused 3 plan.ddt ddtwin keygen --plan plan.ddt -o keys
}
case_keys_are_not_overwritten() {
    mkdir keys
    : >keys/secret.ddt
    refused 1 keys/secret.ddt ddtwin keygen --plan "$WORK/plan.ddt" -o keys
}
# The engine is run in a folder without a secret key, and what it says is relayed.
case_engine_sees_no_secret() {
    mkdir bin
    cp "$BIN/ddtwin" bin
    printf '#!/bin/sh\nls | tr "\\n" " " >%s/seen\necho "ddtwin-engine: The engine is not well." >&2\nexit 3\n' "$HERE" >bin/ddtwin-engine
    chmod +x bin/ddtwin-engine
    : >seen
    refused 3 "not well" bin/ddtwin simulate "$model" --data "$WORK/table.csv" -o out
    [ "$(cat seen)" = "eval.ddt plan.ddt twin.ddt " ] || fail "the engine's folder held: $(cat seen)"
}
case_engine_is_missing() {
    mkdir bin
    cp "$BIN/ddtwin" bin
    refused 1 ddtwin-engine env PATH=/nowhere bin/ddtwin simulate "$model" --data "$WORK/table.csv" -o out
}

# ------------------------------------------------------------------ no space, no right, interrupts

# A file-size limit stands for a full disk; blocks of 512 bytes.
limited() {
    blocks=$1
    shift
    (
        ulimit -f "$blocks"
        exec "$@"
    )
}
# At least 3 blocks of 512 bytes: LLVM's OpenMP runtime dies where it may not write its own 1 KiB of shared memory.
case_no_space() {
    refused 1 space limited 16 "$BIN/ddtwin" keygen --plan "$WORK/plan.ddt" -o keys
    refused 1 space limited 16 "$BIN/ddtwin" encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data "$WORK/table.csv" -o twin.ddt
    refused 1 space limited 16 "$BIN/ddtwin-engine" run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" \
        --twin "$WORK/twin.ddt" -o result.ddt
    refused 1 space limited 3 "$BIN/ddtwin" compile "$model" --data-template "$WORK/table.csv" -o plan.ddt
    refused 1 space limited 3 "$BIN/ddtwin" decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o out
    refused 1 space limited 16 "$BIN/ddtwin" simulate "$model" --data "$WORK/table.csv" -o out
}
case_no_folder() {
    refused 1 nowhere ddtwin compile "$model" --data-template "$WORK/table.csv" -o nowhere/plan.ddt
    : >file
    refused 1 file ddtwin simulate "$model" --data "$WORK/table.csv" -o file
}
# Places where nothing can be made, whoever asks: a device that is always full, a folder without room for files, a name that is too long.
case_nowhere_to_write() {
    [ -e /dev/full ] || exit 77
    P=$WORK/plan.ddt K=$WORK/keys T=$WORK/twin.ddt
    long=$(printf '%0300d' 0)
    for out in /dev/full /proc/nowhere.ddt "$long"; do
        refused 1 "$out" ddtwin compile "$model" --data-template "$WORK/table.csv" -o "$out"
        refused 1 "$out" ddtwin encrypt --plan "$P" --keys "$K" --data "$WORK/table.csv" -o "$out"
        refused 1 "$out" engine run --plan "$P" --eval-keys "$K/eval.ddt" --twin "$T" -o "$out"
        refused 1 "$out" ddtwin decrypt --keys "$K" --result "$WORK/result.ddt" -o "$out"
        refused 1 "$out" ddtwin keygen --plan "$P" -o "$out"
    done
}
# What a command reads, keys, and what is not ours are never overwritten; earlier results are.
case_inputs_are_not_overwritten() {
    P=plan.ddt K=keys T=twin.ddt
    cp -R "$WORK/keys" keys
    cp "$WORK/plan.ddt" "$WORK/twin.ddt" "$WORK/table.csv" .
    cp "$model" model.R
    find . -type f ! -name stderr.txt -exec cksum {} + | sort >"$WORK/before"
    refused 1 table.csv ddtwin compile model.R --data-template table.csv -o ./table.csv
    refused 1 model.R ddtwin compile model.R --data-template table.csv -o model.R
    refused 1 model.R ddtwin models model.R -o model.R
    refused 1 table.csv ddtwin simulate model.R --data table.csv --clear --plot table.csv -o out
    refused 1 nowhere ddtwin simulate model.R --data table.csv --clear --plot nowhere/curves.svg -o out
    # Of a folder with our names only: results, one would think.
    mkdir earlier
    mv table.csv earlier/profile.csv
    refused 1 earlier/profile.csv ddtwin simulate model.R --data earlier/profile.csv --clear -o earlier/
    mv earlier/profile.csv table.csv
    rmdir earlier
    for key in secret public eval; do
        refused 1 "never overwritten" ddtwin encrypt --plan $P --keys $K --data table.csv -o $K/$key.ddt
        refused 1 "never overwritten" ddtwin compile model.R --data-template table.csv -o $K/$key.ddt
    done
    refused 1 "which the command reads" engine run --plan $P --eval-keys $K/eval.ddt --twin $T -o $K/eval.ddt
    refused 1 "which the command reads" engine run --plan $P --eval-keys $K/eval.ddt --twin $T -o $T
    refused 1 "not a file of this program" ddtwin compile "$model" --data-template "$WORK/table.csv" -o model.R
    refused 1 "encrypted twin" ddtwin models model.R -o $T
    find . -type f ! -name stderr.txt -exec cksum {} + | sort >"$WORK/after"
    cmp "$WORK/before" "$WORK/after" || fail "a file was touched"
    ddtwin encrypt --plan $P --keys $K --data table.csv -o $T >/dev/null || fail "an earlier result is not replaced"
}
case_folder_of_somebody_else() {
    mkdir out
    echo precious >out/notes.txt
    refused 1 notes.txt ddtwin simulate "$model" --data "$WORK/table.csv" -o out
    refused 1 notes.txt ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o out
    [ "$(cat out/notes.txt)" = precious ] || fail "a stranger's file was touched"
}
case_interrupt() {
    before=$(find . | sort)
    "$BIN/ddtwin" simulate "$SOURCE/models/theophylline.R" --data "$SOURCE/data/theophylline_events.csv" -o out >/dev/null 2>"$WORK/said" &
    pid=$!
    sleep 1
    kill -INT $pid 2>/dev/null || true
    status=0
    wait $pid || status=$?
    if [ $status -ne 0 ]; then
        [ $status -eq 1 ] || fail "an interrupted run ends with $status"
        [ "$(cat "$WORK/said")" = "ddtwin: Interrupted; nothing was written." ] || fail "it says: $(cat "$WORK/said")"
        [ "$before" = "$(find . | sort)" ] || fail "an interrupted run left files: $(find .)"
    fi
    # A check that takes many seconds is interrupted for certain.
    "$BIN/ddtwin" check "$SOURCE/models/dupilumab_kovalenko2020.R" >/dev/null 2>"$WORK/said" &
    pid=$!
    sleep 1
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ $status -eq 1 ] || fail "an interrupted check ends with $status"
    [ "$(cat "$WORK/said")" = "ddtwin: Interrupted; nothing was written." ] || fail "it says: $(cat "$WORK/said")"
}

# Killed without a chance to clean up: what was there is there, whole.
case_killed() {
    cp "$WORK/result.ddt" result.ddt
    for after in 0 0.02 0.05 0.1 0.2; do
        "$BIN/ddtwin-engine" run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o result.ddt \
            >/dev/null 2>&1 &
        pid=$!
        sleep $after
        kill -KILL $pid 2>/dev/null || true
        wait $pid 2>/dev/null || true
        cmp -s result.ddt "$WORK/result.ddt" || fail "a run that was killed after $after s left another result"
    done
    ddtwin decrypt --keys "$WORK/keys" --result result.ddt -o out
}

# ------------------------------------------------------------------ living twins

life_table='ID,TIME,AMT,EVID,DV
9,0,100,1,.
9,0.5,.,0,11.0
9,1,.,2,.'
case_update_plans() {
    printf '%s\n' "$life_table" >life.csv
    set -- --data-template life.csv --for update -o plan.ddt
    refused 2 100 ddtwin compile "$model" "$@" --points 100
    refused 2 "--memory" ddtwin compile "$model" "$@" --memory -1
    refused 2 "--grid" ddtwin compile "$model" "$@" --grid 1
    refused 1 "not linear" ddtwin compile "$SOURCE/models/phenytoin_yukawa1990.R" \
        --data-template "$SOURCE/data/phenytoin_events.csv" --for update -o plan.ddt
    refused 2 "--twin" ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data "$WORK/table.csv" --twin x -o t.ddt
    refused 2 "--data" ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" --data "$WORK/table.csv" -o out
    ddtwin compile "$model" "$@" --points 64 --half-life 24 >/dev/null
    ddtwin info plan.ddt | grep -q "living twin: 64 support points, 1 etas, 1 compartments" || fail "info says nothing of a living twin"
    refused 1 "$WORK/keys" ddtwin encrypt --plan plan.ddt --keys "$WORK/keys" --data life.csv -o t.ddt
    refused 1 "$WORK/keys/eval.ddt" engine run --plan plan.ddt --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" -o r.ddt
}
# From birth on: updates in their order, each once, of one patient; what is killed has not happened.
case_long_living_twin() {
    printf '%s\n' "$life_table" >one.csv
    printf 'ID,TIME,AMT,EVID,DV\n9,2,50,1,.\n9,2.5,.,0,8.9\n' >two.csv
    printf 'ID,TIME,AMT,EVID,DV\n8,2,50,1,.\n8,2.5,.,0,8.9\n' >stranger.csv
    printf 'ID,TIME,AMT,EVID,DV\n9,3,50,1,.\n9,3.5,.,0,.\n9,4.5,.,0,.\n' >next.csv
    ddtwin compile "$model" --data-template one.csv --for update --points 64 --memory 1000 -o plan.ddt >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    set -- --plan plan.ddt --keys keys
    ddtwin encrypt "$@" --data one.csv -o one.ddt >/dev/null
    update="--plan plan.ddt --eval-keys keys/eval.ddt"
    # shellcheck disable=SC2086 # options
    engine update $update --new one.ddt -o twin.ddt >/dev/null
    ddtwin info twin.ddt | grep -q "to 1, 1 updates" || fail "info does not tell the twin's clock"
    refused 1 "another patient" ddtwin encrypt "$@" --twin twin.ddt --data stranger.csv -o t.ddt
    refused 1 "before the twin's clock" ddtwin encrypt "$@" --twin twin.ddt --data one.csv -o t.ddt
    refused 2 "--twin" ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --twin twin.ddt --data "$WORK/table.csv" -o t.ddt
    ddtwin encrypt "$@" --twin twin.ddt --data two.csv -o two.ddt >/dev/null
    # shellcheck disable=SC2086
    {
        refused 1 "--twin must name" engine update $update --new two.ddt -o t.ddt
        refused 1 "begins a twin" engine update $update --twin twin.ddt --new one.ddt -o t.ddt
        refused 1 one.ddt engine update $update --twin one.ddt --new two.ddt -o t.ddt
        for place in 20 60 100 $(($(size_of two.ddt) / 2)) $(($(size_of two.ddt) - 40)); do
            cp two.ddt bad.ddt
            flip bad.ddt "$place"
            refused 1 bad.ddt engine update $update --twin twin.ddt --new bad.ddt -o t.ddt
            cp twin.ddt bad.ddt
            flip bad.ddt $((place % $(size_of twin.ddt)))
            refused 1 bad.ddt engine update $update --twin bad.ddt --new two.ddt -o t.ddt
            refused 1 bad.ddt ddtwin decrypt --keys keys --result bad.ddt -o out
        done
        refused 1 bad.ddt engine update $update --new bad.ddt -o t.ddt
        rm bad.ddt
        head -c 100000 two.ddt >cut.ddt
        refused 1 cut.ddt engine update $update --twin twin.ddt --new cut.ddt -o t.ddt
        refused 1 /dev/full engine update $update --twin twin.ddt --new two.ddt -o /dev/full
        refused 1 space limited 16 "$BIN/ddtwin-engine" update $update --twin twin.ddt --new two.ddt -o t.ddt
    }
    cp twin.ddt old.ddt
    for after in 0.05 0.5 2; do
        # shellcheck disable=SC2086
        "$BIN/ddtwin-engine" update $update --twin twin.ddt --new two.ddt -o twin.ddt >/dev/null 2>&1 &
        pid=$!
        sleep $after
        kill -KILL $pid 2>/dev/null || fail "the update was over before it was killed"
        wait $pid 2>/dev/null || true
        cmp twin.ddt old.ddt || fail "an update that was killed after $after s changed the twin"
    done
    rm -f ./*.tmp-*
    # shellcheck disable=SC2086
    {
        engine update $update --twin twin.ddt --new two.ddt -o twin.ddt >/dev/null
        refused 1 "has had 2" engine update $update --twin twin.ddt --new two.ddt -o twin.ddt
    }
    ddtwin decrypt --keys keys --result twin.ddt --data next.csv -o out >text
    for file in twin.json etas.csv uncertainty.csv state.csv forecast.csv; do
        [ -s out/$file ] || fail "no $file"
    done
    grep -q "^out: 9 at 2.5 h, after 2 updates" text || fail "decrypt says: $(head -n 1 text)"
    [ "$(wc -l <out/forecast.csv)" -eq 3 ] || fail "forecast.csv does not hold two times"
    # What next: the candidates in their order, the least cost first.
    refused 2 "need --data" ddtwin decrypt --keys keys --result twin.ddt --target trough=1:3 --product "$product" -o advice
    refused 1 "does not say" ddtwin decrypt --keys keys --result twin.ddt --data next.csv --target trough=1:3 -o advice
    refused 2 metric ddtwin decrypt --keys keys --result twin.ddt --data next.csv --target colour=1 --product "$product" -o advice
    ddtwin decrypt --keys keys --result twin.ddt --data next.csv --target 'trough=1:3; auc24=30:90' --product "$product" -o advice >text
    grep -q '^next .* mg every .* h; p_target .*, trough .*, auc24 ' text || fail "no regimen is told: $(cat text)"
    [ "$(wc -l <advice/regimens.csv)" -eq 21 ] || fail "regimens.csv does not hold 20 candidates"
    tail -n +2 advice/regimens.csv | cut -d, -f8 >costs
    sort -g costs | cmp - costs || fail "regimens.csv is not in the order of costs"
    # --json lists the same candidates in the same order, with the same numbers and the percentiles.
    ddtwin decrypt --keys keys --result twin.ddt --data next.csv --target 'trough=1:3; auc24=30:90' --product "$product" --json -o advice >advice.json
    tail -n +2 advice/regimens.csv | awk -F, '{ printf "%.7g %.7g %.7g %.7g\n", $4, $5, $10, $11 }' >rows
    tr -d ', ' <advice.json | awk -F: '/^"dose"/ { d = $2 } /^"interval_h"/ { i = $2 } /^"trough":[0-9]/ { t = $2 }
        wanted { printf "%.7g %.7g %.7g %.7g\n", d, i, t, $1; wanted = 0 } /^"trough":\[/ { wanted = 1 }' | cmp rows - ||
        fail "--json lists other regimens than regimens.csv"
    grep -q '"candidates": 20,' advice.json || fail "--json does not say how many candidates there are"
    grep -q '"regimen": ".* mg every .* h' advice.json || fail "--json has no regimen in words"
    grep -q '"updates": 2,' advice.json || fail "--json has lost the twin's own fields"
    # All levels at once give the same estimate: within 0.01, as a fit must.
    { cat one.csv; tail -n +2 two.csv; } >all.csv
    ddtwin fit "$model" --data all.csv --clear -o fit >/dev/null
    paste -d, out/etas.csv fit/etas.csv | tail -n +2 |
        awk -F, '{ d = $2 - $4; if (d < -0.01 || d > 0.01) exit 1 }' || fail "$(paste -d, out/etas.csv fit/etas.csv) differ"
}

# Two drugs' worth of sources: a ward's levels (secret key), a laboratory's urine and a pharmacy's doses (public key only), one after the other,
# each as a file of its own; against the fit to all of them at once, in the clear.
case_long_two_sources() {
    cat >two.R <<'END'
two <- function() {
  description <- "Plasma and urine: two sources of levels"
  reference <- "Made for the tests"
  units <- list(time = "h", dosing = "mg", concentration = "mg/L")
  ini({
    lcl <- 0.7
    lv <- 2
    share <- 0.6
    eta.cl ~ 0.09
    eta.v ~ 0.04
    sd <- 0.2
    part <- 0.1
    usd <- 2
  })
  model({
    cl <- exp(lcl + eta.cl)
    v <- exp(lv + eta.v)
    d/dt(central) <- -cl / v * central
    d/dt(urine) <- share * cl / v * central - 0.05 * urine
    cp <- central / v
    cu <- urine
    cp ~ add(sd) + prop(part)
    cu ~ add(usd)
  })
}
END
    head=ID,TIME,AMT,EVID,CMT,DV
    {
        echo $head
        printf 'Zaphod-4,0,103.25,1,1,.\nZaphod-4,2.75,.,0,1,8.1357\n'
    } >one.csv
    { echo $head && printf 'Zaphod-4,4.25,51.625,1,1,.\n'; } >pharmacy.csv
    { echo $head && printf 'Zaphod-4,6.5,.,0,2,48.753\n'; } >laboratory.csv
    { echo $head && printf 'Zaphod-4,8.125,97.125,1,1,.\nZaphod-4,9.375,.,0,1,13.579\n'; } >ward.csv
    { echo $head && printf 'Zaphod-4,10,.,0,1,.\nZaphod-4,12,.,0,2,.\n'; } >ahead.csv
    { cat one.csv && tail -qn 1 pharmacy.csv laboratory.csv && tail -n 2 ward.csv; } >all.csv
    { cat all.csv && tail -n 2 ahead.csv; } >template.csv
    ddtwin compile two.R --data-template template.csv --for update --points 1024 --memory 1000 -o plan.ddt >/dev/null
    ddtwin keygen --plan plan.ddt -o keys >/dev/null
    mkdir sender
    cp keys/plan.ddt keys/public.ddt sender
    secrets="Zaphod-4 103.25 8.1357 51.625 48.753 97.125 13.579 8.125"
    ddtwin encrypt --plan plan.ddt --keys keys --data one.csv -o new.ddt >/dev/null
    hidden new.ddt
    engine update --plan plan.ddt --eval-keys keys/eval.ddt --new new.ddt -o twin.ddt >/dev/null
    for source in pharmacy laboratory ward; do
        holder=sender
        [ $source = ward ] && holder=keys
        ddtwin encrypt --plan plan.ddt --keys $holder --twin twin.ddt --data $source.csv -o new.ddt >/dev/null
        hidden new.ddt twin.ddt
        engine update --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt --new new.ddt -o twin.ddt >/dev/null
    done
    hidden twin.ddt
    # The program that looks for them does find what is there: the plan names its memory.
    "$BIN/cli_find_values" plan.ddt 1000 >/dev/null || fail "numbers are not found"
    ddtwin decrypt --keys keys --result twin.ddt --data ahead.csv -o out >text
    grep -q "^out: Zaphod-4 at 9.375 h, after 4 updates" text || fail "decrypt says: $(head -n 1 text)"
    ddtwin fit two.R --data all.csv --clear -o fit >/dev/null
    paste -d, out/etas.csv fit/etas.csv | tail -n +2 | awk -F, '
        { a = $2 - $5; b = $3 - $6; exit !(a > -0.02 && a < 0.02 && b > -0.02 && b < 0.02) }' ||
        fail "the twin's and the fit's etas differ: $(paste -d, out/etas.csv fit/etas.csv)"
    [ "$(wc -l <out/forecast.csv)" -eq 3 ] || fail "forecast.csv does not hold two times"
}

# ------------------------------------------------------------------ what works

# rows FILE: ID and TIME of the observation records of a table.
rows() { awk -F, 'NR > 1 && ($4 == 0 || $4 == 2) { print $1 "," $2 }' "$1"; }

case_steps_give_the_profile() {
    ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o out
    head -n 1 out/profile.csv | grep -qx 'ID,TIME,cp' || fail "columns: $(head -n 1 out/profile.csv)"
    tail -n +2 out/profile.csv | cut -d, -f1,2 >got
    rows "$WORK/table.csv" >wanted
    cmp got wanted || fail "rows are not the observation records at exactly their times"
    [ -s out/summary.json ] || fail "the summary is missing"
    [ -s out/report.html ] || fail "the report is missing"
    # Again into the same folder: earlier results of ours are replaced.
    ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o out
    [ "$(find . -name '.ddtwin-*')" = "" ] || fail "a staging folder was left"
}
# An encrypted simulation agrees with dose / v exp(-ke t), evaluated here.
case_profile_is_right() {
    ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o out
    awk -F, '
        FNR == NR { if (FNR > 1 && $4 == 1) { dose[$1] = $3; ke[$1] = exp(-1 + $6) } next }
        FNR > 1 {
            c = dose[$1] / exp(2) * exp(-ke[$1] * $2)
            d = $3 - c; if (d < 0) d = -d
            if (c > top) top = c
            if (d > worst) worst = d
            n++
        }
        END { printf "%d rows, largest error %.2e of %.2f\n", n, worst, top; exit !(n == 5 && top > 5 && worst <= 1e-3 * top) }
    ' "$WORK/table.csv" out/profile.csv || fail "the encrypted profile is wrong"
}
case_same_result_twice() {
    engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin "$WORK/twin.ddt" --threads 1 -o result.ddt
    cmp result.ddt "$WORK/result.ddt" || fail "two runs of one twin differ"
}
case_public_key_is_enough_to_encrypt() {
    mkdir sender
    cp "$WORK/keys/plan.ddt" "$WORK/keys/public.ddt" sender
    ddtwin encrypt --plan "$WORK/plan.ddt" --keys sender --data "$WORK/table.csv" -o twin.ddt
    engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin twin.ddt -o result.ddt
    ddtwin decrypt --keys "$WORK/keys" --result result.ddt -o out
    ddtwin decrypt --keys "$WORK/keys" --result "$WORK/result.ddt" -o wanted
    paste -d, out/profile.csv wanted/profile.csv |
        awk -F, 'NR > 1 { d = $3 - $6; if (d < -1e-2 || d > 1e-2) exit 1 }' || fail "public-key encryption gives another profile"
}
# Identifiers go sealed with the twin and come back with the result; nobody on the way can read them.
case_identifiers_stay_secret() {
    sed 's/^1,/Jane Doe,/; s/^2,/K-77,/' "$WORK/table.csv" >named.csv
    ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data named.csv -o twin.ddt
    engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin twin.ddt -o result.ddt
    ddtwin decrypt --keys "$WORK/keys" --result result.ddt -o out
    tail -n +2 out/profile.csv | cut -d, -f1,2 >got
    rows named.csv | cmp - got || fail "the subjects' names did not come back"
    ddtwin compile "$model" --data-template named.csv -o plan.ddt
    for file in plan.ddt twin.ddt result.ddt; do
        if grep -Eq 'Jane|K-77' $file; then
            fail "$file names a subject"
        fi
    done
}
# hidden FILE...: none of the words of $secrets stands in a file, neither as text nor as the bytes of a number.
hidden() {
    for file in "$@"; do
        # shellcheck disable=SC2086 # words
        if "$BIN/cli_find_values" "$file" $secrets; then
            fail "$file gives away what it should hide"
        fi
    done
}
# What goes to the engine, byte by byte: nothing of the patients' identifiers, doses, covariates or levels.
case_files_for_the_engine_hide_the_patients() {
    secrets="Jane-Doe K-77 87.531 43.219 0.13579 -0.24681"
    awk -F, -v OFS=, '
        $1 == 1 { $1 = "Jane-Doe"; $6 = 0.13579; $3 = $3 == "." ? "." : 87.531 }
        $1 == 2 { $1 = "K-77"; $6 = -0.24681; $3 = $3 == "." ? "." : 43.219 }
        { print }' "$WORK/table.csv" >patients.csv
    # The words are found where they are, as text and as numbers.
    "$BIN/cli_find_values" patients.csv 87.531 >/dev/null || fail "a number is not found as text"
    "$BIN/cli_find_values" "$WORK/plan.ddt" 1234.5678 >/dev/null && fail "what is not there is found"
    for word in Jane-Doe K-77 87.531 43.219 0.13579 -0.24681; do
        grep -q -e "$word" patients.csv || fail "the table does not hold $word: $(cat patients.csv)"
    done
    ddtwin encrypt --plan "$WORK/plan.ddt" --keys "$WORK/keys" --data patients.csv -o twin.ddt >/dev/null
    engine run --plan "$WORK/plan.ddt" --eval-keys "$WORK/keys/eval.ddt" --twin twin.ddt -o result.ddt >/dev/null
    hidden "$WORK/plan.ddt" "$WORK/keys/eval.ddt" "$WORK/keys/public.ddt" twin.ddt result.ddt
    ddtwin decrypt --keys "$WORK/keys" --result result.ddt -o out >/dev/null
    grep -q Jane-Doe out/profile.csv || fail "nothing came back"
}
case_simulate() {
    ddtwin simulate "$model" --data "$WORK/table.csv" -o deep/out --plot figure.svg --terminal-plot >text
    grep -q 'verdict      within' text || fail "the bar was missed: $(cat text)"
    rows "$WORK/table.csv" >wanted
    tail -n +2 deep/out/profile.csv | cut -d, -f1,2 | cmp - wanted || fail "rows of simulate"
    for field in subjects times outputs ring_degree log2_qp security_bits depth bootstraps engine_seconds eval_key_bytes twin_bytes \
        result_bytes max_error surrogate discretisation ckks total engine_peak_rss_bytes plan_digest; do
        grep -q "\"$field\"" deep/out/summary.json || fail "$field is not in summary.json"
    done
    if grep -Eqi 'https?:|<script|<link|@import|url\(' deep/out/report.html; then
        fail "the report refers to something outside"
    fi
    [ "$(grep -c '<svg class="panel"' deep/out/report.html)" -eq 2 ] || fail "the report does not draw both subjects"
    [ "$(find . -name '.ddtwin-*')" = "" ] || fail "the private folder was left"
}
# Bands of virtual patients: exact percentiles of the decrypted ensemble.
case_population() {
    refused 2 "2 to" ddtwin simulate "$model" --data "$WORK/table.csv" --population 1 -o out
    refused 2 "belong to --population" ddtwin simulate "$model" --data "$WORK/table.csv" --moments -o out
    refused 2 "only --population" ddtwin simulate "$model" -o out
    mkdir private
    TMPDIR=$HERE/private ddtwin simulate "$model" --data "$WORK/table.csv" --population 21 -o out >/dev/null
    [ "$(head -n 1 out/bands.csv)" = ID,TIME,cp.p05,cp.p50,cp.p95,METHOD ] || fail "bands.csv begins with $(head -n 1 out/bands.csv)"
    grep -q '<polygon' out/report.html || fail "the report draws no band"
    # The median of 21 is the 11th, the 5th percentile the 2nd.
    time=$(sed -n 3p out/bands.csv | cut -d, -f2)
    awk -F, -v t="$time" 'NR > 1 && $2 == t { print $3 }' out/profile.csv | sort -g >sorted
    [ "$(wc -l <sorted)" -eq 21 ] || fail "$(wc -l <sorted) patients at $time"
    [ "$(sed -n 2p sorted),$(sed -n 11p sorted),$(sed -n 20p sorted),percentiles" = "$(sed -n 3p out/bands.csv | cut -d, -f3-)" ] ||
        fail "the bands at $time are not the percentiles"
    [ "$(ls private)" = "" ] || fail "the table of the population was left"
}
# Bands from encrypted moments, step by step: the result holds no virtual patient, the bands are those of simulate.
case_moments() {
    refused 2 "belong to --for bands" ddtwin compile "$model" --data-template "$WORK/table.csv" --population 64 -o plan.ddt
    refused 1 "16 to 4096" ddtwin compile "$model" --data-template "$WORK/table.csv" --for bands --population 5000 -o plan.ddt
    ddtwin compile "$model" --data-template "$WORK/table.csv" --for bands --population 64 -o plan.ddt
    ddtwin keygen --plan plan.ddt -o keys
    ddtwin encrypt --plan plan.ddt --keys keys --data "$WORK/table.csv" -o twin.ddt
    engine run --plan plan.ddt --eval-keys keys/eval.ddt --twin twin.ddt -o result.ddt
    ddtwin decrypt --keys keys --result result.ddt -o out
    [ ! -e out/profile.csv ] || fail "profiles came out of a plan for bands"
    rows "$WORK/table.csv" >wanted
    tail -n +2 out/bands.csv | cut -d, -f1,2 | cmp - wanted || fail "rows of the bands"
    [ "$(tail -n +2 out/bands.csv | cut -d, -f6 | sort -u)" = moments ] || fail "the method of the bands"
    awk -F, 'NR > 1 && !($3 <= $4 && $4 <= $5) { exit 1 }' out/bands.csv || fail "percentiles in disorder"
    TMPDIR=$HERE ddtwin simulate "$model" --population 32 --moments -o typical >text
    grep -q 'verdict      within' text || fail "the bar was missed: $(cat text)"
    [ "$(grep -c '<polygon' typical/report.html)" -eq 1 ] || fail "the report draws no band of the typical patient"
    [ "$(find . -name 'ddtwin-virtual-trial*')" = "" ] || fail "the typical patient's table was left"
}
# Twelve patients, as the demo runs them.
case_theophylline() {
    ddtwin simulate "$SOURCE/models/theophylline.R" --data "$SOURCE/data/theophylline_events.csv" -o out >text
    grep -q 'verdict      within' text || fail "the bar was missed: $(cat text)"
    [ "$(wc -l <out/profile.csv)" -eq 133 ] || fail "profile.csv has not 132 rows"
    awk -F, '
        FNR == NR { if (FNR > 1 && $4 == 1) { dose[$1] = $3; ke[$1] = exp(-2.4546 + $8); ka[$1] = exp(0.4655 + $9); cl[$1] = exp(-3.2272 + $10) } next }
        FNR > 1 {
            v = cl[$1] / ke[$1]
            c = dose[$1] * ka[$1] / v / (ka[$1] - ke[$1]) * (exp(-ke[$1] * $2) - exp(-ka[$1] * $2))
            d = $3 - c; if (d < 0) d = -d
            if (c > top) top = c
            if (d > worst) worst = d
        }
        END { printf "largest error %.2e of %.2f\n", worst, top; exit !(top > 9 && worst <= 1e-3 * top) }
    ' "$SOURCE/data/theophylline_events.csv" out/profile.csv || fail "the encrypted profile is wrong"
}
case_simulate_json_and_grid() {
    ddtwin simulate "$model" --data "$WORK/table.csv" -o out --grid 0.25 --output cp,central --json >summary.json
    cmp summary.json out/summary.json || fail "--json prints something else than summary.json"
    head -n 1 out/profile.csv | grep -qx 'ID,TIME,cp,central' || fail "columns: $(head -n 1 out/profile.csv)"
    for time in 0.25 0.75 2 3; do
        grep -q "^1,$time," out/profile.csv || fail "--grid 0.25 gave no row at $time"
    done
    [ "$(grep -c '^1,0,' out/profile.csv)" -eq 1 ] || fail "--grid doubled an observation"
}
case_check() {
    ddtwin check "$model" >text
    grep -q '^verdict' text || fail "no verdict without data"
    ddtwin check "$model" --data "$WORK/table.csv" >text
    for word in method encrypted population circuit security sizes engine error verdict; do
        grep -q "^$word" text || fail "check does not print '$word'"
    done
    ddtwin check "$model" --data "$WORK/table.csv" --json >json
    grep -q '"measured": false' json || fail "check says it has measured"
    # Four standard deviations of a linear model, three of one that is not: there some draws lie on the border.
    grep -q '"population_outside": 0.0,' json || fail "check does not tell who is outside"
    {
        echo 'mm <- function() { ini({'
        printf '%s\n' 'lvm <- log(5)' 'eta.vm ~ 0.04' 'eta.km ~ 0.04' '})' 'model({'
        printf '%s\n' 'd/dt(a) <- -exp(lvm + eta.vm) * a / (40 * exp(eta.km) + a)' 'C <- a' 'C ~ prop(0.1)' '}) }'
    } >mm.R
    printf '%s\n' ID,TIME,AMT,EVID,eta.vm,eta.km 1,0,100,1,0.1,0 1,6,.,0,0.1,0 >mm.csv
    ddtwin check mm.R --data mm.csv >text
    grep -q '^population  *0\.[1-9][0-9]* % of 4000 virtual patients lie outside' text || fail "nobody is outside: $(grep population text)"
}
case_info() {
    for file in plan.ddt twin.ddt result.ddt keys/eval.ddt keys/public.ddt keys/secret.ddt; do
        ddtwin info "$WORK/$file" | grep -q digest || fail "info says nothing about $file"
        ddtwin info "$WORK/$file" --json | grep -q '"kind"'
    done
    engine info "$WORK/plan.ddt" --json | grep -q '"security_bits": 128' || fail "the plan is not a secure one"
    digest=$(ddtwin info "$WORK/plan.ddt" --json | sed 's/.*"digest": "\([0-9a-f]*\)".*/\1/')
    ddtwin info "$WORK/twin.ddt" --json | grep -q "\"plan_digest\": \"$digest\"" || fail "the twin does not name its plan"
}
case_models() {
    ddtwin models "$SOURCE/models" | grep -q theophylline
    ddtwin models "$SOURCE/models" --json | grep -q '"reference"'
    ddtwin models "$SOURCE/models/wbpbpk_jones2013.R" >text
    grep -q 'edge  *liver -> (out)' text
    grep -q 'covariate  *WT kg, 50 to 100' text
    ddtwin models "$SOURCE/models/vancomycin_thomson2009.R" --json -o trial.csv >json
    grep -q '"measure": "auc24"' json
    grep -q '"nodes": \["central", "peripheral"\]' json
    [ "$(wc -l <trial.csv)" -eq 393 ]
    refused 2 '-o' ddtwin models "$SOURCE/models" -o trial.csv
}

enter
"case_$CASE"
