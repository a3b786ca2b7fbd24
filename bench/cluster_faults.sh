#!/usr/bin/env bash
# Lets every kind of fault happen on two hosts over ssh and under Slurm, so many times each, by running the tests on a cluster again
# and again. Lines are added to FILE, so that a long count can be made in several calls. Needs root and `scripts/setup.sh cluster`.
#   bench/cluster_faults.sh COUNT [FILE]       default: runs/cluster_faults.txt
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many of each} file=$(realpath -m "${2:-runs/cluster_faults.txt}")
mkdir -p "$(dirname "$file")"
touch "$file"
kinds=(a_rank_that_is_killed a_rank_that_is_stopped a_host_whose_cable a_host_that_loses_power a_daemon_of_mpi_that_is_killed
    a_daemon_of_mpi_that_is_asked a_launcher_that_is_killed a_launcher_that_is_asked a_disk_that_fails a_job_whose_time
    a_job_that_is_cancelled a_job_that_is_preempted a_job_whose_node)

program=$(cargo test --release -p lcsl-trainer --test cluster --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*\/cluster-[^"]*\)".*/\1/p' | tail -n 1)
for ((turn = 0; turn < count; turn++)); do
    for kind in "${kinds[@]}"; do
        # A test fails where a culprit is not named, where it takes too long, and where anything is left behind.
        if (cd trainer && CARGO_MANIFEST_DIR=$PWD LCSL_CLUSTER=1 LCSL_FAULTS=$file "$program" "$kind") >"$file.last" 2>&1; then
            echo "kind $kind right" >>"$file"
        else
            echo "kind $kind WRONG" >>"$file"
            cat "$file.last" >>"$file.wrong"
        fi
    done
done
rm -f "$file.last"

awk '$1 == "kind" { count[$2]++; wrong[$2] += $3 != "right" }
    END { for (kind in count) printf "%-36s %3d times, %d wrong\n", kind, count[kind], wrong[kind] }' "$file" | sort
echo "from the fault to the end of lcsl, seconds (count, median, longest):"
for name in $(awk '$1 == "took" && $2 !~ /^(launcher|whole)/ { print $2 }' "$file" | sort -u); do
    awk -v name="$name" '$1 == "took" && $2 == name { print $3 }' "$file" | sort -n |
        awk -v name="$name" '{ all[NR] = $1 } END { printf "%-10s %3d %6.1f %6.1f\n", name, NR, all[int((NR + 1) / 2)], all[NR] }'
done
