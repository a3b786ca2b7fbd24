#!/usr/bin/env bash
# Who was killed, how the run ended, after how many seconds, and how many processes it left: a table of real runs of two
# ranks. Run it at the root of the project after `make build`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

seconds() { date +%s.%N; }

# kill_one SIGNAL WHOM, where WHOM is rank-N, launcher or mpirun
kill_one() {
    local signal=$1 whom=$2 run=$place/$1-$2 pid code=0 began ended left=0 pids launcher
    "$lcsl" train --config demo --run_dir="$run" >"$place/out" 2>"$place/err" &
    launcher=$!
    until grep -q '"event":"step"' "$run/metrics.jsonl" 2>/dev/null; do sleep 0.1; done
    sleep 0.5
    pids=$(sed 's/[{}]/\n/g' "$run/ranks.json" | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*')
    case $whom in
        rank-*) pid=$(sed -n "$((${whom#rank-} + 1))p" <<<"$pids") ;;
        launcher) pid=$launcher ;;
        mpirun) pid=$(pgrep -P "$launcher" mpirun) ;;
    esac
    began=$(seconds)
    kill "-$signal" "$pid"
    wait "$launcher" || code=$?
    # A launcher that was killed says nothing; its ranks notice by themselves.
    for _ in $(seq 100); do
        left=0
        for pid in $pids; do [ ! -e "/proc/$pid" ] || left=$((left + 1)); done
        [ "$left" -gt 0 ] || break
        sleep 0.1
    done
    ended=$(seconds)
    printf '| %-9s | %-7s | %4s | %7.1f | %4s | %s |\n' "$whom" "$signal" "$code" "$(awk "BEGIN { print $ended - $began }")" "$left" \
        "$(grep -m 1 -E '^(error|note):' "$place/err" | sed 's/ on host [^ ]*//' || true)"
}

printf '| killed    | signal  | exit | seconds | left | the sentence |\n|---|---|---|---|---|---|\n'
kill_one KILL rank-1
kill_one KILL rank-0
kill_one ABRT rank-1
kill_one SEGV rank-0
kill_one TERM rank-1
kill_one KILL mpirun
kill_one KILL launcher
kill_one TERM launcher
kill_one INT launcher
