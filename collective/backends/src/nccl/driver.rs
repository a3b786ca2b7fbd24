//! Why a process has no GPU, as far as the CUDA driver can tell.
#![allow(unsafe_code)] // calls into the CUDA driver

use std::ffi::c_int;
use std::fs;
use std::path::Path;

use lcsl_collective::placement::visible_entries;

use super::codes::check_driver;
use super::{context, locate, sys};

/// What keeps a process from using a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoGpu {
    /// In words.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
}

/// What the driver says at its start.
#[derive(Debug, Clone, Default)]
struct Found {
    /// The newest CUDA that it can do, as `cuDriverGetVersion` has it: 13000 is 13.0.
    version: c_int,
    /// The return code of its start, in words.
    start: Option<(c_int, String)>,
    /// GPUs that it shows.
    gpus: usize,
}

/// Surroundings that the driver does not speak of.
#[derive(Debug, Clone, Default)]
struct Around {
    /// The CUDA that libtorch was made for, in the same form; 0 where nobody knows.
    needed: c_int,
    /// `CUDA_VISIBLE_DEVICES`.
    visible: Option<String>,
    /// Whether a GPU's device file is there, or that of WSL2.
    has_files: bool,
}

/// Why this process has no GPU. `needed` is the CUDA that libtorch was made for, such as 13000 for 13.0; 0 where that
/// is not known.
pub fn why_no_gpu(needed: i32) -> NoGpu {
    let names = fs::read_dir("/dev").map(|entries| {
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    });
    let is_file = |name: &String| name == "dxg" || name.starts_with("nvidia");
    let has_files = names.unwrap_or_else(|_| Vec::new()).iter().any(is_file);
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    match look(Path::new(locate::DRIVER)) {
        Ok(found) => reason(&found, &Around { needed, visible, has_files }),
        Err(missing) => missing,
    }
}

/// Asks the driver from the file at `path`.
fn look(path: &Path) -> Result<Found, NoGpu> {
    let driver = context::load(path).map_err(|error| NoGpu {
        why: error.to_string(),
        hint: "install NVIDIA's driver, or train on the CPU with --gpu=cpu",
    })?;
    let mut found = Found::default();
    // SAFETY: writes one integer; it may be asked before the driver is started.
    unsafe { (driver.get_version)(&raw mut found.version) };
    // SAFETY: the driver's start; it may be called any number of times.
    let code = unsafe { (driver.init)(0) };
    if code == sys::SUCCESS {
        let mut count = 0;
        // SAFETY: the driver is started; writes one integer.
        unsafe { (driver.device_count)(&raw mut count) };
        found.gpus = count.max(0) as usize;
    } else {
        let words = check_driver(&driver, "cuInit", code)
            .map_or_else(|it| it.to_string(), |()| String::new());
        found.start = Some((code, words));
    }
    Ok(found)
}

/// Codes of `cuInit` (`CUresult`, cuda.h 13) that say more than their words do to who has not met them.
const STUB: c_int = 34;
const NO_DEVICE: c_int = 100;
const NOT_READY: c_int = 802;
const MISMATCH: c_int = 803;
const COMPATIBILITY: c_int = 804;

fn reason(found: &Found, around: &Around) -> NoGpu {
    let of = |why: &str, hint| NoGpu { why: why.to_owned(), hint };
    match &found.start {
        Some((STUB, _)) => {
            return of(
                "the libcuda.so.1 that was loaded is the stub that CUDA has for building",
                "take the folder `stubs` out of LD_LIBRARY_PATH",
            );
        }
        Some((NOT_READY, _)) => {
            return of(
                "the driver says that the GPUs are not ready, as where their fabric manager does not run",
                "start nvidia-fabricmanager on this host, and look into its log",
            );
        }
        Some((MISMATCH, _)) => {
            return of(
                "the driver's library and its kernel module are of different versions",
                "restart this host after the driver was updated; in a container, take the host's library",
            );
        }
        Some((COMPATIBILITY, _)) => {
            return of(
                "CUDA's compatibility library was loaded, and this GPU has no use for it",
                "take the folder `compat` out of LD_LIBRARY_PATH, or update NVIDIA's driver",
            );
        }
        Some((code, words)) if *code != NO_DEVICE => {
            return of(words, "look with nvidia-smi whether the GPU is well");
        }
        _ => {}
    }
    if found.start.is_none() && found.gpus > 0 {
        return none_for_libtorch(found.version, around.needed);
    }
    let hides = |list: &&String| visible_entries(list).is_empty();
    if let Some(list) = around.visible.as_ref().filter(hides) {
        return NoGpu {
            why: format!("CUDA_VISIBLE_DEVICES is {list:?}, which leaves no GPU"),
            hint: "unset CUDA_VISIBLE_DEVICES, or ask the scheduler for a GPU",
        };
    }
    if !around.has_files {
        return of(
            "the driver is there and the files of its GPUs (/dev/nvidia0 …) are not, as in a container that was \
             started without them",
            "start the container with its GPUs: `docker run --gpus all`, `podman run --device nvidia.com/gpu=all`, \
             `apptainer exec --nv`",
        );
    }
    of("the driver shows none", "look with nvidia-smi which GPUs there are; --gpu=cpu does without")
}

/// The driver has GPUs, and libtorch sees none.
fn none_for_libtorch(version: c_int, needed: c_int) -> NoGpu {
    let text = |version: c_int| format!("{}.{}", version / 1000, version % 1000 / 10);
    // A driver can do every CUDA of its own major version, and older ones.
    if needed / 1000 > version / 1000 {
        return NoGpu {
            why: format!(
                "the NVIDIA driver can do CUDA {} at most, and libtorch was made for {}",
                text(version),
                text(needed)
            ),
            hint: "update NVIDIA's driver (CUDA 13 needs 580 or later, CUDA 12 needs 525), or set up with a libtorch \
                   for the older CUDA",
        };
    }
    NoGpu {
        why: "the driver shows GPUs, and libtorch none".to_owned(),
        hint: "look with nvidia-smi whether the GPU is well, and whether another program has it for itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(
        start: c_int,
        gpus: usize,
        version: c_int,
        visible: Option<&str>,
        has_files: bool,
    ) -> String {
        let start = (start != sys::SUCCESS).then(|| (start, format!("code {start}")));
        let visible = visible.map(str::to_owned);
        reason(&Found { version, start, gpus }, &Around { needed: 13_000, visible, has_files }).why
    }

    /// Story: an old driver, a container without device files and an empty `CUDA_VISIBLE_DEVICES` all read "the driver
    /// shows none".
    #[test]
    fn reasons_are_told_apart() {
        assert_eq!(
            said(0, 1, 12_040, None, true),
            "the NVIDIA driver can do CUDA 12.4 at most, and libtorch was made for 13.0"
        );
        assert_eq!(said(0, 1, 13_010, None, true), "the driver shows GPUs, and libtorch none");
        assert!(
            said(100, 0, 13_000, None, false)
                .contains("(/dev/nvidia0 …) are not, as in a container")
        );
        assert_eq!(
            said(100, 0, 13_000, Some(""), true),
            "CUDA_VISIBLE_DEVICES is \"\", which leaves no GPU"
        );
        assert_eq!(
            said(0, 0, 13_000, Some("-1"), true),
            "CUDA_VISIBLE_DEVICES is \"-1\", which leaves no GPU"
        );
        assert_eq!(said(100, 0, 13_000, Some("0"), true), "the driver shows none");
        assert!(said(34, 0, 13_000, None, true).contains("is the stub"));
        assert!(said(802, 0, 13_000, None, true).contains("fabric manager"));
        assert!(said(803, 0, 13_000, None, true).contains("different versions"));
        assert!(said(804, 0, 13_000, None, true).contains("compatibility library"));
        assert_eq!(said(999, 0, 13_000, None, true), "code 999");
    }

    #[test]
    fn without_a_driver_that_is_the_reason() {
        let missing = look(Path::new("/nowhere/libcuda.so.1")).unwrap_err();
        assert!(missing.why.starts_with("the CUDA driver cannot be loaded: /nowhere/libcuda.so.1"));
    }
}
