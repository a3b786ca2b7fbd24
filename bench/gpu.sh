#!/usr/bin/env bash
# Everything that one card can show, in one call of under nine minutes, on a machine that has .gpu (bench/gpu_bundle.sh), Python with
# torch 2.11.0 for CUDA, and nothing else of ours. Each step has a limit of time; a step that fails does not end the others. Called again
# with the same folder, it makes only the steps that were not done.
#   bench/gpu.sh OUT               log.txt, figures.jsonl, table.txt; GPU_SECONDS (520) is how long all of it may take
#   bench/gpu.sh --dry_run         what would be run
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
dry=no
[ "${1-}" != --dry_run ] || { dry=yes; shift; }
out=$(realpath -m "${1:-${OUT:-runs/gpu}}")
gpu=$PWD/.gpu
most=${GPU_SECONDS:-520}
runs=$out/runs
export gpu runs

if [ "$dry" = no ]; then
    [ -e "$gpu/programs.tar.xz" ] || { echo "gpu: .gpu is not there: bench/gpu_bundle.sh makes it" >&2; exit 2; }
    [ -x "$gpu/bin/lcsl-rank" ] || python3 -m tarfile -e "$gpu/programs.tar.xz" "$gpu"
    LIBTORCH=$(python3 -c 'import torch; print(torch.__path__[0])') || { echo "gpu: python3 has no torch" >&2; exit 2; }
    export LIBTORCH
    mkdir -p "$runs"
    # Tests name their files by where they were built.
    built=$(cat "$gpu/root")
    [ -e "$built" ] || { mkdir -p "$(dirname "$built")" && ln -s "$PWD" "$built"; }
    export PATH=$gpu/bin:$PATH LD_LIBRARY_PATH=$LIBTORCH/lib:$gpu/lib:${LD_LIBRARY_PATH-}
    export OPAL_PREFIX=$gpu OPAL_LIBDIR=$gpu/lib OPAL_PKGLIBDIR=$gpu/lib/openmpi OPAL_PKGDATADIR=$gpu/share/openmpi OPAL_BINDIR=$gpu/bin
    export PMIX_MCA_mca_base_component_path=$gpu/lib/pmix PMIX_MCA_pmix_mca_base_component_path=$gpu/lib/pmix
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export LCSL_TEST_DEVICE=${LCSL_TEST_DEVICE-cuda:0} LCSL_GOLDEN_DIR=$PWD/trainer/tests/golden
    touch "$out/done.txt"
fi

# step NAME SECONDS COMMAND…: once, under a limit, into the log.
step() {
    local name=$1 seconds=$2 code began=$SECONDS
    shift 2
    if [ "$dry" = yes ]; then
        printf '%-16s at most %3s s   %s\n' "$name" "$seconds" "$*"
        return
    fi
    grep -q "^$name " "$out/done.txt" && return
    [ $((most - SECONDS)) -gt 5 ] || { echo "gpu: no time is left for $name: call again" >&2; return; }
    seconds=$((seconds < most - SECONDS ? seconds : most - SECONDS))
    printf '\n=== %s: %s\n' "$name" "$*" >>"$out/log.txt"
    timeout -k 5 "$seconds" "$@" >>"$out/log.txt" 2>&1
    code=$?
    printf '%s code %s, %s s\n' "$name" "$code" $((SECONDS - began)) | tee -a "$out/log.txt" >>"$out/done.txt"
}

train() {
    lcsl train --dataset=synthetic --set=data.synthetic_classes=5 --set=data.synthetic_largest=200 --imb_factor=0.2 --image_size=16 \
        --model=resnet20 --batch_size=16 --warmup_epochs=0 --lambda_init=0.3 --epochs=3 --resume=auto --run_dir="$runs/$1" "${@:2}"
}
what_is_there() {
    nvidia-smi
    python3 -c 'import torch; print("torch", torch.__version__, torch.cuda.get_device_name(0), "NCCL", torch.cuda.nccl.version())'
    lcsl --version
    ! ldd "$gpu/bin/lcsl-rank" "$gpu/bin/orted" | grep 'not found'
}
tiny() { train tiny --gpu=0 --max_steps=3; }
# Two runs on the card and one beside them on the CPU: what is the same, and how far the others are apart.
smoke() {
    train one --gpu=0 && train two --gpu=0 && train cpu --gpu=cpu && python3 - "$runs" <<'PYTHON'
import json, sys
one, two, cpu = (json.load(open(f"{sys.argv[1]}/{name}/result.json")) for name in ("one", "two", "cpu"))
for key in ("weights_digest", "admission_digest"):
    print(key, "same" if one[key] == two[key] else "different", "in two runs on the card")
print("accuracy", one["accuracy"]["all"], two["accuracy"]["all"], "beside", cpu["accuracy"]["all"], "on the CPU")
PYTHON
}
# Batches from shards lie in locked memory; where locking is refused, the log of the rank says so.
shards() {
    lcsl train --config imagenet_lt --model resnet20 --image_size 32 --batch_size 32 --epochs 2 --warmup_epochs 0 --gpu 0 \
        --set "data.root=\"$gpu/datasets\"" --resume=auto --run_dir "$runs/shards"
    local code=$?
    cat "$runs/shards/logs/rank-0.log"
    return "$code"
}
# A batch that no card holds: the exit code is 6, and the message names memory.
out_of_memory() {
    train memory --gpu=0 --image_size=224 --model=resnet50 --set=data.synthetic_largest=60000 --imb_factor=1 --batch_size=100000 \
        --max_steps=2
    local code=$?
    echo "code $code"
    [ "$code" = 6 ]
}
# A rank that is stopped is named after 12 s.
stopped() {
    train stopped --gpu=0 --epochs=4000 &
    local launcher=$! code
    until grep -q '"event":"step"' "$runs/stopped/metrics.jsonl" 2>/dev/null; do sleep 0.2; done
    pkill -STOP -f "lcsl-rank train $runs/stopped"
    wait "$launcher"
    code=$?
    echo "code $code"
    [ "$code" = 4 ]
}
kernels() {
    command -v nsys >/dev/null || { echo "nsys is not there"; return 0; }
    nsys profile -o "$runs/kernels" --force-overwrite true lcsl bench step --gpu=0 --steps=10 &&
        nsys stats --report cuda_gpu_kern_sum --format csv "$runs/kernels.nsys-rep" | head -40
}
sanitizer() {
    command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not there"; return 0; }
    train sanitizer --gpu=cpu --max_steps=1 && # the configuration, for the rank alone
        sed -i 's/^gpu = .*/gpu = "0"/' "$runs/sanitizer/config.toml" && rm -rf "$runs/sanitizer/checkpoints" &&
        compute-sanitizer --error-exitcode 9 lcsl-rank train "$runs/sanitizer"
}
export -f train what_is_there tiny smoke shards out_of_memory stopped kernels sanitizer

step what_is_there 30 bash -c what_is_there
step tiny 40 bash -c tiny
step golden_float64 60 golden_step float64
step golden_float32 60 env NVIDIA_TF32_OVERRIDE=0 golden_step float32
step golden_tf32 60 env NVIDIA_TF32_OVERRIDE=1 golden_step float32
step networks 40 engine networks
step precision 40 engine precision
step nccl 30 nccl
step allreduce 20 lcsl bench allreduce --gpu=0 --nproc=1 --mib=25
step smoke 60 bash -c smoke
step shards 30 bash -c shards
step steps 150 python3 bench/gpu_step.py --out "$out/figures.jsonl"
step stopped 40 bash -c stopped
step out_of_memory 40 bash -c out_of_memory
step kernels 40 bash -c kernels
step sanitizer 60 bash -c sanitizer

[ "$dry" = no ] || exit 0
{
    cat "$out/done.txt"
    [ ! -e "$out/figures.jsonl" ] || python3 bench/gpu_step.py --table "$out/figures.jsonl"
} | tee "$out/table.txt"
rm -rf "$runs"
