//! What is shown when training or an evaluation has ended.

pub mod figures;
pub mod table;
