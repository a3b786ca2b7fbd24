//! A world in which one rank misbehaves on purpose, to see what the others make of it.

use crate::communicator::{CollectiveError, Communicator, Values};

/// What a rank does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It leaves without a word, as a process does that is killed.
    Leaves,
    /// It sums one element less than it was asked for.
    MiscountsByOne,
    /// It goes on as if a call had been made, which it has not.
    LeavesOut,
    /// It comes to a barrier instead.
    CallsAnother,
}

/// A world whose rank commits one [`Fault`], once, when its `before` calls have gone well.
pub struct Faulty {
    /// Nothing once the rank has left.
    world: Option<Box<dyn Communicator>>,
    rank: usize,
    world_size: usize,
    fault: Fault,
    /// Calls that still go well; nothing once the fault was committed.
    before: Option<usize>,
}

impl Faulty {
    /// Wraps `world`, the rank that is to fail; the other ranks keep theirs as they are.
    pub fn new(world: Box<dyn Communicator>, fault: Fault, before: usize) -> Self {
        let (rank, world_size) = (world.rank(), world.world_size());
        Self { world: Some(world), rank, world_size, fault, before: Some(before) }
    }

    /// The world for the next call, and the fault that this call is to have.
    fn next(&mut self) -> Result<(&mut dyn Communicator, Option<Fault>), CollectiveError> {
        let fault = (self.before == Some(0)).then_some(self.fault);
        self.before = self.before.and_then(|before| before.checked_sub(1));
        if fault == Some(Fault::Leaves) {
            self.world = None;
        }
        match &mut self.world {
            Some(world) => Ok((world.as_mut(), fault)),
            None => Err(CollectiveError::Unsupported {
                what: format!("rank {} has left on purpose", self.rank),
            }),
        }
    }

    /// The world for a call that moves something, or nothing where that call is left out or another one was made.
    fn for_call(&mut self) -> Result<Option<&mut dyn Communicator>, CollectiveError> {
        let (world, fault) = self.next()?;
        match fault {
            Some(Fault::LeavesOut) => Ok(None),
            Some(Fault::CallsAnother) => world.barrier().map(|()| None),
            _ => Ok(Some(world)),
        }
    }
}

impl Communicator for Faulty {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.world_size
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        let (world, fault) = self.next()?;
        let count = match fault {
            Some(Fault::LeavesOut) => return Ok(()),
            Some(Fault::CallsAnother) => return world.barrier(),
            Some(Fault::MiscountsByOne) => values.len().saturating_sub(1),
            Some(Fault::Leaves) | None => values.len(),
        };
        world.all_reduce_sum(match values {
            Values::F32(values) => Values::F32(&mut values[..count]),
            Values::F64(values) => Values::F64(&mut values[..count]),
            Values::U64(values) => Values::U64(&mut values[..count]),
        })
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        let all = vec![mine.to_vec(); self.world_size];
        self.for_call()?.map_or(Ok(all), |world| world.all_gather(mine))
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        self.for_call()?.map_or(Ok(()), |world| world.exchange(peer, send, receive))
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        self.next()?.0.duplicate()
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.for_call()?.map_or(Ok(()), Communicator::barrier)
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.next()?.0.leave()
    }
}
