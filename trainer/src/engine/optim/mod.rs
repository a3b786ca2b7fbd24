//! Optimisers: what a gradient does to the parameters.

pub mod sgd;
