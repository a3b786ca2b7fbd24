//! Collective calls: what one is, and which of them a rank is in.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};

/// What ranks do together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Operation {
    /// All-reduce by addition.
    Sum = 1,
    /// All-gather.
    Gather,
    /// Pairs of ranks send to each other.
    Exchange,
    /// A further communicator.
    Duplicate,
    /// Nothing but waiting.
    Barrier,
    /// The end.
    Leave,
}

/// The type of what is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Element {
    /// Nothing is.
    Nothing,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Counts.
    U64,
    /// Bytes.
    Byte,
}

/// What a call moves, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallKind {
    /// What is done.
    pub operation: Operation,
    /// With what.
    pub element: Element,
    /// How many of them; 0 where ranks may differ (an all-gather), or have none.
    pub count: u64,
}

impl CallKind {
    /// A call of `count` elements.
    pub fn new(operation: Operation, element: Element, count: usize) -> Self {
        Self { operation, element, count: count as u64 }
    }
}

impl fmt::Display for CallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match self.element {
            Element::Nothing => "nothing",
            Element::F32 => "float32",
            Element::F64 => "float64",
            Element::U64 => "counts",
            Element::Byte => "bytes",
        };
        match self.operation {
            Operation::Sum => write!(f, "a sum of {} {element}", self.count),
            Operation::Gather => write!(f, "an all-gather of {element}"),
            Operation::Exchange => write!(f, "an exchange of {element}"),
            Operation::Duplicate => f.write_str("a duplication of the world"),
            Operation::Barrier => f.write_str("a barrier"),
            Operation::Leave => f.write_str("which leaves the world"),
        }
    }
}

/// How far a rank has come on one communicator, as its heartbeats tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStatus {
    /// Which communicator: they are numbered as they are made, which all ranks do in the same order.
    pub communicator: u32,
    /// The last call that was begun on it, counted from 1.
    pub number: u64,
    /// What that is.
    pub kind: CallKind,
    /// Whether the rank is still in it.
    pub waiting: bool,
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} of communicator {}, {}", self.number, self.communicator, self.kind)
    }
}

/// The calls of a rank on all of its communicators.
#[derive(Debug, Default)]
pub struct CallLog {
    made: Mutex<Vec<Weak<Trail>>>,
}

impl CallLog {
    /// The trail of a further communicator.
    pub fn begin(&self) -> Arc<Trail> {
        let mut made = unpoisoned(&self.made);
        let trail = Arc::new(Trail { communicator: made.len() as u32, last: Mutex::new(None) });
        made.push(Arc::downgrade(&trail));
        trail
    }

    /// Where the rank is on each communicator that is in use, and was used.
    pub fn status(&self) -> Vec<CallStatus> {
        let trails = unpoisoned(&self.made).clone();
        trails.iter().filter_map(|trail| *unpoisoned(&trail.upgrade()?.last)).collect()
    }
}

/// The calls of a rank on one communicator.
#[derive(Debug)]
pub struct Trail {
    communicator: u32,
    last: Mutex<Option<CallStatus>>,
}

impl Trail {
    /// The rank begins a call. It is in it until the returned value is dropped.
    pub fn enter(self: &Arc<Self>, kind: CallKind) -> InCall {
        let mut last = unpoisoned(&self.last);
        let number = last.map_or(1, |last| last.number + 1);
        *last = Some(CallStatus { communicator: self.communicator, number, kind, waiting: true });
        InCall(self.clone())
    }
}

/// A rank in a call.
#[derive(Debug)]
#[must_use]
pub struct InCall(Arc<Trail>);

impl Drop for InCall {
    fn drop(&mut self) {
        if let Some(last) = unpoisoned(&self.0.last).as_mut() {
            last.waiting = false;
        }
    }
}

/// Plain values are whole whatever happened to a thread that held them.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_which_call_a_rank_is_in() {
        let log = CallLog::default();
        let (first, second) = (log.begin(), log.begin());
        assert_eq!(log.status(), [], "nothing was called");
        drop(first.enter(CallKind::new(Operation::Gather, Element::Byte, 0)));
        let in_call = first.enter(CallKind::new(Operation::Sum, Element::F32, 1000));
        drop(second.enter(CallKind::new(Operation::Barrier, Element::Nothing, 0)));
        let said: Vec<String> = log.status().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "call 2 of communicator 0, a sum of 1000 float32",
                "call 1 of communicator 1, a barrier"
            ]
        );
        assert_eq!(log.status().iter().map(|it| it.waiting).collect::<Vec<_>>(), [true, false]);
        drop((in_call, second));
        assert!(matches!(log.status()[..], [CallStatus { waiting: false, number: 2, .. }]));
    }
}
