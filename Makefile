# `make` alone lists the targets. `demo`, `test` and `build` each set up by themselves what they need.
#
# One cargo profile is built here, release: torch-sys compiles a large C++ file, and this way it does so once.

.DEFAULT_GOAL := help
.PHONY: help setup build demo portable test test-cluster pytorch

# rustup puts cargo here; a shell that was open before Rust was installed does not know the folder yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

# Set-up decides which libtorch is used and links it at .deps/libtorch. These variables would overrule it in torch-sys.
CARGO := env -u LIBTORCH -u LIBTORCH_INCLUDE -u LIBTORCH_LIB -u LIBTORCH_USE_PYTORCH -u LIBTORCH_STATIC cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)/release

# Libtorch, pictures and MPI, and none of the features that are on by default: no kernels of our own beside libtorch's and
# libjpeg-turbo's, and a launcher without `lcsl data`.
PORTABLE := --workspace --no-default-features --features lcsl-trainer/engine

# Says what runs and when it began, so that a log shows how long each part took.
step = @printf '\n[%s] cargo %s\n' "$$(date +%T)" '$(1)'; $(CARGO) $(1)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## install Debian packages (as root) and libtorch 2.11.0, once; LIBTORCH=FOLDER names one that is there
	@scripts/setup.sh

build: setup ## compile everything: lcsl and lcsl-rank, optimised
	$(CARGO) build --release --workspace

# DEMO_FLAGS is for continuous integration, which trains the first epochs.
demo: build ## train the demo, in a run directory of its own under runs/
	@number=1; while [ -e "runs/demo-$$number" ]; do number=$$((number + 1)); done; set -x; \
	"$(BUILT)/lcsl" train --config demo $(DEMO_FLAGS) --run_dir="runs/demo-$$number"

# Without the fast kernels the golden steps come out within the same tolerances. All programs are built, one test program runs.
portable: setup ## check that everything works without the optional features, and run the golden steps without them
	$(call step,build --release $(PORTABLE) --bins)
	$(call step,test --release $(PORTABLE) --test golden_step)

# The pure tests come first: they need seconds. They are the ones that run with debug assertions. Without default features
# only their crates are linted, in the profile of all lints, so that what is checked for the one serves the other.
# In CI the tests against PyTorch must run, so there it is fetched; a person decides about 3 GB.
# LCSL_CLUSTER=1 has the tests on a cluster run, which `make test-cluster` runs alone.
test: $(if $(filter true,$(CI)),pytorch,setup) ## check formatting and lints, then run all tests
	@scripts/setup.sh lints
	@[ -z "$$LCSL_CLUSTER" ] || scripts/setup.sh cluster
	$(call step,fmt --all --check)
	$(call step,pure-clippy)
	$(call step,pure)
	$(call step,clippy --release --workspace --all-targets -- -D warnings)
	$(call step,test --release --workspace)
	@[ -e .deps/venv/.pytorch-done ] || \
	echo "The tests against PyTorch run only where it is found; \`make pytorch\` adds it to .deps/venv (about 3 GB)."

test-cluster: build ## install sshd and Slurm (as root), then train on two hosts over ssh and under Slurm, on this machine
	@scripts/setup.sh cluster
	$(CARGO) build --release --examples
	LCSL_CLUSTER=1 $(CARGO) test --release --test cluster

pytorch: setup ## add PyTorch's Python package to .deps/venv, for the tests against it (about 3 GB)
	@scripts/setup.sh pytorch
