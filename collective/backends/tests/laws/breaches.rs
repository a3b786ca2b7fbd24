//! Ranks that break their promise, and what every rank then hears.

use lcsl_collective::agreement::agree;
use lcsl_collective::faulty::{Fault, Faulty};
use lcsl_collective::{Checked, CollectiveError, Communicator, Values, threads};

/// A breach by rank 1 of three.
#[derive(Clone, Copy)]
pub(crate) struct Breach {
    pub(crate) name: &'static str,
    /// Whether calls are announced; without, only worlds of threads notice anything.
    checked: bool,
    fault: Option<Fault>,
    /// What each rank calls, after one barrier.
    call: fn(&mut dyn Communicator) -> Result<(), CollectiveError>,
    /// What each rank must hear, by rank; alternatives are separated by a bar.
    pub(crate) heard: [&'static str; SIZE],
    /// Whether it can be run under mpirun, where a rank that leaves ends all.
    pub(crate) under_mpirun: bool,
}

pub(crate) const SIZE: usize = 3;

const COUNT: &str = "ranks disagree on their next collective call: rank 1 is in call 1, a sum of 999 \
                     float32; ranks 0 and 2 are in call 1, a sum of 1000 float32";
const TYPE: &str = "ranks disagree on their next collective call: rank 1 is in call 1, a sum of 8 \
                    float64; ranks 0 and 2 are in call 1, a sum of 8 float32";
const OPERATION: &str = "ranks disagree on their next collective call: rank 1 is in call 1, an \
                         all-gather of bytes; ranks 0 and 2 are in call 1, a barrier";
const EXCHANGE: &str = "ranks disagree on their next collective call: rank 1 is in call 1, an \
                        exchange of bytes; ranks 0 and 2 are in call 1, a sum of 1 float32";
const LEFT_OUT: &str = "ranks disagree on their next collective call: rank 1 is in call 1, an \
                        all-gather of bytes; ranks 0 and 2 are in call 1, a sum of 1000 float32";
const ANOTHER: &str = "ranks disagree on their next collective call: rank 1 is in call 1, a \
                       barrier; ranks 0 and 2 are in call 1, a sum of 1000 float32";
const VERSION: &str = "ranks disagree on the version of lcsl-rank: rank 1 has 0.2.0; ranks 0 and 2 \
                       have 0.1.0";

/// Whoever has missed rank 1 leaves too, and may be the first that another one misses.
const LEFT: &str = "rank 1 has left while a barrier waited for it|\
                    rank 0 has left while a barrier waited for it|\
                    rank 2 has left while a barrier waited for it";

pub(crate) const BREACHES: [Breach; 10] = [
    Breach {
        name: "a wrong count is named before it can hang",
        checked: true,
        fault: Some(Fault::MiscountsByOne),
        call: |world| world.all_reduce_sum(Values::F32(&mut [1.0; 1000])),
        heard: [COUNT; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a wrong type is named",
        checked: true,
        fault: None,
        call: |world| match world.rank() {
            1 => world.all_reduce_sum(Values::F64(&mut [1.0; 8])),
            _ => world.all_reduce_sum(Values::F32(&mut [1.0; 8])),
        },
        heard: [TYPE; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a wrong operation is named",
        checked: true,
        fault: None,
        call: |world| match world.rank() {
            1 => world.all_gather(&[1, 2, 3]).map(|_| ()),
            _ => world.barrier(),
        },
        heard: [OPERATION; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a call that is left out is named",
        checked: true,
        fault: Some(Fault::LeavesOut),
        call: |world| {
            world.all_reduce_sum(Values::F32(&mut [1.0; 1000]))?;
            world.all_gather(&[1, 2, 3]).map(|_| ())
        },
        heard: [LEFT_OUT; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "another call is named",
        checked: true,
        fault: Some(Fault::CallsAnother),
        call: |world| world.all_reduce_sum(Values::F32(&mut [1.0; 1000])),
        heard: [ANOTHER; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a partner who does something else is named",
        checked: true,
        fault: None,
        call: |world| match world.rank() {
            1 => world.exchange(0, &[1], &mut [0]),
            _ => world.all_reduce_sum(Values::F32(&mut [1.0])),
        },
        heard: [EXCHANGE; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "another version is named",
        checked: false,
        fault: None,
        call: |world| {
            let version = if world.rank() == 1 { "0.2.0" } else { "0.1.0" };
            agree(world, "the version of lcsl-rank", version.as_bytes())
        },
        heard: [VERSION; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a rank that is slow is waited for",
        checked: true,
        fault: None,
        call: sum_after_the_others,
        heard: [""; SIZE],
        under_mpirun: true,
    },
    Breach {
        name: "a rank that leaves is missed",
        checked: false,
        fault: Some(Fault::Leaves),
        call: |world| world.barrier(),
        heard: [LEFT, "rank 1 has left on purpose", LEFT],
        under_mpirun: false,
    },
    Breach {
        name: "a wrong count is noticed without announcements too",
        checked: false,
        fault: Some(Fault::MiscountsByOne),
        call: |world| world.all_reduce_sum(Values::U64(&mut [1; 4])),
        heard: [
            "rank 1 took part with 24 bytes where this rank has 32 bytes",
            "rank 0 took part with 32 bytes where this rank has 24 bytes",
            "rank 1 took part with 24 bytes where this rank has 32 bytes",
        ],
        under_mpirun: false,
    },
];

/// A sum to which rank 1 comes when all others have come to it.
fn sum_after_the_others(world: &mut dyn Communicator) -> Result<(), CollectiveError> {
    let is_late = world.rank() == 1;
    let mut others = world.duplicate()?;
    let mut wait = move || others.barrier().and_then(|()| others.leave());
    let mut sum = || world.all_reduce_sum(Values::F32(&mut [1.0; 10]));
    std::thread::scope(|scope| {
        if is_late {
            wait()?;
            return sum();
        }
        let released = scope.spawn(wait);
        sum()?;
        released.join().expect("a barrier does not panic")
    })
}

/// What this rank hears, or nothing when all goes well.
pub(crate) fn commit(breach: &Breach, world: Box<dyn Communicator>) -> String {
    let mut world = if breach.checked { Box::new(Checked::new(world)) } else { world };
    if let (1, Some(fault)) = (world.rank(), breach.fault) {
        world = Box::new(Faulty::new(world, fault, 1));
    }
    let done = world.barrier().and_then(|()| (breach.call)(world.as_mut()));
    done.map_or_else(|error| error.to_string(), |()| String::new())
}

pub(crate) fn on_threads(breach: &Breach) -> Result<(), String> {
    let ranks: Vec<_> = threads::world(SIZE)
        .into_iter()
        .map(|world| {
            let breach = *breach;
            std::thread::spawn(move || commit(&breach, Box::new(world)))
        })
        .collect();
    let heard: Vec<_> = ranks.into_iter().map(|rank| rank.join().unwrap_or_default()).collect();
    let mut pairs = breach.heard.iter().zip(&heard);
    let all_right = pairs.all(|(words, heard)| words.split('|').any(|word| word == heard));
    if all_right { Ok(()) } else { Err(format!("heard {heard:#?}")) }
}
