#!/usr/bin/env bash
# How fast images load, beside other loaders on the same files, taking turns, with as many threads.
#   bench/loader.sh FOLDER [TURNS]        default: 5 turns. FOLDER is made once and kept.
# Needs `make build`, and in PEERS (default FOLDER/venv, which is made) torch, torchvision, DALI and FFCV.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?a folder for images and shards} turns=${2:-5} threads=${THREADS:-2}
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl peers=${PEERS:-$folder/venv}
[ -x "$lcsl" ] || { echo "$lcsl is not built: run \`make build\`" >&2; exit 2; }
mkdir -p "$folder"

if [ ! -x "$peers/bin/python" ]; then
    # FFCV compiles against OpenCV and libjpeg-turbo of Debian.
    for package in libopencv-dev libturbojpeg0-dev pkg-config; do
        dpkg -s "$package" >/dev/null 2>&1 || { echo "apt install $package, which FFCV needs" >&2; exit 2; }
    done
    python3 -m venv "$peers"
    "$peers/bin/pip" install -q torch==2.11.0 torchvision==0.26.0 pillow wheel 'setuptools<81' numba opencv-python-headless \
        terminaltables pytorch_pfn_extras fastargs tqdm psutil assertpy matplotlib 'numpy<2.4'
    "$peers/bin/pip" install -q --no-build-isolation --no-deps ffcv
    "$peers/bin/pip" install -q nvidia-dali-cuda120
fi
python=$peers/bin/python

[ -d "$folder/images" ] || "$python" bench/make_images.py "$folder/images"
if [ ! -d "$folder/source" ]; then # one image of each class again as the test part: a dataset has to have one
    mkdir -p "$folder/source/val"
    cp -rl "$folder/images" "$folder/source/train"
    for class in "$folder"/images/*; do
        mkdir "$folder/source/val/${class##*/}"
        cp -l "$(find "$class" -name '*.jpg' | sort | head -1)" "$folder/source/val/${class##*/}/"
    done
fi
for form in jpeg raw; do
    [ -e "$folder/$form/manifest.json" ] ||
        "$lcsl" data prepare folder --root "$folder/source" --out "$folder/$form" --form "$form" 2>/dev/null
done
if [ ! -d "$folder/arrays" ]; then # 50,000 drawn images of the size of CIFAR's
    "$python" bench/make_arrays.py "$folder/cifar"
    "$lcsl" data prepare cifar10 --root "$folder/cifar" --out "$folder/arrays" >/dev/null 2>&1
fi

one() { # NAME COMMAND...: one line with a name and what the command answers
    local name=$1
    shift
    echo "{\"name\": \"$name\", \"answer\": $("$@" 2>/dev/null)}"
}
peer() { one "$1" "$python" bench/loader_peers.py "$1" "$2" --threads "$3" --cache "$folder"; }
for turn in $(seq "$turns"); do
    one lcsl "$lcsl" data bench "$folder/jpeg" --threads "$threads" --json
    peer ffcv "$folder/images" "$threads"
    peer dali "$folder/images" "$threads"
    peer torchvision "$folder/images" "$threads"
    one lcsl-raw "$lcsl" data bench "$folder/raw" --threads "$threads" --json
    peer ffcv-raw "$folder/images" "$threads"
    one lcsl-arrays "$lcsl" data bench "$folder/arrays" --epochs 20 --json
    peer ffcv-cifar "$folder/arrays/train" 1
done | "$python" -c "
import json, statistics, sys
found = {}
for line in sys.stdin:
    turn = json.loads(line)
    found.setdefault(turn['name'], []).append(turn['answer']['images_per_second'])
middle = {name: statistics.median(rates) for name, rates in found.items()}
for name, rates in found.items():
    print(f'{name:12} {middle[name]:9.0f} images/s  ' + ' '.join(f'{rate:.0f}' for rate in rates))
for ours, theirs in [('lcsl', 'ffcv'), ('lcsl', 'dali'), ('lcsl', 'torchvision'), ('lcsl-raw', 'ffcv-raw'), ('lcsl-arrays', 'ffcv-cifar')]:
    print(f'{ours} is {middle[ours] / middle[theirs]:.2f} times as fast as {theirs}')
"
