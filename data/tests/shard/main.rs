//! Sets of shards: what is written is what is read, and what is damaged is named.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail there")]

mod corrupt;
mod ecosystem;
mod foreign;
mod hostile;
mod reading;
mod shrinking;
mod stage;
