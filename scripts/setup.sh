#!/usr/bin/env bash
# Installs what the build needs, once: Debian packages, and libtorch at .deps/libtorch.
#
#   scripts/setup.sh            packages and libtorch (what `make setup` runs)
#   scripts/setup.sh pytorch    and the whole Python package in .deps/venv, for the tests against PyTorch
#   scripts/setup.sh lints      rustfmt and clippy, where rustup left them out
#   scripts/setup.sh cluster    sshd and Slurm, for the tests on a cluster
#
# Read from the environment: LIBTORCH, a folder with libtorch 2.11.0; PACKAGES=skip, for machines on which MPI and
# libclang come from somewhere other than Debian packages.
#
# What .deps holds:
#   libtorch          a link to the folder in use; .cargo/config.toml names it, so plain cargo needs no variable
#   venv              what came from PyPI. `.libtorch-done` and `.pytorch-done` in it are written last, after a check
#                     that the thing loads: without them the folder counts as half-made and is fetched anew
#   stamp             under which circumstances the link was made; other circumstances set up again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly torch=2.11.0
# The two libraries that libtorch_cpu.so of the PyPI wheel cannot load without, in the versions that this wheel requires.
readonly cuda_libraries=(nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)
# g++ stands here because torch-sys compiles C++, and Debian's gcc does not bring it. cmake and nasm build libjpeg-turbo.
readonly packages=(libopenmpi-dev openmpi-bin libclang-dev dataset-fashion-mnist pkg-config g++ cmake nasm)
readonly packages_of_the_cluster=(slurm-wlm munge openssh-server openssh-client iproute2 procps)
readonly venv=.deps/venv
readonly link=.deps/libtorch

main() {
    case ${1-libtorch} in
        libtorch | pytorch) ;;
        lints)
            set_up_lints
            return
            ;;
        cluster)
            set_up_packages "${packages_of_the_cluster[@]}"
            return
            ;;
        *) fail 2 "unknown goal '$1'" "say one of: libtorch pytorch lints cluster" ;;
    esac
    check_tools
    set_up_packages "${packages[@]}"
    mkdir -p .deps
    # What is set up is used while another set-up adds PyTorch to it: that touches no file of libtorch.
    if [ "${1-libtorch}" = libtorch ] && already_set_up; then
        return
    fi
    take_turns
    if ! already_set_up; then
        check_rust_version
        set_up_libtorch
    fi
    if [ "${1-libtorch}" = pytorch ]; then
        set_up_pytorch
        set_up_test_packages
    fi
}

say() { printf 'setup: %s\n' "$1"; }

# fail EXIT_CODE WHAT_AND_WHERE WHAT_TO_DO
fail() {
    printf 'setup: %s\n  hint: %s\n' "$2" "$3" >&2
    exit "$1"
}

# --- What must be there before us -------------------------------------------------------------------------------------

apt='apt-get update && apt-get install -y'
[ "$(id -u)" = 0 ] || apt='sudo apt-get update && sudo apt-get install -y'

check_tools() {
    command -v cargo >/dev/null || fail 2 "cargo was not found in PATH" \
        "run: $apt curl && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    command -v gcc >/dev/null || fail 2 "gcc was not found in PATH" "run: $apt gcc"
    command -v python3 >/dev/null || fail 2 "python3 was not found in PATH" "run: $apt python3 python3-pip"
}

check_rust_version() {
    local needed found
    needed=$(sed -n 's/^rust-version *= *"\(.*\)".*/\1/p' Cargo.toml)
    found=$(cargo --version | cut -d' ' -f2)
    [ "$(printf '%s\n' "$needed" "$found" | sort -V | head -n 1)" = "$needed" ] ||
        fail 2 "cargo is version $found, and Cargo.toml asks for Rust $needed or newer" \
            "run: rustup update stable (Debian's own cargo is older: get rustup from https://rustup.rs)"
}

set_up_lints() {
    local component
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || fail 2 "cargo $component is not installed, and there is no rustup to add it" \
            "install rustfmt and clippy the way this Rust was installed"
        say "adding rustfmt and clippy with rustup"
        rustup component add rustfmt clippy
    done
}

# set_up_packages PACKAGE…
set_up_packages() {
    local wanted=("$@") missing=() package line
    [ "${PACKAGES-}" != skip ] || return 0
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system, so no packages are installed; what these hold is needed: ${wanted[*]}"
        return
    fi
    for package in "${wanted[@]}"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    line="apt-get install -y --no-install-recommends ${missing[*]}"
    [ "$(id -u)" = 0 ] || fail 2 "Debian packages are missing: ${missing[*]}; only root can install them" \
        "run: sudo apt-get update && sudo $line
  hint: where MPI and libclang come from elsewhere (a cluster's modules, say): PACKAGES=skip make setup"
    say "installing Debian packages: ${missing[*]}"
    # A package list that cannot be refreshed (one broken third-party source is enough) may still be good.
    apt-get update -q || say "apt-get update failed (its message is above); trying with the lists that are there"
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" ||
        fail 2 "apt-get could not install ${missing[*]} (its message is above)" "mend the cause, then run: $line"
}

# One set-up at a time: two makes in one clone would otherwise fetch into the same folder.
take_turns() {
    exec 9>.deps/lock
    command -v flock >/dev/null || return 0
    flock -n 9 || {
        say "another set-up is at work in this clone: waiting for it to end"
        flock 9
    }
}

# --- libtorch ---------------------------------------------------------------------------------------------------------

already_set_up() {
    # `LIBTORCH=… make setup` holds until LIBTORCH says something else: later commands need not repeat it.
    wanted=${LIBTORCH:-$(sed -n 's/^LIBTORCH=//p' .deps/stamp 2>/dev/null || true)}
    [ -f .deps/stamp ] && [ "$(circumstances)" = "$(cat .deps/stamp)" ] && [ -z "$(why_unfit "$link")" ] || return 1
    inside_deps "$link" || return 0
    [ -f "$venv/.libtorch-done" ] && { [ "$(driver)" = absent ] || [ -f "$venv/.pytorch-done" ]; }
}

# What decides which libtorch is taken. The line of the link notices that somebody moved it by hand.
circumstances() {
    printf '%s\n' "script $(cksum <scripts/setup.sh)" "LIBTORCH=$wanted" "link $(readlink "$link" || true)"
}

# An NVIDIA driver is there when its library can be loaded; in a container the kernel's side alone is not enough.
driver() {
    if PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep 'libcuda\.so\.1' >/dev/null ||
        [ -e /usr/lib/wsl/lib/libcuda.so.1 ]; then
        echo present
    else
        echo absent
    fi
}

set_up_libtorch() {
    local before after
    before=$(readlink "$link" || true)
    rm -f .deps/stamp .deps/stamp.new
    take_from_variable || take_from_python || take_from_pypi
    after=$(readlink "$link")
    circumstances >.deps/stamp.new
    mv .deps/stamp.new .deps/stamp
    say "libtorch $(version_of "$link") is at $link -> $after"
    if [ "$(driver)" = present ] && ! [ -e "$link/lib/libtorch_cuda.so" ]; then
        say "this libtorch is a CPU build: the NVIDIA GPU of this machine will not be used"
    fi
    # Cargo sees the same path as before, but which libraries torch-sys links depends on what lies behind the link.
    if [ -n "$before" ] && [ "$before" != "$after" ]; then
        say "libtorch changed, so torch-sys will be compiled again"
        cargo clean --quiet -p torch-sys && cargo clean --quiet --release -p torch-sys
    fi
}

take_from_variable() {
    local why
    [ -n "$wanted" ] && ! inside_deps "$wanted" || return 1
    why=$(why_unusable "$wanted")
    if [ -n "$why" ]; then
        say "not taking \$LIBTORCH=$wanted: $why"
        wanted=${LIBTORCH-}
        return 1
    fi
    ln -sfn "$(readlink -f "$wanted")" "$link"
}

take_from_python() {
    local found why
    found=$(python3 -c '
import importlib.util
spec = importlib.util.find_spec("torch")
print(spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else "")' 2>/dev/null) || return 1
    [ -n "$found" ] && ! inside_deps "$found" || return 1
    why=$(why_unusable "$found")
    if [ -n "$why" ]; then
        say "not taking the torch that python3 has installed at $found: $why"
        return 1
    fi
    ln -sfn "$found" "$link"
}

take_from_pypi() {
    # With a driver the whole set is needed: the CUDA half of libtorch loads cuDNN, cuBLAS, NCCL and more.
    if [ "$(driver)" = present ]; then
        set_up_pytorch
    elif ! [ -f "$venv/.libtorch-done" ] || [ -n "$(why_unfit "$(fetched_torch)")" ]; then
        new_venv
        check_disk 3
        say "fetching libtorch $torch from PyPI into $venv (1.2 GB on disk)"
        pip_install --no-deps "torch==$torch" "${cuda_libraries[@]}"
        check_fetched
    fi
    local folder
    folder=$(fetched_torch)
    ln -sfn "${folder#.deps/}" "$link"
}

set_up_pytorch() {
    if [ -f "$venv/.pytorch-done" ] && [ -z "$(why_unfit "$(fetched_torch)")" ]; then
        return
    fi
    # Completing a whole libtorch adds packages and touches none of its files, so that a build may use it meanwhile.
    # Completing what an interrupted run left is another matter: pip trusts packages that may lack files.
    if ! [ -f "$venv/.libtorch-done" ] || [ -f "$venv/.pytorch-begun" ] || [ -n "$(why_unfit "$(fetched_torch)")" ]; then
        new_venv
    fi
    check_disk 8
    : >"$venv/.pytorch-begun"
    say "fetching PyTorch $torch with all that it requires from PyPI into $venv (about 3 GB; 4.7 GB on disk)"
    pip_install "torch==$torch" "${cuda_libraries[@]}" numpy safetensors
    check_fetched
    "$venv/bin/python" -c 'import torch, numpy, safetensors.torch' ||
        fail 2 "PyTorch was fetched into $venv but cannot be imported (Python's message is above)" \
            "remove .deps and run \`make pytorch\` again"
    : >"$venv/.pytorch-done"
    rm -f "$venv/.pytorch-begun"
}

# The tests read our shards and exports with them. A venv from before they were needed gets them as well; without
# dependencies, since PyTorch is there and must stay what it is.
set_up_test_packages() {
    "$venv/bin/python" -c 'import webdataset, torchvision, onnx, onnxruntime' 2>/dev/null && return
    say "fetching webdataset, torchvision and ONNX Runtime from PyPI into $venv"
    pip_install --no-deps webdataset==1.0.2 braceexpand pyyaml torchvision==0.26.0 pillow onnx==1.23.2 onnxruntime==1.32.0 \
        ml_dtypes protobuf flatbuffers
    "$venv/bin/python" -c 'import webdataset, torchvision, onnx, onnxruntime' ||
        fail 2 "the packages of the tests were fetched into $venv but cannot be imported (Python's message is above)" \
            "remove .deps and run \`make pytorch\` again"
}

# --- Folders with libtorch --------------------------------------------------------------------------------------------

# The torch folder in the venv; a name that does not exist when nothing was fetched.
fetched_torch() {
    local folder
    for folder in "$venv"/lib/python3.*/site-packages/torch; do
        printf '%s\n' "$folder"
        return
    done
}

inside_deps() {
    case "$(readlink -m "$1")/" in
        "$(readlink -f .deps)"/*) return 0 ;;
        *) return 1 ;;
    esac
}

# A wheel says its version in version.py, libtorch's own archive in build-version.
version_of() {
    if [ -f "$1/version.py" ]; then
        sed -n "s/^__version__ *= *['\"]\(.*\)['\"].*/\1/p" "$1/version.py"
    elif [ -f "$1/build-version" ]; then
        head -n 1 "$1/build-version"
    fi
}

# Prints why FOLDER is not the libtorch that we need, and nothing when it is.
why_unfit() {
    local version
    if ! [ -d "$1" ]; then
        echo "there is no such folder"
    elif ! [ -f "$1/lib/libtorch_cpu.so" ]; then
        echo "it has no lib/libtorch_cpu.so"
    elif ! [ -d "$1/include/torch" ]; then
        echo "it has no headers (include/torch)"
    else
        version=$(version_of "$1")
        case $version in
            "$torch" | "$torch"+*) ;;
            '') echo "it does not say its version (version.py or build-version)" ;;
            *) echo "it is version $version, and $torch is needed" ;;
        esac
    fi
}

# The same after asking the loader too, which takes a second: a libtorch may lack the libraries that it was built with.
why_unusable() {
    local why
    why=$(why_unfit "$1")
    if [ -n "$why" ]; then
        echo "$why"
        return
    fi
    python3 -c '
import ctypes, sys
try:
    ctypes.CDLL(sys.argv[1])
except OSError as error:
    print("it does not load:", error)' "$1/lib/libtorch_cpu.so"
}

# --- Fetching ---------------------------------------------------------------------------------------------------------

# A venv without pip: Debian's Python makes one without the package python3-venv. The pip of the machine fills it.
new_venv() {
    choose_python
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv" || fail 2 "$python could not make a virtual environment at $venv" \
        "see its message above; on Debian: apt-get install -y python3-venv"
}

# check_disk GIGABYTES: what the fetched files and their packed form take together.
check_disk() {
    local free
    free=$(df -Pk .deps | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$1" ] || fail 5 "$free GB are free on the disk of $PWD/.deps, and the fetch takes $1 GB" \
        "make room, or set LIBTORCH to a folder that has libtorch $torch"
}

# Sets `python` to one that has pip and for which PyPI has this torch. An activated environment may have no pip.
choose_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' 2>/dev/null &&
            "$python" -m pip --version >/dev/null 2>&1 && return
    done
    fail 2 "no Python from 3.10 to 3.14 with pip was found (python3 is $(python3 --version 2>&1))" \
        "run: $apt python3 python3-pip"
}

# pip_install ARGUMENTS... into the venv. Unpacking happens beside it: /tmp may be a small disk in memory.
pip_install() {
    [ -n "${python-}" ] || choose_python
    local how=(--python "$venv/bin/python" install) version
    version=$("$python" -m pip --version | cut -d' ' -f2)
    if [ "$(printf '%s\n' 22.3 "$version" | sort -V | head -n 1)" != 22.3 ]; then
        # pip before 22.3 cannot act for another Python; both are the same version, so it may unpack there.
        how=(install --upgrade --target "$(site_packages)")
    fi
    rm -rf .deps/tmp
    trap 'rm -rf .deps/tmp' EXIT
    mkdir .deps/tmp
    TMPDIR=$PWD/.deps/tmp PIP_USER=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$python" -m pip "${how[@]}" --no-input "$@" ||
        fail 2 "pip could not install $* into $venv (its message is above)" \
            "check the network (HTTPS_PROXY names a proxy, PIP_INDEX_URL a mirror of PyPI) and run make again
  hint: without a network, set LIBTORCH to a folder that has libtorch $torch"
}

site_packages() { "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

check_fetched() {
    local why
    why=$(why_unusable "$(fetched_torch)")
    [ -z "$why" ] || fail 2 "libtorch was fetched into $(fetched_torch) but cannot be used: $why" \
        "remove .deps and run \`make setup\` again"
    : >"$venv/.libtorch-done"
}

main "$@"
