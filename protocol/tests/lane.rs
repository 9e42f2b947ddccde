//! How many rounds to run, from which seed, and the line that says so.

use drawbridge_protocol::entropy::Entropy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// `quick` rounds, or `full` with `DRAWBRIDGE_LANE=full`.
fn is_full() -> bool {
    std::env::var("DRAWBRIDGE_LANE").is_ok_and(|lane| lane == "full")
}

/// `DRAWBRIDGE_SEED`, or one that is the same every time: a run that fails can be repeated.
pub(crate) fn seed() -> u64 {
    match std::env::var("DRAWBRIDGE_SEED") {
        Ok(text) if !text.is_empty() => text
            .parse()
            .unwrap_or_else(|_| panic!("DRAWBRIDGE_SEED={text} is no decimal number")),
        _ => 7,
    }
}

/// The number of rounds of this lane for a check that runs `full` rounds at its largest; prints
/// the `COUNT` line when dropped without a panic.
pub(crate) struct Rounds {
    name: &'static str,
    pub(crate) run: u64,
    full: u64,
}

impl Rounds {
    pub(crate) fn of(name: &'static str, quick: u64, full: u64) -> Self {
        assert!(
            quick > 0 && quick * 50 >= full,
            "a quick lane is at least 2 %"
        );
        let run = if is_full() { full } else { quick };
        Self { name, run, full }
    }
}

impl Drop for Rounds {
    fn drop(&mut self) {
        let Self { name, run, full } = self;
        if std::thread::panicking() {
            eprintln!("{name} failed; repeat with DRAWBRIDGE_SEED={}", seed());
        } else {
            let lane = if is_full() { "full" } else { "quick" };
            println!("COUNT {name} {lane} {run} of {full} seed {}", seed());
        }
    }
}

/// A proptest runner with the seed of this run, so that a failure names all that repeats it.
pub(crate) fn runner(rounds: &Rounds) -> TestRunner {
    let mut bytes = [0; 32];
    Dice::new(rounds.name).fill(&mut bytes);
    let config = Config {
        cases: u32::try_from(rounds.run).expect("a number of cases"),
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// splitmix64 (Steele, Lea, Flood 2014), started from the seed and the name of the check.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(name: &str) -> Self {
        let start = name
            .bytes()
            .fold(seed(), |all, byte| all.rotate_left(9) ^ u64::from(byte));
        Self(start)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

impl Entropy for Dice {
    fn fill(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.next() as u8;
        }
    }
}
