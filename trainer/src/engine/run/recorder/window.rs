//! Steps that are reported together.

use super::StepStatus;

/// Sums over some steps.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Window {
    pub(super) loss: f64,
    pub(super) images: u64,
    pub(super) admitted: u64,
    pub(super) steps: u64,
    pub(super) data: f64,
    pub(super) compute: f64,
    pub(super) collective: f64,
    pub(super) waiting: f64,
}

impl Window {
    /// Adds a step.
    pub(super) fn add(&mut self, status: &StepStatus) {
        self.loss += status.loss * status.images as f64;
        self.images += status.images;
        self.admitted += status.admitted;
        self.steps += 1;
        self.data += status.lap.data;
        self.compute += status.lap.compute;
        self.collective += status.lap.collective;
        self.waiting += status.waiting;
    }

    /// Loss per image.
    pub(super) fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }
}
