//! F13, I4, I5: the critical store under a power cut at every flash operation.
//!
//! Guards against what general key-value stores did under torn writes: an acknowledged item was gone after the
//! next boot (sequential-storage #136), or the store did not mount at all; and against a half-applied batch, which on
//! a lock is a new owner beside the old one's keys.

use std::collections::BTreeMap;

use crate::lane::{Lane, print_states};
use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{Flash, FlashError, Region};
use drawbridge_lock::store::{Change, RecordStore, StoreError};

type Device = Nor<2048>;
type Records = BTreeMap<u16, Vec<u8>>;

/// The store lives behind another region's page, so that an address that forgets its region shows.
const FIRST: u32 = 1;
const PAGES: u32 = 4;

#[derive(Clone)]
enum Step {
    Put(u16, Vec<u8>),
    Erase(u16),
}

/// 12 bytes of every value are its own, and found nowhere else: what a search of the raw cells goes by.
fn secret(key: u16, version: u32, len: usize) -> Vec<u8> {
    let mut state =
        (u64::from(key) << 32 | u64::from(version)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Never erased or zeroed bytes, which every flash is full of.
            (state >> 32) as u8 % 253 + 1
        })
        .collect()
}

/// An owner's keys that are written once and must be carried from page to page for good; pairings, PIN changes,
/// counters, revocations: batches of several sizes, over enough rounds to reclaim each page more than once.
fn workload(batches: u32) -> Vec<Vec<Step>> {
    (0..batches)
        .map(|nth| {
            let counter = Step::Put(1, secret(1, nth, 16));
            let pairing =
                |key: u16| Step::Put(key, secret(key, nth, 40 + (nth as usize * 13) % 60));
            if nth == 0 {
                return OWNER
                    .map(|key| Step::Put(key, secret(key, nth, 80)))
                    .collect();
            }
            match nth % 7 {
                0 => vec![pairing(10 + (nth / 7 % 4) as u16), counter],
                1 => vec![counter],
                2 => vec![Step::Erase(10 + (nth / 7 % 4) as u16), pairing(20), counter],
                3 => vec![Step::Put(
                    30,
                    secret(30, nth, 300 + (nth as usize * 31) % 213),
                )],
                4 => (40..46).map(pairing).chain([counter]).collect(),
                5 => vec![Step::Erase(30), Step::Erase(41), Step::Erase(999)],
                _ => vec![Step::Put(50, vec![]), counter],
            }
        })
        .collect()
}

/// Keys of [`workload`] that only its first batch writes.
const OWNER: std::ops::Range<u16> = 100..108;

fn apply(records: &mut Records, batch: &[Step]) {
    for step in batch {
        match step {
            Step::Put(key, value) => records.insert(*key, value.clone()),
            Step::Erase(key) => records.remove(key),
        };
    }
}

fn commit<F: Flash>(store: &mut RecordStore<F>, batch: &[Step]) -> Result<(), StoreError> {
    let changes: Vec<Change<'_>> = batch
        .iter()
        .map(|step| match step {
            Step::Put(key, value) => Change::Put(*key, value),
            Step::Erase(key) => Change::Erase(*key),
        })
        .collect();
    store.commit(&changes)
}

fn read_all(store: &RecordStore<&mut Device>) -> Records {
    let mut buffer = [0; 512];
    store
        .keys()
        .map(|key| {
            let len = store.get(key, &mut buffer).unwrap().unwrap();
            (key, buffer[..len].to_vec())
        })
        .collect()
}

fn mount<F: Flash>(nor: F) -> Result<RecordStore<F>, StoreError> {
    RecordStore::mount(Region::new(nor, FIRST, PAGES).unwrap())
}

/// What the world outside knows: acknowledged records, and the batch that was running when the power failed.
#[derive(Default, Clone)]
struct Known {
    records: Records,
    running: Option<Vec<Step>>,
    done: usize,
    /// Every value that was ever handed to the store.
    values: Vec<Vec<u8>>,
}

impl Known {
    /// Commits batches until they run out or the power does.
    fn run<F: Flash>(&mut self, nor: F, batches: &[Vec<Step>]) -> Result<(), StoreError> {
        let mut store = mount(nor)?;
        while let Some(batch) = batches.get(self.done) {
            self.values
                .extend(batch.iter().filter_map(|step| match step {
                    Step::Put(_, value) if value.len() >= 12 => Some(value.clone()),
                    _ => None,
                }));
            self.running = Some(batch.clone());
            commit(&mut store, batch)?;
            apply(&mut self.records, batch);
            self.running = None;
            self.done += 1;
        }
        Ok(())
    }

    /// The oracle. `Err` says what is wrong with the state on flash.
    fn judge(&mut self, nor: &mut Device) -> Result<(), String> {
        let store = mount(&mut *nor).map_err(|error| format!("mount: {error:?}"))?;
        let found = read_all(&store);
        drop(store);
        let old = &self.records;
        let new = self.running.as_ref().map(|batch| {
            let mut new = old.clone();
            apply(&mut new, batch);
            new
        });
        if let Some(new) = new.filter(|new| *new == found) {
            self.records = new;
            self.done += 1;
        } else if found != *old {
            return Err(format!(
                "neither the old state nor the new: keys {:?}, acknowledged {:?}, running {:?}",
                found.keys(),
                old.keys(),
                self.running.as_ref().map(Vec::len)
            ));
        }
        self.running = None;
        self.search(nor)
    }

    /// After a mount or a commit, no superseded value is in the cells, whole or in part, and every live one is there
    /// once: a second copy would outlive the record.
    fn search(&self, nor: &Device) -> Result<(), String> {
        let cells = nor.as_bytes();
        let mut windows: Vec<&[u8]> = cells.windows(12).step_by(4).collect();
        windows.sort_unstable();
        for value in &self.values {
            let live = self.records.values().any(|live| live == value);
            for part in value.chunks_exact(12) {
                let first = windows.partition_point(|window| *window < part);
                let copies = windows[first..]
                    .iter()
                    .take_while(|window| **window == part)
                    .count();
                if copies > usize::from(live) {
                    let state = if live { "live" } else { "superseded" };
                    return Err(format!("{copies} copies of a {state} value are on flash"));
                }
            }
        }
        Ok(())
    }
}

fn operations(batches: &[Vec<Step>]) -> u64 {
    let mut nor = Device::new(FIRST + PAGES);
    Known::default().run(&mut nor, batches).unwrap();
    assert!(
        nor.erases() >= 3,
        "no page was reclaimed twice over: {} erases",
        nor.erases()
    );
    nor.ops()
}

#[test]
fn f13_power_cut_at_every_operation_leaves_old_or_new_batch() {
    let lane = Lane::chosen();
    let batches = workload(90);
    let total = operations(&batches);
    let mut states = 0;
    for tear in Tear::ALL {
        for seed in 0..lane.seeds() {
            for at in 0..total {
                let mut nor = Device::new(FIRST + PAGES);
                let mut known = Known::default();
                nor.cut_after(at, tear, seed);
                let error = known.run(&mut nor, &batches).unwrap_err();
                assert!(
                    nor.is_dead(),
                    "{tear:?} seed {seed} op {at}: {error:?} with power"
                );
                nor.restore();
                known
                    .judge(&mut nor)
                    .unwrap_or_else(|wrong| panic!("{tear:?} seed {seed} op {at}: {wrong}"));
                // Life goes on: the rest of the work must find its way from every such state.
                let upto = batches.len().min(known.done + 14);
                known
                    .run(&mut nor, &batches[..upto])
                    .unwrap_or_else(|error| {
                        panic!("{tear:?} seed {seed} op {at}, later: {error:?}")
                    });
                known
                    .judge(&mut nor)
                    .unwrap_or_else(|wrong| panic!("{tear:?} seed {seed} op {at}, later: {wrong}"));
                states += 2;
            }
        }
    }
    print_states("store", states);
}

#[test]
fn f13_second_and_third_cut_while_recovering_lose_nothing() {
    let lane = Lane::chosen();
    let batches = workload(90);
    let total = operations(&batches);
    let mut states = 0;
    for tear in Tear::ALL {
        for seed in 0..lane.seeds() {
            for at in (seed % lane.nested_stride()..total).step_by(lane.nested_stride() as usize) {
                for second in 0..12 {
                    let mut nor = Device::new(FIRST + PAGES);
                    let mut known = Known::default();
                    nor.cut_after(at, tear, seed);
                    known.run(&mut nor, &batches).unwrap_err();
                    for (depth, after) in [second, (second * 5 + at) % 9].into_iter().enumerate() {
                        nor.restore();
                        nor.cut_after(after, Tear::ALL[(at as usize + depth) % 3], seed + 77);
                        // The cut strikes in the mount, or in the batches after it.
                        match known.judge(&mut nor) {
                            Ok(()) => {
                                let _cut = known.run(&mut nor, &batches);
                            }
                            Err(wrong) => assert!(
                                nor.is_dead(),
                                "{tear:?} seed {seed} op {at} second {second}: {wrong}"
                            ),
                        }
                    }
                    nor.restore();
                    known.judge(&mut nor).unwrap_or_else(|wrong| {
                        panic!("{tear:?} seed {seed} op {at} second {second}: {wrong}")
                    });
                    states += 1;
                }
            }
        }
    }
    print_states("store nested", states);
}

/// I4 without any cut: values are gone from the cells when the commit returns, and no word was written more than the
/// two times that the part allows.
#[test]
fn commit_leaves_no_superseded_secret_on_flash() {
    let batches = workload(140);
    let mut nor = Device::new(FIRST + PAGES);
    let mut known = Known::default();
    let owner = secret(OWNER.start, 0, 80);
    let mut places = std::collections::BTreeSet::new();
    for upto in 1..=batches.len() {
        known.run(&mut nor, &batches[..upto]).unwrap();
        known.search(&nor).unwrap();
        places.insert(
            nor.as_bytes()
                .windows(80)
                .position(|window| window == owner),
        );
    }
    // Cutting this workload means nothing for copying forward unless it copies.
    assert!(
        places.len() > 3 && !places.contains(&None),
        "the owner's key was in {} places",
        places.len()
    );
    assert_eq!(nor.worst_writes_per_word(), 2);
    assert!(
        nor.as_bytes()[..2048].iter().all(|cell| *cell == 0xFF),
        "left its region"
    );
}

/// The oracle of this file must see what it is there for: a lost batch, a mixed one, a secret that stayed.
#[test]
fn oracle_catches_rollback_mixture_and_remains() {
    let batches = workload(12);
    let mut nor = Device::new(FIRST + PAGES);
    let mut known = Known::default();
    known.run(&mut nor, &batches).unwrap();
    known.judge(&mut nor).unwrap();

    let mut rollback = known.clone();
    rollback.records.insert(1, secret(1, 1_000, 16));
    assert!(rollback.judge(&mut nor).unwrap_err().contains("neither"));

    // Two keys of one running batch, only one of them on flash.
    let mut mixture = known.clone();
    let half = Step::Put(60, secret(60, 0, 20));
    commit(&mut mount(&mut nor).unwrap(), std::slice::from_ref(&half)).unwrap();
    mixture.running = Some(vec![half, Step::Put(61, secret(61, 0, 20))]);
    assert!(mixture.judge(&mut nor).unwrap_err().contains("neither"));

    let mut remains = known.clone();
    remains.records.insert(60, secret(60, 0, 20));
    remains.judge(&mut nor).unwrap();
    remains.values.push(secret(60, 7, 40));
    nor.as_mut_bytes()[100..140].copy_from_slice(&secret(60, 7, 40));
    assert!(
        remains
            .judge(&mut nor)
            .unwrap_err()
            .contains("copies of a superseded")
    );
}

/// A device that answers before the cells have changed, one write late: what a commit word written too early, or a
/// forgotten flush, amounts to. Reads see what was answered for.
struct Hasty<'a> {
    nor: &'a mut Device,
    held: Option<(u32, Vec<u8>)>,
}

impl Hasty<'_> {
    fn settle(&mut self) -> Result<(), FlashError> {
        match self.held.take() {
            Some((at, bytes)) => self.nor.write(at, &bytes),
            None => Ok(()),
        }
    }
}

impl Flash for Hasty<'_> {
    const PAGE: u32 = <Device as Flash>::PAGE;

    fn pages(&self) -> u32 {
        self.nor.pages()
    }

    fn read(&self, at: u32, into: &mut [u8]) -> Result<(), FlashError> {
        self.nor.read(at, into)?;
        if let Some((start, held)) = &self.held {
            for (byte, place) in into.iter_mut().zip(at..) {
                let newer = place
                    .checked_sub(*start)
                    .and_then(|nth| held.get(nth as usize));
                *byte &= newer.copied().unwrap_or(0xFF);
            }
        }
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.settle()?;
        self.held = Some((at, bytes.to_vec()));
        Ok(())
    }

    fn erase(&mut self, page: u32) -> Result<(), FlashError> {
        self.settle()?;
        self.nor.erase(page)
    }
}

/// The cut loop itself must fail where durability is a lie.
#[test]
fn oracle_catches_a_device_that_answers_too_early() {
    let batches = workload(90);
    let total = operations(&batches);
    let mut caught = 0;
    for at in 0..total - 1 {
        let mut nor = Device::new(FIRST + PAGES);
        let mut known = Known::default();
        nor.cut_after(at, Tear::Before, 0);
        let hasty = Hasty {
            nor: &mut nor,
            held: None,
        };
        let _cut = known.run(hasty, &batches);
        nor.restore();
        caught += u32::from(known.judge(&mut nor).is_err());
    }
    assert!(caught > 5, "{caught} of {total} cuts showed it");
}

/// Erases of everything, then a full store, then erases again: space comes back and the limits hold.
#[test]
fn full_store_refuses_and_stays_usable() {
    let mut nor = Device::new(FIRST + PAGES);
    let mut known = Known::default();
    known.run(&mut nor, &[]).unwrap();
    for round in 0..6 {
        let mut store = mount(&mut nor).unwrap();
        let mut key = 0;
        let refusal = loop {
            let value = secret(key, round, 100);
            match store.commit(&[Change::Put(key, &value)]) {
                Ok(()) => key += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refusal, StoreError::Full);
        assert!(key >= 8, "room for {key} values only");
        // At its fullest, every value can still be replaced and the largest batch still fits.
        for again in 0..40 {
            let value = secret(again % key, round + 50, 100);
            store.commit(&[Change::Put(again % key, &value)]).unwrap();
        }
        assert_eq!(store.keys().count(), usize::from(key));
        let erases: Vec<Change<'_>> = (0..key).map(Change::Erase).collect();
        store.commit(&erases).unwrap();
        assert_eq!(store.keys().count(), 0);
        drop(store);
        assert_eq!(
            mount(&mut nor).unwrap().keys().count(),
            0,
            "erased keys came back"
        );
    }
}

#[test]
fn request_errors_change_nothing() {
    let mut nor = Device::new(FIRST + PAGES);
    let mut store = mount(&mut nor).unwrap();
    store.commit(&[Change::Put(1, b"one")]).unwrap();
    let fill = [9; 500];
    for key in 11..14 {
        store.commit(&[Change::Put(key, &fill)]).unwrap();
    }
    let long = [7; 513];
    let half = [7; 500];
    let cases: [(&[Change<'_>], StoreError); 4] = [
        (&[Change::Put(2, &long)], StoreError::ValueTooLong),
        (
            &[Change::Put(2, b"a"), Change::Erase(2)],
            StoreError::RepeatedKey,
        ),
        (
            &[
                Change::Put(2, &half),
                Change::Put(3, &half),
                Change::Put(4, &half),
                Change::Put(5, &half),
                Change::Put(6, &half),
            ],
            StoreError::BatchTooLong,
        ),
        (
            &[Change::Put(2, &half), Change::Put(3, &half)],
            StoreError::Full,
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(store.commit(changes), Err(expected));
        assert_eq!(store.keys().collect::<Vec<_>>(), [1, 11, 12, 13]);
    }
    let mut short = [0; 2];
    assert_eq!(store.get(1, &mut short), Err(StoreError::BufferTooSmall(3)));
    assert_eq!(store.get(2, &mut short), Ok(None));
}
