//! Many runs that belong together: a file of rows, a grid and seeds ([`plan`]), what their figures say together
//! ([`statistics`]), how that is shown ([`table`]), and what is remembered for other machines ([`record`]). Pure, but
//! for [`code`], which asks git; `commands/sweep.rs` trains.

pub mod code;
pub mod plan;
pub mod record;
pub mod statistics;
pub mod table;
