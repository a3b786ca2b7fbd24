#!/usr/bin/env bash
# Lets every kind of fault happen on two hosts over ssh and under Slurm, so many times each, by running the tests on a cluster again
# and again. Lines are added to FILE, so that a long count can be made in several calls. Needs root and `scripts/setup.sh cluster`.
#   bench/cluster_faults.sh COUNT [FILE]       default: runs/cluster_faults.txt
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:?how many of each} file=$(realpath -m "${2:-runs/cluster_faults.txt}")
mkdir -p "$(dirname "$file")"
touch "$file"
kinds=(a_rank_that_is_killed a_rank_that_is_stopped_is a_rank_that_is_stopped_while a_host_whose_cable a_host_that_loses_power
    a_daemon_of_mpi_that_is_killed a_daemon_of_mpi_that_is_asked a_launcher_that_is_killed a_launcher_that_is_asked a_disk_that_fails
    a_job_whose_time a_job_that_is_cancelled a_job_that_is_preempted a_job_whose_node)

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
echo "seconds from the fault until lcsl has said what happened, and until it has ended (count; median, longest of each):"
for name in $(awk '$1 == "took" && $2 !~ /^(launcher|whole)/ { print $2 }' "$file" | sort -u); do
    for column in 4 3; do
        awk -v name="$name" -v column="$column" '$1 == "took" && $2 == name && NF > 3 { print $column }' "$file" | sort -n |
            awk '{ all[NR] = $1 } END { if (NR) printf "%d %.1f %.1f ", NR, all[int((NR + 1) / 2)], all[NR] }'
    done | awk -v name="$name" 'NF { printf "%-10s %3d  %5.1f %5.1f  %5.1f %5.1f\n", name, $1, $2, $3, $5, $6 }'
done
