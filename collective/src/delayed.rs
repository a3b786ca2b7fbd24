//! A world whose sums take longer, as over a slower network: to see what is hidden behind
//! computation.

use std::sync::Arc;
use std::time::Duration;

use crate::calls::Trail;
use crate::communicator::{CollectiveError, Communicator, Values};

/// A world that waits before each sum over ranks, and so do its duplicates.
pub struct Delayed {
    world: Box<dyn Communicator>,
    wait: Arc<dyn Fn() + Send + Sync>,
}

impl Delayed {
    /// Wraps `world`; every rank wraps its own.
    pub fn new(world: Box<dyn Communicator>, delay: Duration) -> Self {
        Self::waiting(world, Arc::new(move || std::thread::sleep(delay)))
    }

    /// Wraps `world`, whose sums begin after a call of `wait`.
    fn waiting(world: Box<dyn Communicator>, wait: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { world, wait }
    }
}

impl Communicator for Delayed {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn world_size(&self) -> usize {
        self.world.world_size()
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        (self.wait)();
        self.world.all_reduce_sum(values)
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.world.all_gather(mine)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        self.world.exchange(peer, send, receive)
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        Ok(Box::new(Self::waiting(self.world.duplicate()?, self.wait.clone())))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.world.barrier()
    }

    fn begin_trail(&mut self) -> Option<Arc<Trail>> {
        self.world.begin_trail()
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.world.leave()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::solo::Solo;

    #[test]
    fn sums_wait_and_so_do_those_of_a_duplicate() {
        let waits = Arc::new(AtomicU32::new(0));
        let counted = waits.clone();
        let wait = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let mut world = Delayed::waiting(Box::new(Solo), wait);
        let mut duplicate = world.duplicate().unwrap();
        for (before, world) in
            [&mut world as &mut dyn Communicator, duplicate.as_mut()].into_iter().enumerate()
        {
            world.barrier().unwrap();
            assert_eq!(waits.load(Ordering::Relaxed), before as u32, "only sums wait");
            world.all_reduce_sum(Values::F64(&mut [1.0])).unwrap();
            assert_eq!(waits.load(Ordering::Relaxed), before as u32 + 1);
        }
    }
}
