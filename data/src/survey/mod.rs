//! What is inside a prepared dataset: `lcsl data inspect`.
//!
//! [`counts`]: images per class, and what they say. [`open`]: the numbers of each split. [`sheet`]:
//! a picture of the largest and the smallest classes.

pub mod counts;
pub mod open;
pub mod sheet;
