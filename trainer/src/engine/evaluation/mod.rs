//! Measuring a model: during a run, at its end, and afterwards for `lcsl eval` and `lcsl export`.

pub mod evaluate;
pub mod inspect;
