//! How ranks talk: to each other, and to the launcher that started them.
//!
//! In the order in which a newcomer should read:
//!
//! * [`communicator`]: the one trait that every world implements, and the errors of a collective
//!   call.
//! * [`solo`]: the world of one rank, in which every collective is the identity.
//! * [`threads`]: a world of n ranks in one process, for tests of everything that is distributed.
//! * [`calls`], [`traced`]: collective calls, and a world whose ranks remember which one they are in.
//! * [`checked`]: a world whose ranks say what they are about to do before they do it.
//! * [`faulty`]: a world in which one rank misbehaves on purpose.
//! * [`delayed`]: a world whose sums take longer.
//! * [`agreement`], [`placement`]: what ranks compare before they begin.
//! * [`buckets`]: which gradients are summed together, and when.
//! * [`order`]: sums whose result does not depend on how many ranks share the work.
//! * [`control`]: the connection of a rank to its launcher: who I am, how far I am, what went
//!   wrong, please stop.
//!
//! The MPI world lives in the crate `lcsl-backends`, so that the launcher, which needs only
//! [`control`], never links MPI. This crate is pure Rust. It must not know what an image, a label
//! or a tensor is: it moves slices of numbers and bytes.

pub mod agreement;
pub mod buckets;
pub mod calls;
pub mod checked;
pub mod communicator;
pub mod control;
pub mod delayed;
pub mod faulty;
mod groups;
pub mod order;
pub mod placement;
pub mod solo;
pub mod threads;
pub mod traced;

pub use checked::Checked;
pub use communicator::{CollectiveError, Communicator, Values};
pub use traced::Traced;
