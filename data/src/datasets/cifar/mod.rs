//! CIFAR-10 and CIFAR-100 (Krizhevsky, "Learning multiple layers of features from tiny images",
//! 2009): 50,000 training and 10,000 test photographs each, 32 by 32, in colour.
//!
//! Only the official binary form is read, from its folder or from the archive as it was downloaded.
//! `forms` says which files there are, `records` what is in them, `source` how they are
//! reached and `open` puts them together.

mod forms;
mod open;
mod records;
mod source;
#[cfg(test)]
mod tests;

pub use forms::{CIFAR10, CIFAR100, CifarFormat};
pub use open::open;
pub(super) use records::SHAPE;
pub use records::decode;
