//! The worlds that need a foreign library.
//!
//! * [`mpi_world`]: ranks that Open MPI started, on one host or many.
//! * [`nccl`]: one GPU per rank.
//! * [`pages`]: memory that ranks of one host read from each other faster.
//! * [`measure`]: how long a sum takes, beside a bare call of MPI.
//!
//! A crate of its own, because the launcher must never link MPI: cargo unifies features over a
//! workspace, but a crate that is not named is not linked. Only the trainer names this one.

#[cfg(feature = "mpi")]
pub mod measure;
#[cfg(feature = "mpi")]
pub mod mpi_world;
#[cfg(feature = "nccl")]
pub mod nccl;
#[cfg(feature = "mpi")]
mod open_mpi;
#[cfg(feature = "mpi")]
pub mod pages;

#[cfg(feature = "mpi")]
pub use mpi_world::MpiWorld;
#[cfg(feature = "nccl")]
pub use nccl::NcclWorld;
