//! One optimiser step: the walk through the program ([`step`]), and the two networks that work in it.

pub mod forward_backward;
#[allow(clippy::module_inception)] // the walk bears the name of its room
pub mod step;
pub mod teacher;
