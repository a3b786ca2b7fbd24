//! What is shown when training or an evaluation has ended.

pub mod table;
