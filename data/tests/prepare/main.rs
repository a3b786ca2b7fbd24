//! Whole preparations of small datasets: what is stored, what is refused, and what is left after an
//! interruption.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its stage has to fail there")]

mod arrays;
mod folder;
mod hold_out;
mod imagenet_lt;
mod images;
mod inaturalist;
mod interruptions;
mod places_lt;
mod stage;
mod staging;
mod unreadable;
mod verification;
