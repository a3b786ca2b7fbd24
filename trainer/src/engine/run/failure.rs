//! From an error to an exit code, a remedy, and the question of who is to blame.

use lcsl_collective::CollectiveError;
use lcsl_collective::control::Failure;
use lcsl_data::DataError;
use lcsl_data::staging::StagingError;
use lcsl_run_dir::exit::{BAD_DATA, BUG, DISK, OUT_OF_MEMORY, RANK_FAILED, USAGE};
use lcsl_run_dir::gpu::GpuFault;
use lcsl_run_dir::memory::{self, OutOfMemory};

use crate::data_module::DataModuleError;
use crate::engine::evaluation::evaluate::EvaluateError;
use crate::engine::evaluation::saved_model::SavedModelError;
use crate::engine::run::error::TrainError;
use crate::engine::step::error::StepError;
use crate::long_tail::ShotThresholds;
use crate::run_dir::durable::DiskError;

/// What libtorch puts between a sentence and its stack.
const STACK: &str = "Exception raised from";

/// What a rank says of an error that ends its training.
pub fn of_training(error: &TrainError) -> Failure {
    let (exit_code, hint, bystander) = match error {
        TrainError::DataModule(error) => (BAD_DATA, data_module_hint(error), false),
        TrainError::EmptyClasses(_) => {
            let hint = "give every class a training image, or take a criterion that counts none: ce, focal or \
                        label_smoothing";
            (BAD_DATA, Some(hint.to_owned()), false)
        }
        TrainError::Normalisation(_) => {
            let hint = "take larger images, or a --batch_size with which every batch, the last of an epoch \
                        included, has two images or none for each logical rank";
            (USAGE, Some(hint.to_owned()), false)
        }
        TrainError::InitialWeights { .. } => {
            let hint = "--init takes what `lcsl export` writes, and torchvision's weights as safetensors, of the \
                        network that --model names";
            (BAD_DATA, Some(hint.to_owned()), false)
        }
        TrainError::Step { source, .. } => of_step(source),
        TrainError::Evaluate { source: EvaluateError::Data(error), .. } => {
            (BAD_DATA, record_hint(error), false)
        }
        TrainError::Evaluate { source, .. } => of_evaluation(source),
        TrainError::Disk(error) => (DISK, disk_hint(error), false),
        TrainError::Checkpoint { .. } => {
            let hint = "remove that checkpoint to go on from the one before, or start a new run";
            (BAD_DATA, Some(hint.to_owned()), false)
        }
        TrainError::NoneWhole { .. } => {
            let hint = "put back a whole copy of one of them, or move checkpoints/ away to begin again at \
                        step 1";
            (BAD_DATA, Some(hint.to_owned()), false)
        }
        TrainError::Apart { source: CollectiveError::Disagreement { .. }, .. } => {
            let hint = "a memory, a cable or a library of that host is at fault: leave it out, and go on \
                        from the newest checkpoint with --resume auto";
            (RANK_FAILED, Some(hint.to_owned()), false)
        }
        TrainError::Apart { .. } | TrainError::Join(_) | TrainError::Leave(_) => {
            (RANK_FAILED, None, true)
        }
        TrainError::NoDevice { hint, .. } => (USAGE, Some((*hint).to_owned()), false),
        TrainError::DeviceFailed { .. } => {
            let hint =
                "look with nvidia-smi whether another program has it, and whether it is well";
            (RANK_FAILED, Some(hint.to_owned()), false)
        }
    };
    Failure { what: error.to_string(), hint, exit_code: exit_code.into(), bystander }
}

/// What is told of a panic that says `said`, and the code that the process ends with.
pub fn of_panic(said: &str) -> (Failure, u8) {
    if let Some(out_of_memory) = OutOfMemory::said_in(said) {
        let (what, hint) = (out_of_memory.to_string(), Some(memory::HINT.to_owned()));
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

/// Exit code and remedy of an error of `eval` or `export`.
pub fn of_saved_model(error: &SavedModelError) -> (u8, Option<String>) {
    match error {
        SavedModelError::NoModel { .. } => {
            let hint = "a model is saved after the first evaluation, at the end of an epoch";
            (USAGE, Some(hint.to_owned()))
        }
        SavedModelError::NoneWhole { .. } => {
            (BAD_DATA, Some("put back a whole copy of one of them".to_owned()))
        }
        SavedModelError::Unusable { .. } => (BAD_DATA, None),
        SavedModelError::DataModule(error) => (BAD_DATA, data_module_hint(error)),
        SavedModelError::Evaluate(error) => {
            let (exit_code, hint, _) = of_evaluation(error);
            (exit_code, hint)
        }
        SavedModelError::Disk(error) => (DISK, disk_hint(error)),
    }
}

/// What a rank says of a dataset that it cannot copy to its host's own disk.
pub fn of_staging(error: &StagingError) -> Failure {
    let elsewhere =
        "name another folder with --stage, or leave it out to read the shards where they are";
    let (exit_code, hint) = match error {
        StagingError::Disk { .. } => (DISK, Some(elsewhere.to_owned())),
        StagingError::Damaged { .. } => {
            let hint =
                "`lcsl data verify` says whether the original is damaged too; else that disk is";
            (BAD_DATA, Some(hint.to_owned()))
        }
        StagingError::Data(error) => (BAD_DATA, data_hint(error)),
    };
    Failure { what: error.to_string(), hint, exit_code: exit_code.into(), bystander: false }
}

fn of_step(error: &StepError) -> (u8, Option<String>, bool) {
    match error {
        StepError::Data(error) => (BAD_DATA, record_hint(error), false),
        StepError::NotFinite { here, .. } => {
            let hint = "a lower --lr or a longer --warmup_epochs usually helps; metrics.jsonl shows where it began";
            (RANK_FAILED, Some(hint.to_owned()), !here)
        }
        StepError::Collective(error) => of_collective(error),
        StepError::GradientNotFinite { .. } => {
            let hint = "a lower --lr or a longer --warmup_epochs usually helps";
            (RANK_FAILED, Some(hint.to_owned()), false)
        }
        StepError::StatisticsNotFinite { .. } => {
            let hint = "batch normalisation needs more than one value per channel of each logical rank: a \
                        larger --batch_size, fewer --virtual_ranks or --sync_bn gives it more; where it has \
                        many, a lower --lr usually helps";
            (RANK_FAILED, Some(hint.to_owned()), false)
        }
        StepError::Candidates(_) => (RANK_FAILED, None, false),
    }
}

/// Who waits in vain for another rank is not the one to name; whose own GPU or memory fails is.
fn of_collective(error: &CollectiveError) -> (u8, Option<String>, bool) {
    let CollectiveError::Library { message, .. } = error else { return (RANK_FAILED, None, true) };
    if OutOfMemory::said_in(&error.to_string()).is_some() {
        return (OUT_OF_MEMORY, Some(memory::HINT.to_owned()), false);
    }
    let fault = GpuFault::said_in(message);
    (RANK_FAILED, fault.map(|fault| fault.hint().to_owned()), fault.is_none())
}

fn of_evaluation(error: &EvaluateError) -> (u8, Option<String>, bool) {
    if let EvaluateError::Data(error) = error {
        return (BAD_DATA, data_hint(error), false);
    }
    let bystander = matches!(error, EvaluateError::Collective(_));
    (RANK_FAILED, None, bystander)
}

fn data_module_hint(error: &DataModuleError) -> Option<String> {
    match error {
        DataModuleError::Data(error) => data_hint(error),
        DataModuleError::Groups { .. } => {
            let ShotThresholds { many_above, few_below } = ShotThresholds::USUAL;
            Some(format!("choose others, or leave them out: they are {many_above} and {few_below}"))
        }
        DataModuleError::Split(_) | DataModuleError::Nothing { .. } => {
            Some("choose --imb_type and --imb_factor that the dataset can fill".to_owned())
        }
    }
}

fn data_hint(error: &DataError) -> Option<String> {
    error.hint()
}

/// The hint of a record that was met on the way, which a run can do without.
fn record_hint(error: &DataError) -> Option<String> {
    let hint = data_hint(error);
    if !error.is_of_one_record() {
        return hint;
    }
    let without = "--on_corrupt=count goes on without such records, and counts them";
    Some(hint.map_or_else(|| without.to_owned(), |hint| format!("{hint}; {without}")))
}

fn disk_hint(error: &DiskError) -> Option<String> {
    let hint = match error.source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "make room, then go on with --resume auto"
        }
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "choose another place with --run_dir"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use lcsl_collective::CollectiveError;

    use super::{BAD_DATA, BUG, OUT_OF_MEMORY, RANK_FAILED, of_collective, of_panic};

    /// Story: every error of a collective was another rank's, also where the own GPU had failed in it.
    #[test]
    fn a_gpu_that_fails_in_a_collective_is_the_one_to_name() {
        let of = |library: &'static str, message: &str| {
            let (operation, message) = ("cuMemAlloc", message.to_owned());
            of_collective(&CollectiveError::Library { operation, library, message })
        };
        let (_, hint, bystander) = of("the CUDA driver", "uncorrectable ECC error encountered");
        assert!(hint.is_some() && !bystander);
        let (code, _, bystander) = of("the CUDA driver", "out of memory");
        assert!(code == OUT_OF_MEMORY && !bystander);
        let (_, hint, bystander) = of("NCCL", "remote process exited or there was a network error");
        assert!(hint.is_none() && bystander);
    }

    /// The crate of datasets ends the process by itself where a mapped file shrinks, and may not name the
    /// crate that has the codes.
    #[test]
    fn a_shard_that_shrinks_ends_with_the_code_for_bad_data() {
        assert_eq!(lcsl_data::shard::sigbus::EXIT_BAD_DATA, i32::from(BAD_DATA));
    }

    /// Story: fifty lines of libtorch's stack stood on the terminal, and nobody saw the sentence above them.
    #[test]
    fn the_stack_of_a_library_stays_in_the_log() {
        let text = r#"panicked at a.rs:7: called `unwrap()`: Torch("shapes differ\nException raised from add""#;
        let (failure, code) = of_panic(text);
        assert!(failure.what.ends_with("Torch(\"shapes differ"), "{}", failure.what);
        assert_eq!((failure.exit_code, code), (4, BUG));
    }

    /// Story: a GPU whose memory is broken was called an internal error, to be reported.
    #[test]
    fn a_gpu_that_fails_is_no_bug_of_ours() {
        let text = r#"panicked at a.rs:7: Torch("CUDA error: uncorrectable ECC error encountered\nCUDA kernel …")"#;
        let (failure, code) = of_panic(text);
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
