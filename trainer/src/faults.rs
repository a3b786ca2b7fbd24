//! What may go wrong on demand, in tests that watch a run die: a rank that panics, one that a library ends by `exit`,
//! one that computes for ever, one that leaves a collective call out or makes another one, one whose clock is off.
//! Nothing from outside can bring these about, as a signal can be sent. `lcsl-rank` has none of them; the program
//! `examples/faulty-rank.rs`, which only tests and `bench/hangs.sh` start, is the same with them.

use lcsl_collective::Communicator;

/// Where a program of ranks lets something go wrong.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// Called with the rank and the optimiser steps made, before each step.
    pub before_step: fn(usize, u64),
    /// By how many seconds the clock of a rank is said to be ahead.
    pub clock_off_seconds: fn(usize) -> i64,
    /// The world that a rank works in, made of the one that it has joined.
    pub world: fn(Box<dyn Communicator>) -> Box<dyn Communicator>,
}

impl Faults {
    /// Nothing goes wrong by itself.
    pub const NONE: Self =
        Self { before_step: |_, _| (), clock_off_seconds: |_| 0, world: |world| world };
}
