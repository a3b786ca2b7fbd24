//! The two ways in which training makes one gradient of all logical ranks'.

use std::fmt;

use lcsl_collective::order::Order;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// In the shape of one tree, after the backward pass (`--deterministic`).
    Ordered,
    /// Bucket by bucket, while the backward pass goes on: what training does unless told otherwise.
    Overlapped,
}

impl Reduction {
    pub(crate) const ALL: [Self; 2] = [Self::Ordered, Self::Overlapped];

    /// Those that a world of `size` ranks has. The tree exists for powers of two.
    pub(crate) fn of_world(size: usize) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |it| *it == Self::Overlapped || size.is_power_of_two())
    }

    /// What the reducer is asked for.
    pub(crate) fn order(self) -> Order {
        if self == Self::Ordered { Order::Tree } else { Order::Library }
    }
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Ordered { "ordered" } else { "overlapped" })
    }
}
