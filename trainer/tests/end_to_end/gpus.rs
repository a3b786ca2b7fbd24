//! Ranks that were given GPUs which are not there. The driver is a double of the CUDA driver, found as
//! the real one is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lcsl::{program, stderr};

/// A folder for `LD_LIBRARY_PATH`.
fn double(folder: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collective/backends/tests/double");
    for (source, library) in [("cuda.c", "libcuda.so.1"), ("nccl.c", "libnccl.so.2")] {
        let status = Command::new("cc")
            .args(["-std=c11", "-D_DEFAULT_SOURCE", "-shared", "-fPIC", "-o"])
            .args([folder.join(library), sources.join(source)])
            .args(["-ldl", "-lrt"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{source} does not compile");
    }
    folder.to_owned()
}

/// Where hosts are listed, the launcher cannot know their GPUs, and each host looks for itself.
#[test]
fn a_host_without_enough_gpus_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |gpus: &str| {
        let output = Command::new(program())
            .args(["train", "--dataset=synthetic", "--gpu=0,1", "--hosts=localhost:2"])
            .arg(format!("--run_dir={}", folder.path().join(gpus).display()))
            .env("LD_LIBRARY_PATH", double(folder.path()))
            .env("DOUBLE_GPUS", gpus)
            .output()
            .unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        message
    };
    let message = refused("0");
    // Story: it was said by mpirun, 10 s later: "no rank ever reached the launcher".
    assert!(message.contains(" failed while starting: host "), "{message}");
    assert!(message.contains(" has 0 GPUs for 2 ranks"), "{message}");
    assert!(message.contains("--gpu=cpu"), "{message}");
    let message = refused("1");
    let shared = ": ranks 0, 1 would share one GPU, GPU-abababab-abab-abab-abab-ababababab00";
    assert!(message.contains(shared), "{message}");
}
