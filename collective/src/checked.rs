//! A world whose ranks say what they are about to do before they do it.
//!
//! Ranks that call different collectives, or the same with another count or type, wait for each
//! other for ever, or worse: they exchange wrong bytes and go on. In a [`Checked`] world every call
//! begins with an all-gather of 16 bytes, and ranks that differ are named before anything can hang:
//!
//! ```text
//!  byte  0          1        2      4           8                16
//!        +----------+--------+------+-----------+-----------------+
//!        | operation| element| peer | call, u32 | count, u64      |   little-endian
//!        +----------+--------+------+-----------+-----------------+
//! ```
//!
//! A rank that does not call at all cannot be seen from here; the heartbeats of the control
//! connection show where it is. Each call costs one small all-gather more, so this is a switch
//! (`--check_collectives`), and on in the tests.

use std::fmt;
use std::sync::Arc;

use crate::calls::{CallKind, Element, Operation, Trail};
use crate::communicator::{CollectiveError, Communicator, Values};
use crate::groups::{groups, named};

/// A world that checks every call of another before passing it on.
pub struct Checked {
    world: Box<dyn Communicator>,
    /// Calls so far, counted from 0.
    calls: u32,
}

impl Checked {
    /// Wraps `world`; all of its ranks must do so.
    pub fn new(world: Box<dyn Communicator>) -> Self {
        Self { world, calls: 0 }
    }

    /// Tells all ranks what this one is about to do, and hears what they are.
    fn announce(
        &mut self,
        operation: Operation,
        element: Element,
        peer: usize,
        count: usize,
    ) -> Result<(), CollectiveError> {
        let mine =
            Call { operation, element, peer: peer as u16, number: self.calls, count: count as u64 };
        self.calls = self.calls.wrapping_add(1);
        let everyone = self.world.all_gather(&mine.to_bytes())?;
        let calls = everyone
            .iter()
            .enumerate()
            .map(|(rank, bytes)| Call::from_bytes(bytes).ok_or_else(|| unread(rank, bytes)));
        verdict(&calls.collect::<Result<Vec<_>, _>>()?)
    }
}

/// What a rank is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Call {
    operation: Operation,
    element: Element,
    /// The partner of an exchange; 0 in all other calls.
    peer: u16,
    /// How many calls came before.
    number: u32,
    /// Elements; 0 where ranks may differ (an all-gather) or have none.
    count: u64,
}

impl Call {
    fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[0] = self.operation as u8;
        bytes[1] = self.element as u8;
        bytes[2..4].copy_from_slice(&self.peer.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.number.to_le_bytes());
        bytes[8..].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// `None` for bytes that no announcement consists of.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        use {Element as E, Operation as O};
        let bytes: &[u8; 16] = bytes.try_into().ok()?;
        let operations = [O::Sum, O::Gather, O::Exchange, O::Duplicate, O::Barrier, O::Leave];
        let elements = [E::Nothing, E::F32, E::F64, E::U64, E::Byte];
        let [_, _, p0, p1, n0, n1, n2, n3, count @ ..] = *bytes;
        Some(Self {
            operation: operations.into_iter().find(|known| *known as u8 == bytes[0])?,
            element: elements.into_iter().find(|known| *known as u8 == bytes[1])?,
            peer: u16::from_le_bytes([p0, p1]),
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            count: u64::from_le_bytes(count),
        })
    }

    /// The part that must be equal on all ranks: partners differ, and each pair has its own count.
    fn common(mut self) -> Self {
        if self.operation == Operation::Exchange {
            self.peer = 0;
            self.count = 0;
        }
        self
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, element, count, number, .. } = *self;
        write!(f, "in call {number}, {}", CallKind { operation, element, count })
    }
}

fn unread(rank: usize, bytes: &[u8]) -> CollectiveError {
    CollectiveError::Mismatch {
        rank,
        found: format!("{} bytes that announce no call", bytes.len()),
        expected: "the 16 bytes of a world with --check_collectives".to_owned(),
    }
}

/// Whether ranks whose next calls are `calls` (indexed by rank) may go on.
fn verdict(calls: &[Call]) -> Result<(), CollectiveError> {
    let common: Vec<Call> = calls.iter().map(|call| call.common()).collect();
    let groups = groups(&common);
    if let [_, _, ..] = groups.as_slice() {
        let words: Vec<String> = groups
            .iter()
            .map(|group| {
                let verb = if group.ranks.len() == 1 { "is" } else { "are" };
                format!("{} {verb} {}", named(&group.ranks), group.says)
            })
            .collect();
        return Err(disagreement(words.join("; ")));
    }
    if calls.first().is_some_and(|call| call.operation == Operation::Exchange) {
        return pairs(calls);
    }
    Ok(())
}

/// Every rank of an exchange must be its partner's partner, with as many bytes.
fn pairs(calls: &[Call]) -> Result<(), CollectiveError> {
    for (rank, call) in calls.iter().enumerate() {
        let peer = usize::from(call.peer);
        let Some(other) = calls.get(peer) else {
            return Err(disagreement(format!(
                "rank {rank} exchanges with rank {peer}, which is not there"
            )));
        };
        if usize::from(other.peer) != rank {
            return Err(disagreement(format!(
                "in call {}, rank {rank} exchanges with rank {peer}, and that one with rank {}",
                call.number, other.peer
            )));
        }
        if other.count != call.count {
            return Err(disagreement(format!(
                "in call {}, rank {rank} exchanges {} bytes with rank {peer}, and that one {} bytes",
                call.number, call.count, other.count
            )));
        }
    }
    Ok(())
}

fn disagreement(groups: String) -> CollectiveError {
    CollectiveError::Disagreement { subject: "their next collective call".to_owned(), groups }
}

impl Communicator for Checked {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn world_size(&self) -> usize {
        self.world.world_size()
    }

    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        self.announce(Operation::Sum, values.element(), 0, values.len())?;
        self.world.all_reduce_sum(values)
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.announce(Operation::Gather, Element::Byte, 0, 0)?;
        self.world.all_gather(mine)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        self.announce(Operation::Exchange, Element::Byte, peer, send.len())?;
        self.world.exchange(peer, send, receive)
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        self.announce(Operation::Duplicate, Element::Nothing, 0, 0)?;
        Ok(Box::new(Self::new(self.world.duplicate()?)))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.announce(Operation::Barrier, Element::Nothing, 0, 0)?;
        self.world.barrier()
    }

    fn begin_trail(&mut self) -> Option<Arc<Trail>> {
        self.world.begin_trail()
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.announce(Operation::Leave, Element::Nothing, 0, 0)?;
        self.world.leave()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(number: u32, element: Element, count: u64) -> Call {
        Call { operation: Operation::Sum, element, peer: 0, number, count }
    }

    fn said(calls: &[Call]) -> String {
        verdict(calls).unwrap_err().to_string()
    }

    #[test]
    fn whoever_differs_is_named() {
        let right = sum(17, Element::F32, 1000);
        assert!(verdict(&[right; 4]).is_ok());
        assert_eq!(
            said(&[right, sum(17, Element::F32, 999), right, right]),
            "ranks disagree on their next collective call: rank 1 is in call 17, a sum of 999 \
             float32; ranks 0 and 2-3 are in call 17, a sum of 1000 float32"
        );
        let barrier =
            Call { operation: Operation::Barrier, element: Element::Nothing, count: 0, ..right };
        assert_eq!(
            said(&[right, barrier]),
            "ranks disagree on their next collective call: rank 0 is in call 17, a sum of 1000 \
             float32; rank 1 is in call 17, a barrier"
        );
    }

    #[test]
    fn partners_must_name_each_other() {
        let with = |peer, count| Call {
            operation: Operation::Exchange,
            element: Element::Byte,
            peer,
            number: 3,
            count,
        };
        assert!(verdict(&[with(1, 8), with(0, 8), with(2, 5)]).is_ok());
        let refused = [
            said(&[with(1, 8), with(2, 8), with(0, 8)]),
            said(&[with(1, 8), with(0, 9)]),
            said(&[with(7, 8), with(0, 8)]),
        ];
        let stem = "ranks disagree on their next collective call: ";
        assert_eq!(
            refused.map(|text| text.trim_start_matches(stem).to_owned()),
            [
                "in call 3, rank 0 exchanges with rank 1, and that one with rank 2",
                "in call 3, rank 0 exchanges 8 bytes with rank 1, and that one 9 bytes",
                "rank 0 exchanges with rank 7, which is not there",
            ]
        );
    }

    proptest! {
        #[test]
        fn announcements_survive_their_journey(
            operation in 1_u8..=6, element in 0_u8..=4, rest in any::<(u16, u32, u64)>()
        ) {
            let mut bytes = [0; 16];
            (bytes[0], bytes[1]) = (operation, element);
            bytes[2..4].copy_from_slice(&rest.0.to_le_bytes());
            bytes[4..8].copy_from_slice(&rest.1.to_le_bytes());
            bytes[8..].copy_from_slice(&rest.2.to_le_bytes());
            let call = Call::from_bytes(&bytes).unwrap();
            prop_assert_eq!((call.peer, call.number, call.count), rest);
            prop_assert_eq!(call.to_bytes(), bytes);
        }

        #[test]
        fn foreign_bytes_are_no_announcement(operation in 7_u8.., length in 0_usize..40) {
            prop_assert_eq!(Call::from_bytes(&vec![operation; length]), None);
        }
    }
}
