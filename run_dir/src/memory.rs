//! How the programs of a rank say that memory is out: the only trace of it where the rank itself cannot speak any more.

use std::fmt;

/// Memory that was asked for and not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Of a GPU, not of the host.
    pub on_gpu: bool,
    /// How much was asked for at last, in words with its unit, where that is known.
    pub asked: Option<String>,
}

/// What is to be done about it.
pub const HINT: &str = "a smaller --batch_size takes less, and so does --set train.accumulate_steps=N, which makes one \
                        step of N smaller batches; or ask for more memory (ulimit -v, the scheduler's --mem)";

impl OutOfMemory {
    /// What `text`, an error or the end of a log, says of memory; none where it says nothing of the kind.
    ///
    /// Known are the words of libtorch's allocators on the CPU and on GPUs, of Rust, of C++ and of the C library.
    pub fn said_in(text: &str) -> Option<Self> {
        let behind = |phrase: &str| text.find(phrase).map(|at| &text[at + phrase.len()..]);
        if let Some(rest) = behind("CUDA out of memory") {
            let asked =
                rest.split_once("Tried to allocate ").and_then(|(_, rest)| rest.split_once(". "));
            return Some(Self { on_gpu: true, asked: asked.map(|(asked, _)| asked.to_owned()) });
        }
        // The driver, cuBLAS, cuDNN and NCCL, which do not say how much.
        let of_gpu = [
            "CUDA error: out of memory",
            "cuMemAlloc failed in the CUDA driver: out of memory",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_ALLOC_FAILED",
            "Cuda failure 2 'out of memory'",
        ];
        if of_gpu.iter().any(|words| text.contains(words)) {
            return Some(Self { on_gpu: true, asked: None });
        }
        let number = |rest: &str| -> Option<u64> {
            let digits: String =
                rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        // libtorch on the CPU, and Rust.
        for phrase in ["you tried to allocate", "memory allocation of"] {
            if let Some(bytes) = behind(phrase).and_then(number) {
                return Some(Self { on_gpu: false, asked: Some(size(bytes)) });
            }
        }
        let words = [
            "can't allocate memory",
            "std::bad_alloc",
            "Cannot allocate memory",
            "could not create a primitive", // oneDNN, which needs memory for the program that it writes
        ];
        let said = words.iter().any(|word| text.contains(word));
        said.then_some(Self { on_gpu: false, asked: None })
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.on_gpu { "the GPU is out of memory" } else { "out of memory" })?;
        self.asked.as_ref().map_or(Ok(()), |asked| write!(f, ": {asked} were asked for at last"))
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        ..MIB => format!("{bytes} bytes"),
        _ if bytes < 1 << 30 => format!("{} MiB", bytes / MIB),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a batch that was too large ended with "internal error, please report" and fifty lines of libtorch's
    /// stack.
    #[test]
    fn every_library_has_its_words() {
        let said = |text: &str| OutOfMemory::said_in(text).map(|it| it.to_string());
        let cpu = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail at alloc_cpu.cpp:121] err == 0. \
                   DefaultCPUAllocator: can't allocate memory: you tried to allocate 274877906944 bytes. Error code 12 \
                   (Cannot allocate memory)\\nException raised from\\nframe #0: …";
        assert_eq!(said(cpu).as_deref(), Some("out of memory: 256.0 GiB were asked for at last"));
        let gpu = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.1 GiB of which";
        assert_eq!(
            said(gpu).as_deref(),
            Some("the GPU is out of memory: 20.00 GiB were asked for at last")
        );
        let driver = "a collective on the GPU failed in NCCL: unhandled cuda error (Cuda failure 2 'out of memory')";
        assert_eq!(said(driver).as_deref(), Some("the GPU is out of memory"));
        let rust = "memory allocation of 3145728 bytes failed";
        assert_eq!(said(rust).as_deref(), Some("out of memory: 3 MiB were asked for at last"));
        let c = "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc";
        assert_eq!(said(c).as_deref(), Some("out of memory"));
        assert_eq!(said("index 3 is out of bounds for dimension 0"), None);
    }
}
