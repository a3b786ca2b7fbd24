//! A world in which one rank misbehaves on purpose, to see what the others make of it.

use crate::communicator::{CollectiveError, Communicator, Values};

/// What a rank does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It leaves without a word, as a process does that is killed.
    Leaves,
    /// It sums one element less than it was asked for.
    MiscountsByOne,
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

    /// The world for the next call, and whether that call is to be the wrong one.
    fn next(&mut self) -> Result<(&mut dyn Communicator, bool), CollectiveError> {
        let now = self.before == Some(0);
        self.before = self.before.and_then(|before| before.checked_sub(1));
        if now {
            match self.fault {
                Fault::Leaves => self.world = None,
                Fault::MiscountsByOne => (),
            }
        }
        match &mut self.world {
            Some(world) => Ok((world.as_mut(), now)),
            None => Err(CollectiveError::Unsupported {
                what: format!("rank {} has left on purpose", self.rank),
            }),
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
        let miscounts = self.fault == Fault::MiscountsByOne;
        let (world, now) = self.next()?;
        let less = usize::from(now && miscounts).min(values.len());
        let count = values.len() - less;
        world.all_reduce_sum(match values {
            Values::F32(values) => Values::F32(&mut values[..count]),
            Values::F64(values) => Values::F64(&mut values[..count]),
            Values::U64(values) => Values::U64(&mut values[..count]),
        })
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.next()?.0.all_gather(mine)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        self.next()?.0.exchange(peer, send, receive)
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        self.next()?.0.duplicate()
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.next()?.0.barrier()
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.next()?.0.leave()
    }
}
