#!/usr/bin/env bash
# Puts everything that bench/gpu.sh needs on a machine with a card into .gpu: programs, tests, Open MPI with its plugins, and small shards.
# That machine needs Python 3.10 to 3.14 with torch 2.11.0, and neither Rust nor Open MPI. Needs `make build`.
#   bench/gpu_bundle.sh
set -euo pipefail
cd "$(dirname "$0")/.."
readonly out=.gpu limit_mib=40
built=${CARGO_TARGET_DIR:-target}/release
[ -x "$built/lcsl-rank" ] || { echo "gpu_bundle: $built/lcsl-rank is not built: run \`make build\`" >&2; exit 2; }
rm -rf "$out"
mkdir -p "$out/bin" "$out/lib/openmpi" "$out/lib/pmix" "$out/share"

tests() {
    cargo test --release -p lcsl-trainer -p lcsl-backends --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\/\(golden_step\|engine\|nccl\)-[^"/]*\)".*/\1 \2/p'
}
for program in lcsl lcsl-rank; do strip -s -o "$out/bin/$program" "$built/$program"; done
tests | while read -r path name; do strip -s -o "$out/bin/$name" "$path"; done
for program in golden_step engine nccl; do
    [ -x "$out/bin/$program" ] || { echo "gpu_bundle: cargo built no test program $program" >&2; exit 1; }
done

# Open MPI: its starter and daemon under their plain names, its plugins, and those of PMIx.
for program in orterun orted; do cp "$(readlink -f "$(command -v "$program")")" "$out/bin/$program"; done
ln -s orterun "$out/bin/mpirun"
value() { ompi_info --parsable --path "$1" | sed -n "s/^path:$1://p"; }
cp "$(value pkglibdir)"/*.so "$out/lib/openmpi/"
# One machine needs no fabric.
rm -f "$out"/lib/openmpi/*{ofi,ucx,psm,verbs,oshmem,openib,portals,monitoring,usnic,memheap,spml,scoll,sshmem,atomic}*.so
cp -r "$(value pkgdatadir)" "$out/share/openmpi"
find /usr/lib -path '*pmix*' -name 'pmix_mca_*.so' -exec cp {} "$out/lib/pmix/" \;

# Libraries that a bare machine lacks: not the C library's own, not the compiler's, and not libtorch's.
find "$out/bin" "$out/lib" -type f -print0 | LD_LIBRARY_PATH=$PWD/.deps/libtorch/lib xargs -0 ldd 2>/dev/null |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libgcc_s|libstdc\+\+|libtorch[a-z_]*|libc10[a-z_]*|libgomp[^/]*)[.-]' |
    grep -v "^$PWD/.deps" | while read -r library; do cp -L "$library" "$out/lib/"; done
find "$out/bin" "$out/lib" -type f -exec strip --strip-unneeded {} + 2>/dev/null || true

# A set of shards, for batches in locked memory; and where the tests look for their files.
printf '60\n40\n24\n12\n' >"$out/counts"
"$out/bin/lcsl" data prepare synthetic --counts "$out/counts" --out "$out/datasets/imagenet_lt" --val_per_class 4 --test_per_class 8 \
    --image_size 64 >/dev/null
echo "$PWD" >"$out/root"

tar -C "$out" -cJf "$out/programs.tar.xz" bin lib share
rm -r "$out/bin" "$out/lib" "$out/share"

mib=$(du -sm "$out" | cut -f1)
echo "gpu_bundle: $out takes $mib MiB"
[ "$mib" -lt "$limit_mib" ] || { echo "gpu_bundle: more than $limit_mib MiB" >&2; exit 1; }
