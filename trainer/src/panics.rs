//! A panic of a rank, told to its launcher.

use std::sync::OnceLock;

use lcsl_collective::control::{Control, Failure, FromRank};
use lcsl_run_dir::exit::{BUG, OUT_OF_MEMORY, RANK_FAILED};
use lcsl_run_dir::gpu::GpuFault;
use lcsl_run_dir::memory::{HINT, OutOfMemory};
use lcsl_trainer::last_words;

/// Where a panic is reported, once there is a launcher to report it to.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// What libtorch puts between a sentence and its stack.
const STACK: &str = "Exception raised from";

/// A panic is our bug, unless memory was out, and the failure of a rank: it is reported like any other, and the process
/// ends instead of leaving the other ranks waiting.
pub(crate) fn report() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic); // with all of libtorch's stack, into the log
        let (failure, code) = failure(&panic.to_string());
        if let Some(control) = CONTROL.get() {
            control.close(&FromRank::Failed(failure));
        } else if code == OUT_OF_MEMORY {
            eprintln!("error: {}\n  hint: {HINT}", failure.what);
        }
        last_words::leave(code);
    }));
}

/// From now on there is a launcher to report a panic to.
pub(crate) fn report_to(control: Control) {
    let _ = CONTROL.set(control); // set nowhere else
}

/// What is told of a panic that says `said`, and the code that the process ends with.
fn failure(said: &str) -> (Failure, u8) {
    if let Some(out_of_memory) = OutOfMemory::said_in(said) {
        let (what, hint) = (out_of_memory.to_string(), Some(HINT.to_owned()));
        let failure = Failure { what, hint, exit_code: OUT_OF_MEMORY.into(), bystander: false };
        return (failure, OUT_OF_MEMORY);
    }
    if let Some(fault) = GpuFault::said_in(said) {
        let (what, hint) = (format!("{fault}: {}", words_of_cuda(said)), fault.hint().to_owned());
        let exit_code = RANK_FAILED.into();
        let failure = Failure { what, hint: Some(hint), exit_code, bystander: false };
        return (failure, RANK_FAILED);
    }
    let sentence = said.split(STACK).next().unwrap_or_default();
    let what = format!("internal error: {}", sentence.trim_end().trim_end_matches("\\n"));
    let hint = Some("please report this, with logs/ of the run directory".to_owned());
    (Failure { what, hint, exit_code: RANK_FAILED.into(), bystander: false }, BUG)
}

/// CUDA's own sentence in what libtorch says.
fn words_of_cuda(said: &str) -> &str {
    let from = said.find("CUDA error: ").map_or(said, |at| &said[at..]);
    from.split(['\n', '\\']).next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: fifty lines of libtorch's stack stood on the terminal, and nobody saw the sentence above them.
    #[test]
    fn the_stack_of_a_library_stays_in_the_log() {
        let text = r#"panicked at a.rs:7: called `unwrap()`: Torch("shapes differ\nException raised from add""#;
        let (failure, code) = failure(text);
        assert!(failure.what.ends_with("Torch(\"shapes differ"), "{}", failure.what);
        assert_eq!((failure.exit_code, code), (4, BUG));
    }

    /// Story: a GPU whose memory is broken was called an internal error, to be reported.
    #[test]
    fn a_gpu_that_fails_is_no_bug_of_ours() {
        let text = r#"panicked at a.rs:7: Torch("CUDA error: uncorrectable ECC error encountered\nCUDA kernel …")"#;
        let (failure, code) = failure(text);
        assert_eq!(
            failure.what,
            "the memory of the GPU has an error that cannot be corrected: CUDA error: uncorrectable ECC error \
             encountered"
        );
        assert!(
            failure.hint.is_some_and(|hint| hint.contains("nvidia-smi")) && code == RANK_FAILED
        );
    }
}
