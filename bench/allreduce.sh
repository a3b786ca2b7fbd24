#!/usr/bin/env bash
# A sum over two ranks: ours, a bare MPI_Allreduce in place, and PyTorch's Gloo, taking turns.
#   bench/allreduce.sh [MIB...]        default: 25 100. Needs `make build` and `make pytorch`.
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${TURNS:-5} repeats=${REPEATS:-20} nproc=2
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl python=.deps/venv/bin/python
[ -x "$lcsl" ] || { echo "$lcsl is not built: run \`make build\`" >&2; exit 2; }
[ -e .deps/venv/.pytorch-done ] || { echo "PyTorch is not there: run \`make pytorch\`" >&2; exit 2; }

[ $# -gt 0 ] || set -- 25 100
for mib; do
    for turn in $(seq "$turns"); do
        "$lcsl" bench allreduce --nproc "$nproc" --mib "$mib" --repeats "$repeats" --json
        echo "{\"gloo\": $("$python" bench/gloo_allreduce.py "$nproc" "$mib" "$repeats")}"
    done | "$python" -c "
import json, statistics, sys
turns = [json.loads(line) for line in sys.stdin]
names = {'seconds': 'lcsl', 'bare_seconds': 'bare MPI', 'gloo': 'Gloo'}
found = {name: [turn[key] * 1e3 for turn in turns if key in turn] for key, name in names.items()}
middle = {name: statistics.median(times) for name, times in found.items()}
for name, times in found.items():
    print(f'$mib MiB  {name:8}  {middle[name]:7.2f} ms  ' + ' '.join(f'{time:.2f}' for time in times))
ratios = statistics.median(turn['ratio'] for turn in turns if 'ratio' in turn)
print(f'$mib MiB  speed of lcsl: {ratios:.3f} of bare MPI, {middle[\"Gloo\"] / middle[\"lcsl\"]:.2f} of Gloo')
"
done
