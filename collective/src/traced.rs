//! A world whose ranks remember which call they are in, for the heartbeats that tell it.

use std::sync::Arc;

use crate::calls::{CallKind, CallLog, Element, Operation, Trail};
use crate::communicator::{CollectiveError, Communicator, Values};

/// A world that writes its calls, and those of its duplicates, into a log.
pub struct Traced {
    world: Box<dyn Communicator>,
    log: Arc<CallLog>,
    trail: Arc<Trail>,
}

impl Traced {
    /// Wraps `world`; every rank wraps its own.
    pub fn new(world: Box<dyn Communicator>, log: Arc<CallLog>) -> Self {
        let trail = log.begin();
        Self { world, log, trail }
    }
}

impl Communicator for Traced {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn world_size(&self) -> usize {
        self.world.world_size()
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        let kind = CallKind::new(Operation::Sum, values.element(), values.len());
        let _in_call = self.trail.enter(kind);
        self.world.all_reduce_sum(values)
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let _in_call = self.trail.enter(CallKind::new(Operation::Gather, Element::Byte, 0));
        self.world.all_gather(mine)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        let _in_call =
            self.trail.enter(CallKind::new(Operation::Exchange, Element::Byte, send.len()));
        self.world.exchange(peer, send, receive)
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        let _in_call = self.trail.enter(CallKind::new(Operation::Duplicate, Element::Nothing, 0));
        Ok(Box::new(Self::new(self.world.duplicate()?, self.log.clone())))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        let _in_call = self.trail.enter(CallKind::new(Operation::Barrier, Element::Nothing, 0));
        self.world.barrier()
    }

    fn begin_trail(&mut self) -> Option<Arc<Trail>> {
        Some(self.log.begin())
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        let _in_call = self.trail.enter(CallKind::new(Operation::Leave, Element::Nothing, 0));
        self.world.leave()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::threads;

    /// A rank that does not come leaves the other in a call, which its log says.
    #[test]
    fn a_rank_that_waits_is_in_a_call_and_one_that_has_not_come_is_before_it() {
        let logs = [Arc::new(CallLog::default()), Arc::new(CallLog::default())];
        let worlds = threads::world(2).into_iter().zip(&logs);
        let mut worlds = worlds.map(|(world, log)| Traced::new(Box::new(world), log.clone()));
        let (mut early, mut late) = (worlds.next().unwrap(), worlds.next().unwrap());
        let waiting = std::thread::spawn(move || {
            early.barrier().unwrap();
            let mut duplicate = early.duplicate().unwrap();
            duplicate.all_reduce_sum(Values::F32(&mut [1.0; 3])).unwrap();
        });
        late.barrier().unwrap();
        let mut duplicate = late.duplicate().unwrap();
        let began = Instant::now();
        while logs[0].status().len() < 2 && began.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        let said = |rank: usize| {
            let status = logs[rank].status();
            status.iter().map(|it| format!("{it} {}", it.waiting)).collect::<Vec<_>>()
        };
        let duplication = "call 2 of communicator 0, a duplication of the world false";
        let sum = "call 1 of communicator 1, a sum of 3 float32 true";
        assert_eq!(said(0), [duplication, sum]);
        assert_eq!(said(1), [duplication]);
        duplicate.all_reduce_sum(Values::F32(&mut [1.0; 3])).unwrap();
        waiting.join().unwrap();
        // Calls that go another way, such as NCCL's, have a number as well.
        let trail = late.begin_trail().unwrap();
        let in_call = trail.enter(CallKind::new(Operation::Sum, Element::F64, 7));
        assert_eq!(said(1).last().unwrap(), "call 1 of communicator 2, a sum of 7 float64 true");
        drop(in_call);
        assert_eq!(said(1).last().unwrap(), "call 1 of communicator 2, a sum of 7 float64 false");
    }
}
