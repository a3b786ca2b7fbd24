//! What is shown when training or an evaluation has ended.

pub mod csv;
pub mod table;
