//! Many runs that belong together: a file of rows, a grid and seeds ([`plan`]), what their figures say together
//! ([`statistics`]), and how that is shown ([`table`]). Pure; `commands/sweep.rs` trains.

pub mod plan;
pub mod statistics;
pub mod table;
