//! Whether all ranks still hold the same state, to the bit.
//!
//! Every rank makes the same optimiser step from the same gradient, so weights, momentum, teacher and
//! ledger are equal everywhere without ever being sent. A bit that flips in the memory of one host
//! would break this silently: from then on that rank teaches all others from another network. So the
//! ranks compare digests now and then, and always before a checkpoint.

use lcsl_collective::agreement::agree;
use lcsl_collective::{CollectiveError, Communicator};
use tch::Tensor;

use crate::admission::Ledger;

use crate::engine::run::digest;
use crate::engine::run::state::TrainState;

type Digest = [u8; 32];

/// Compares the state of all ranks: 32 bytes from each while they are equal. Where they are not, the
/// digests of all tensors follow, and the error names the first tensor that differs and the ranks
/// that hold it otherwise; of two ranks, both. Collective.
///
/// # Errors
/// [`CollectiveError::Disagreement`] on every rank, in the same words; else what the world reports.
pub fn compare(
    world: &mut dyn Communicator,
    state: &TrainState<'_>,
    ledger: &Ledger,
) -> Result<(), CollectiveError> {
    if world.world_size() == 1 {
        return Ok(());
    }
    let parts = digests(state, ledger);
    let whole = parts.iter().fold(blake3::Hasher::new(), |mut hasher, (name, digest)| {
        hasher.update(name.as_bytes()).update(digest);
        hasher
    });
    let unequal = match agree(world, "the state of training", whole.finalize().as_bytes()) {
        Err(unequal @ CollectiveError::Disagreement { .. }) => unequal,
        other => return other,
    };
    // Which parts there are may differ too (a teacher here and none there); then no list fits another.
    agree(world, "the number of tensors", parts.len().to_string().as_bytes())?;
    let mine: Vec<u8> = parts.iter().flat_map(|(_, digest)| *digest).collect();
    let everyone = world.all_gather(&mine)?;
    let differs = |place: usize| {
        let at = place * size_of::<Digest>()..(place + 1) * size_of::<Digest>();
        everyone.iter().any(|one| one.get(at.clone()) != everyone[0].get(at.clone()))
    };
    let differing: Vec<usize> = (0..parts.len()).filter(|place| differs(*place)).collect();
    let Some(first) = differing.first() else { return Err(unequal) };
    let others = match differing.len() - 1 {
        0 => String::new(),
        1 => " (and one other)".to_owned(),
        count => format!(" (and {count} others)"),
    };
    let (name, digest) = &parts[*first];
    agree(world, &format!("{name}{others}"), digest)?;
    Err(unequal)
}

/// Every part of the state with its digest, in the same order on all ranks.
fn digests(state: &TrainState<'_>, ledger: &Ledger) -> Vec<(String, Digest)> {
    let compared = state.tensors().into_iter().filter(|it| it.compared);
    let of = |tensor: &Tensor| blake3::hash(&digest::bytes(tensor)).into();
    let mut parts: Vec<(String, Digest)> = compared.map(|it| (it.name, of(&it.tensor))).collect();
    let ledger = serde_json::to_vec(ledger).expect("a ledger is plain lists");
    parts.push(("the admission ledger".to_owned(), blake3::hash(&ledger).into()));
    parts
}

#[cfg(test)]
mod tests {
    use lcsl_collective::threads;
    use lcsl_config::{Initialisation, ModelName};
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::weights::{Role, initialise};
    use crate::engine::network::{Network, zoo};
    use crate::engine::optim::Moments;
    use crate::engine::step::teacher::Teacher;

    fn network() -> Network {
        let architecture = zoo::architecture(ModelName::Resnet20, 10, 28);
        let mut network = Network::zeros(&architecture, Kind::Float, Device::Cpu, false);
        initialise(&mut network, Initialisation::KaimingNormalFanIn, 1, Role::Student);
        network
    }

    /// What each of `ranks` ranks says after `spoil` has had its way with the state of each.
    fn said(ranks: usize, spoil: fn(usize, &mut Network, &mut Tensor, &mut Ledger)) -> Vec<String> {
        let worlds = threads::world(ranks).into_iter().enumerate();
        let ranks: Vec<_> = worlds
            .map(|(rank, mut world)| {
                std::thread::spawn(move || {
                    let (mut student, mut ledger) = (network(), Ledger::new(10));
                    let teacher = Teacher::of(&student, true);
                    let mut velocity = student.parameters.buffer.zeros_like();
                    spoil(rank, &mut student, &mut velocity, &mut ledger);
                    let (student, velocity) = (&student, &velocity);
                    let (best, teacher) = (Some(student), Some(&teacher));
                    let moments = Moments { flat: vec![("momentum", velocity)], steps: None };
                    let state =
                        TrainState { student, average: None, moments, best, latest: None, teacher };
                    let compared = compare(&mut world, &state, &ledger);
                    compared.map_or_else(|error| error.to_string(), |()| "all alike".to_owned())
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    }

    /// The number at `place` with its lowest bit flipped, in place.
    fn flip_a_bit(tensor: &Tensor, place: i64) {
        let mut at = tensor.view([-1]).get(place);
        let flipped = f32::from_bits((at.double_value(&[]) as f32).to_bits() ^ 1);
        at.copy_(&Tensor::from(flipped));
    }

    #[test]
    fn equal_states_are_alike() {
        assert_eq!(said(3, |_, _, _, _| ()), ["all alike"; 3]);
    }

    #[test]
    fn a_flipped_bit_is_named_with_its_tensor_and_rank() {
        let words = said(3, |rank, _, velocity, _| {
            if rank == 1 {
                flip_a_bit(velocity, 0);
            }
        });
        assert!(words.iter().all(|word| *word == words[0]), "{words:#?}");
        let expected = "ranks disagree on momentum.conv1.weight: rank 1 has ";
        assert!(words[0].starts_with(expected), "{}", words[0]);
        assert!(words[0].contains("; ranks 0 and 2 have "), "{}", words[0]);
    }

    #[test]
    fn of_two_ranks_both_are_named() {
        let words = said(2, |rank, student, _, _| {
            if rank == 1 {
                flip_a_bit(student.classifier_weight(), 3);
            }
        });
        // `best` shares its memory with the student here, so it is spoilt with it.
        let expected = "ranks disagree on best.fc.weight (and one other): rank 0 has ";
        assert!(words.iter().all(|word| word.starts_with(expected)), "{words:#?}");
        assert!(words[0].contains("; rank 1 has "), "{}", words[0]);
    }

    #[test]
    fn a_ledger_that_differs_is_named() {
        let words = said(3, |rank, _, _, ledger| ledger.tokens[4] += u64::from(rank == 2));
        let expected = "ranks disagree on the admission ledger: rank 2 has ";
        assert!(words.iter().all(|word| word.starts_with(expected)), "{words:#?}");
    }
}
