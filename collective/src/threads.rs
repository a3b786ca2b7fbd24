//! A world of n ranks in one process: what is tested here on threads runs unchanged under MPI.
//!
//! Every pair of ranks has a channel in each direction. A message carries the name of the operation
//! it belongs to, so that ranks which call different collectives are told so instead of waiting for
//! ever; a rank that returns or panics drops its ends, and those who wait for it get
//! [`CollectiveError::PeerGone`].

use std::sync::mpsc::{Receiver, Sender, channel};

use crate::communicator::{CollectiveError, Communicator, Values};

struct Message {
    operation: &'static str,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    /// The sending end of a channel to the rank that sends it, for a duplicate of the world.
    Channel(Sender<Message>),
}

const DUPLICATION: &str = "a duplication of the world";

/// One rank of a world of threads. Made by [`world`].
pub struct ThreadRank {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

/// Makes a world of `size` ranks; give each to a thread of its own.
///
/// ```
/// use lcsl_collective::{Communicator, Values, threads};
///
/// let ranks = threads::world(3).into_iter().map(|mut world| {
///     std::thread::spawn(move || {
///         let mut mine = [world.rank() as f64, 1.0];
///         world.all_reduce_sum(Values::F64(&mut mine)).unwrap();
///         mine
///     })
/// });
/// for rank in ranks.collect::<Vec<_>>() {
///     assert_eq!(rank.join().unwrap(), [0.0 + 1.0 + 2.0, 3.0]);
/// }
/// ```
pub fn world(size: usize) -> Vec<ThreadRank> {
    let mut to: Vec<Vec<Sender<Message>>> = (0..size).map(|_| Vec::new()).collect();
    let mut from: Vec<Vec<Receiver<Message>>> = (0..size).map(|_| Vec::new()).collect();
    for sends in &mut to {
        for receives in &mut from {
            let (sending_end, receiving_end) = channel();
            sends.push(sending_end);
            receives.push(receiving_end);
        }
    }
    to.into_iter()
        .zip(from)
        .enumerate()
        .map(|(rank, (to, from))| ThreadRank { rank, to, from })
        .collect()
}

impl ThreadRank {
    fn send(
        &self,
        peer: usize,
        operation: &'static str,
        content: Content,
    ) -> Result<(), CollectiveError> {
        self.to[peer]
            .send(Message { operation, content })
            .map_err(|_| CollectiveError::PeerGone { rank: peer, operation })
    }

    fn receive(&self, peer: usize, operation: &'static str) -> Result<Content, CollectiveError> {
        let message = self.from[peer]
            .recv()
            .map_err(|_| CollectiveError::PeerGone { rank: peer, operation })?;
        if message.operation == operation {
            return Ok(message.content);
        }
        Err(CollectiveError::Mismatch {
            rank: peer,
            found: message.operation.to_owned(),
            expected: operation.to_owned(),
        })
    }

    fn receive_bytes(
        &self,
        peer: usize,
        operation: &'static str,
    ) -> Result<Vec<u8>, CollectiveError> {
        match self.receive(peer, operation)? {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Channel(_) => unreachable!("only {DUPLICATION} sends channels"),
        }
    }

    fn gather(
        &self,
        operation: &'static str,
        mine: &[u8],
    ) -> Result<Vec<Vec<u8>>, CollectiveError> {
        for peer in (0..self.to.len()).filter(|peer| *peer != self.rank) {
            self.send(peer, operation, Content::Bytes(mine.to_vec()))?;
        }
        (0..self.to.len())
            .map(|peer| {
                if peer == self.rank {
                    Ok(mine.to_vec())
                } else {
                    self.receive_bytes(peer, operation)
                }
            })
            .collect()
    }
}

impl Communicator for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world_size(&self) -> usize {
        self.to.len()
    }

    fn all_reduce_sum(&mut self, mut values: Values<'_>) -> Result<(), CollectiveError> {
        let operation = match &values {
            Values::F32(_) => "a sum of float32",
            Values::F64(_) => "a sum of float64",
            Values::U64(_) => "a sum of counts",
        };
        let everyone = self.gather(operation, values.as_bytes())?;
        match &mut values {
            Values::F32(v) => v.fill(0.0),
            Values::F64(v) => v.fill(0.0),
            Values::U64(v) => v.fill(0),
        }
        for (rank, bytes) in everyone.iter().enumerate() {
            values.add_bytes(bytes, rank)?;
        }
        Ok(())
    }

    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.gather("an all-gather", mine)
    }

    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        if peer >= self.to.len() {
            return Err(CollectiveError::Unsupported {
                what: format!(
                    "rank {} cannot exchange with rank {peer} of {}",
                    self.rank,
                    self.to.len()
                ),
            });
        }
        self.send(peer, "an exchange", Content::Bytes(send.to_vec()))?;
        let bytes = self.receive_bytes(peer, "an exchange")?;
        if bytes.len() != receive.len() {
            return Err(CollectiveError::Mismatch {
                rank: peer,
                found: format!("{} bytes", bytes.len()),
                expected: format!("{} bytes", receive.len()),
            });
        }
        receive.copy_from_slice(&bytes);
        Ok(())
    }

    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        let mut from = Vec::with_capacity(self.to.len());
        for peer in 0..self.to.len() {
            let (sending_end, receiving_end) = channel();
            self.send(peer, DUPLICATION, Content::Channel(sending_end))?;
            from.push(receiving_end);
        }
        let to = (0..self.to.len()).map(|peer| match self.receive(peer, DUPLICATION)? {
            Content::Channel(sending_end) => Ok(sending_end),
            Content::Bytes(_) => unreachable!("{DUPLICATION} sends nothing but channels"),
        });
        let to = to.collect::<Result<_, CollectiveError>>()?;
        Ok(Box::new(Self { rank: self.rank, to, from }))
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.gather("a barrier", &[]).map(|_| ())
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.barrier()
    }
}
