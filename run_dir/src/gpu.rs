//! How libtorch and the CUDA driver say that a GPU has failed: words that a library has for programmers, told as what
//! happened and what a person can do.

use std::fmt;

/// A GPU that cannot go on, whatever the program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuFault {
    /// Its memory has an error that cannot be corrected.
    Ecc,
    /// It has stopped answering: Xid 79 and its like in the system's log.
    Lost,
    /// A link between GPUs has failed.
    Link,
    /// The driver and its parts do not fit together, or are not ready.
    Driver,
}

/// Words of `cudaGetErrorString` and `cuGetErrorString` (CUDA 13), in small letters.
const WORDS: &[(&str, GpuFault)] = &[
    ("uncorrectable ecc error", GpuFault::Ecc),
    ("uncorrectable nvlink error", GpuFault::Link),
    ("gpu is lost", GpuFault::Lost),
    ("unspecified launch failure", GpuFault::Lost),
    ("hardware stack error", GpuFault::Lost),
    ("device(s) is/are busy or unavailable", GpuFault::Lost),
    ("driver version is insufficient", GpuFault::Driver),
    ("system not yet initialized", GpuFault::Driver),
    ("unsupported display driver / cuda driver combination", GpuFault::Driver),
    ("forward compatibility was attempted", GpuFault::Driver),
];

impl GpuFault {
    /// What `text`, an error or the end of a log, says of a GPU; none where it says nothing of the kind. A fault of the
    /// program, such as an illegal address, is none of the GPU's.
    pub fn said_in(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        WORDS.iter().find(|(words, _)| text.contains(words)).map(|(_, fault)| *fault)
    }

    /// What is to be done about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Ecc => {
                "`nvidia-smi -q -d ECC,ROW_REMAPPER` shows it; leave that GPU out until it was reset or replaced, and \
                 go on from the newest checkpoint with --resume auto"
            }
            Self::Lost => {
                "`dmesg | grep -i xid` says why; leave that GPU out until its host was restarted, and go on from the \
                 newest checkpoint with --resume auto"
            }
            Self::Link => {
                "`nvidia-smi nvlink -e` counts the errors of each link; leave that host out, and go on from the newest \
                 checkpoint with --resume auto"
            }
            Self::Driver => {
                "`nvidia-smi` shows the driver, and `lcsl --version` what libtorch was built for; on hosts with \
                 NVSwitch the fabric manager has to run"
            }
        }
    }
}

impl fmt::Display for GpuFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecc => "the memory of the GPU has an error that cannot be corrected",
            Self::Lost => "the GPU has stopped working",
            Self::Link => "a link between GPUs has failed",
            Self::Driver => "the driver of the GPU is not ready, or does not fit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_cuda_are_understood_in_either_librarys_form() {
        let libtorch =
            "Torch(\"CUDA error: uncorrectable ECC error encountered\\nCUDA kernel errors might be";
        assert_eq!(GpuFault::said_in(libtorch), Some(GpuFault::Ecc));
        let driver = "cuStreamQuery failed in the CUDA driver: Uncorrectable NVLink error detected";
        assert_eq!(GpuFault::said_in(driver), Some(GpuFault::Link));
        assert_eq!(GpuFault::said_in("CUDA error: an illegal memory access was encountered"), None);
        for (_, fault) in WORDS {
            assert!(!fault.hint().is_empty() && !fault.to_string().is_empty());
        }
    }
}
