//! What the configuration has to know about the machine, handed in by the caller.

/// The machine that a run starts on, as the launcher sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Cores that this process may use, at least 1.
    pub cores: usize,
    /// Number of GPUs that the driver reports; none where no driver is present, `usize::MAX` where they cannot be
    /// counted.
    pub gpus: Option<usize>,
}
