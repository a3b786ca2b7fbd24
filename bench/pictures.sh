#!/usr/bin/env bash
# What `lcsl data prepare folder` makes of the pictures in Pillow's own tests, which PyPI has, and what decoding costs.
#   bench/pictures.sh [FOLDER]        default: a folder that is removed at the end
# Needs `make build`.
set -euo pipefail
cd "$(dirname "$0")/.."
lcsl=${CARGO_TARGET_DIR:-target}/release/lcsl
[ -x "$lcsl" ] || { echo "$lcsl is not built: run \`make build\`" >&2; exit 2; }
if [ $# -gt 0 ]; then folder=$1; else folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; fi
mkdir -p "$folder"
python=$folder/venv/bin/python

if [ ! -x "$python" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q pillow numpy
fi
if [ ! -d "$folder/root" ]; then
    "$folder/venv/bin/pip" download -q --no-deps --no-binary :all: -d "$folder" pillow
    tar -xzf "$folder"/pillow-*.tar.gz -C "$folder"
    mkdir -p "$folder/root/odd" "$folder/root/even"
    number=0
    while IFS= read -r path; do
        number=$((number + 1))
        class=$([ $((number % 2)) = 1 ] && echo odd || echo even)
        name=${path##*/Tests/images/}
        cp "$path" "$folder/root/$class/${name//\//_}"
    done < <(find "$folder"/pillow-*/Tests/images -type f -regextype posix-extended \
        -iregex '.*\.(jpe?g|png|gif|webp|bmp|tiff?|ppm|pgm)' | sort)
fi
rm -rf "$folder/out"
"$lcsl" data prepare folder --root "$folder/root" --out "$folder/out" --on_unreadable leave_out >/dev/null 2>&1
"$python" bench/pictures.py "$folder/root" "$folder/out" 2>/dev/null

# The time that decoding every JPEG once adds, in turns, for 2,000 files of 500 x 375.
[ -d "$folder/jpegs" ] || "$python" bench/make_images.py "$folder/jpegs" >/dev/null
images=$(find "$folder/jpegs" -name '*.jpg' | wc -l)
for turn in 1 2 3; do
    for flag in '' --no_decode; do
        rm -rf "$folder/out"
        began=$(date +%s.%N)
        "$lcsl" data prepare folder --root "$folder/jpegs" --out "$folder/out" $flag >/dev/null 2>&1
        awk "BEGIN { printf \"turn $turn %-12s %6.1f s for 100,000 images\\n\", \"$flag\", ($(date +%s.%N) - $began) * 100000 / $images }"
    done
done
