//! Whether this process can use GPUs, found out before anything is trained.
//!
//! The linker drops libtorch's half for GPUs, since nothing here names a symbol of it; it announces
//! itself when it is opened, which has to happen before libtorch is first asked for a device.

#![allow(unsafe_code)] // shared libraries are opened by name

use std::ffi::CStr;
use std::sync::OnceLock;

use lcsl_backends::nccl::Libraries;
use lcsl_backends::nccl::driver::{self, NoGpu};
use lcsl_collective::placement::{self, RankPlacement};
use lcsl_collective::{CollectiveError, Communicator};

use crate::engine::native::arithmetic::cuda_version;

/// Belongs to the kernel module: where it is absent, there is no GPU to be used.
const DRIVER: &CStr = c"libcuda.so.1";
const LIBTORCH: &CStr = c"libtorch_cuda.so";

static OPENED: OnceLock<Result<(), String>> = OnceLock::new();

/// Opens libtorch's half for GPUs where NVIDIA's driver is present. The first thing that a process
/// does, before libtorch, MPI, or a thread.
pub fn open() {
    let opened = library(DRIVER)
        .map_err(|error| format!("there is no NVIDIA driver: {error}"))
        .and_then(|()| library(LIBTORCH));
    let _ = OPENED.set(opened); // set nowhere else
}

/// Why this process has no GPU.
pub fn why_no_gpu() -> NoGpu {
    match trouble() {
        // Who has the driver lacks libtorch's half.
        Some(why) if library(DRIVER).is_ok() => NoGpu {
            why: why.to_owned(),
            hint: "set up again with a libtorch for CUDA, or train on the CPU with --gpu=cpu",
        },
        _ => driver::why_no_gpu(cuda_version()),
    }
}

/// Why libtorch cannot use a GPU, as far as [`open`] has found out.
pub fn trouble() -> Option<&'static str> {
    OPENED.get().and_then(|opened| opened.as_ref().err()).map(String::as_str)
}

fn library(name: &CStr) -> Result<(), String> {
    // SAFETY: the name is a C string. The library stays open, so nothing of it is ever used too late;
    // its start-up code is NVIDIA's or libtorch's, and no thread of ours runs yet.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: after a failure this is a C string that lives until the next call of this thread.
    let message = unsafe { CStr::from_ptr(libc::dlerror()) };
    Err(message.to_string_lossy().into_owned())
}

/// Whether every rank finds NCCL, and every host has a GPU for each of its ranks, of its own: asked before anything
/// is trained, and answered alike on all ranks. `ordinal` says which GPU a rank uses of so many that it sees.
/// Collective.
///
/// # Errors
/// [`CollectiveError::Missing`] names each host that lacks something.
pub fn check_placement(
    world: &mut dyn Communicator,
    host: &str,
    ordinal: impl Fn(usize) -> Option<usize>,
) -> Result<(), CollectiveError> {
    let found = Libraries::load().and_then(|libraries| {
        let gpus = libraries.device_count()?;
        let used = ordinal(gpus).filter(|used| *used < gpus);
        let uuid = used.map(|used| libraries.device_uuid(used)).transpose()?;
        Ok((gpus, uuid))
    });
    let (gpus, uuid) = match found {
        Ok((gpus, uuid)) => (Ok(gpus), uuid),
        Err(error) => (Err(error), None),
    };
    let hint = gpus.as_ref().err().and_then(CollectiveError::hint);
    let gpus = gpus.map_err(|error| error.to_string());
    let may_share = std::env::var_os(placement::SHARING_VARIABLE).is_some();
    let mine = RankPlacement { host: host.to_owned(), gpus, uuid };
    placement::check(world, &mine, may_share).map_err(|error| match error {
        CollectiveError::Unsupported { what } => CollectiveError::Missing {
            what,
            hint: hint.unwrap_or(
                "start at most as many ranks on a host as it has GPUs (--nproc, --hosts), or train \
                 on the CPU with --gpu=cpu",
            ),
        },
        other => other,
    })
}
