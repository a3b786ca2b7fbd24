//! A world whose sums take longer, as over a slower network: to see what is hidden behind
//! computation.

use std::time::Duration;

use crate::communicator::{CollectiveError, Communicator, Values};

/// A world that waits before each sum over ranks, and so do its duplicates.
pub struct Delayed {
    world: Box<dyn Communicator>,
    delay: Duration,
}

impl Delayed {
    /// Wraps `world`; every rank wraps its own.
    pub fn new(world: Box<dyn Communicator>, delay: Duration) -> Self {
        Self { world, delay }
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
        std::thread::sleep(self.delay);
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
        Ok(Box::new(Self { world: self.world.duplicate()?, delay: self.delay }))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.world.barrier()
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.world.leave()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::solo::Solo;

    #[test]
    fn sums_wait_and_so_do_those_of_a_duplicate() {
        let delay = Duration::from_millis(5);
        let mut world = Delayed::new(Box::new(Solo), delay);
        let mut duplicate = world.duplicate().unwrap();
        for world in [&mut world as &mut dyn Communicator, duplicate.as_mut()] {
            let began = Instant::now();
            world.all_reduce_sum(Values::F64(&mut [1.0])).unwrap();
            assert!(began.elapsed() >= delay);
        }
    }
}
