//! F13, I4, I5: the log under a power cut at every flash operation.
//!
//! Guards against a queue that acknowledges a record and cannot find it after the next boot, or does not accept the
//! next one (docs/decisions/0002 has the numbers), and against a number that is given out twice, which would let a
//! hub free a record that nobody has pulled.

use crate::lane::{Lane, print_states};
use drawbridge_lock::flash::model::{Nor, Tear};
use drawbridge_lock::flash::{FlashError, Region};
use drawbridge_lock::log_ring::{LogError, LogRing, MAX_RECORD};

type Device = Nor<1024>;
const PAGES: u32 = 4;

fn mount(nor: &mut Device) -> Result<LogRing<&mut Device>, LogError> {
    LogRing::mount(Region::new(nor, 0, PAGES).unwrap())
}

/// The `nth` record that was ever handed over: its own number, then bytes that follow from it.
fn record(nth: u64) -> Vec<u8> {
    let len = 8 + (nth as usize * 53) % 190;
    let mut bytes = nth.to_le_bytes().to_vec();
    bytes.extend((8..len).map(|place| (nth as usize * 7 + place) as u8));
    bytes
}

/// What a peer knows that got every answer.
#[derive(Default, Clone)]
struct Known {
    /// Number and content of each acknowledged record.
    acknowledged: Vec<(u64, u64)>,
    handed_over: u64,
    /// Records up to this number may be gone.
    freed_to: u64,
}

impl Known {
    fn run(&mut self, nor: &mut Device, upto: u64) -> Result<(), LogError> {
        let mut ring = mount(nor)?;
        while self.handed_over < upto {
            let nth = self.handed_over;
            if ring.is_full() {
                // Alternately a peer that has pulled half, and an owner in a hurry.
                let oldest = ring.oldest().unwrap();
                let newest = ring.newest().unwrap();
                if nth.is_multiple_of(3) {
                    self.freed_to = self.freed_to.max(newest);
                    ring.overwrite_oldest()?;
                    self.freed_to = ring.oldest().unwrap() - 1;
                } else {
                    let half = oldest + (newest - oldest) / 2;
                    self.freed_to = self.freed_to.max(half);
                    ring.free_to(half)?;
                }
            }
            self.handed_over += 1;
            let seq = ring.append(&record(nth))?;
            assert!(
                self.acknowledged.iter().all(|(given, _)| *given < seq),
                "number {seq} was given out again"
            );
            self.acknowledged.push((seq, nth));
        }
        Ok(())
    }

    fn judge(&self, nor: &mut Device) -> Result<(), String> {
        let ring = mount(nor).map_err(|error| format!("mount: {error:?}"))?;
        if ring.damage() != 0 {
            return Err("a cut was taken for damage".into());
        }
        let mut buffer = [0; MAX_RECORD];
        for (seq, nth) in self
            .acknowledged
            .iter()
            .filter(|(seq, _)| *seq > self.freed_to)
        {
            match ring.read(*seq, &mut buffer) {
                Ok(Some(len)) if buffer[..len] == record(*nth) => {}
                other => return Err(format!("acknowledged record {seq} reads {other:?}")),
            }
        }
        let Some((last, _)) = self.acknowledged.last() else {
            return Ok(());
        };
        if ring.newest().is_none_or(|newest| newest < *last) || ring.next_seq() <= *last {
            return Err(format!(
                "newest {:?}, next {}",
                ring.newest(),
                ring.next_seq()
            ));
        }
        // Order, and nothing invented: whatever is there was handed over, later numbers for later records.
        let mut before = None;
        for seq in ring.oldest().unwrap()..=ring.newest().unwrap() {
            let len = ring
                .read(seq, &mut buffer)
                .map_err(|error| format!("{error:?}"))?
                .ok_or(format!("gap at {seq}"))?;
            let nth = u64::from_le_bytes(buffer[..8].try_into().unwrap());
            if buffer[..len] != record(nth) || before.is_some_and(|before| before >= nth) {
                return Err(format!("record {seq} is {nth} after {before:?}"));
            }
            before = Some(nth);
        }
        Ok(())
    }
}

fn operations(upto: u64) -> u64 {
    let mut nor = Device::new(PAGES);
    Known::default().run(&mut nor, upto).unwrap();
    assert!(
        nor.erases() >= 6,
        "the ring never went around: {} erases",
        nor.erases()
    );
    assert_eq!(nor.worst_writes_per_word(), 1);
    nor.ops()
}

const RECORDS: u64 = 90;

#[test]
fn f13_power_cut_at_every_operation_loses_no_acknowledged_record() {
    let lane = Lane::chosen();
    let total = operations(RECORDS);
    let mut states = 0;
    for tear in Tear::ALL {
        for seed in 0..2 * lane.seeds() {
            for at in 0..total {
                let mut nor = Device::new(PAGES);
                let mut known = Known::default();
                nor.cut_after(at, tear, seed);
                let error = known.run(&mut nor, RECORDS).unwrap_err();
                let place = format!("{tear:?} seed {seed} op {at}");
                assert_eq!(error, LogError::Flash(FlashError::PowerLost), "{place}");
                nor.restore();
                known
                    .judge(&mut nor)
                    .unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                let upto = known.handed_over + 25;
                known
                    .run(&mut nor, upto)
                    .unwrap_or_else(|error| panic!("{place}, later: {error:?}"));
                known
                    .judge(&mut nor)
                    .unwrap_or_else(|wrong| panic!("{place}, later: {wrong}"));
                states += 2;
            }
        }
    }
    print_states("log", states);
}

#[test]
fn f13_second_and_third_cut_while_recovering_lose_no_record() {
    let lane = Lane::chosen();
    let total = operations(RECORDS);
    let mut states = 0;
    for tear in Tear::ALL {
        for seed in 0..lane.seeds() {
            for at in (seed % lane.nested_stride()..total).step_by(lane.nested_stride() as usize) {
                for second in 0..12 {
                    let mut nor = Device::new(PAGES);
                    let mut known = Known::default();
                    nor.cut_after(at, tear, seed);
                    known.run(&mut nor, RECORDS).unwrap_err();
                    let place = format!("{tear:?} seed {seed} op {at} second {second}");
                    for (depth, after) in [second, (second * 5 + at) % 9].into_iter().enumerate() {
                        nor.restore();
                        nor.cut_after(after, Tear::ALL[(at as usize + depth) % 3], seed + 77);
                        match known.judge(&mut nor) {
                            Ok(()) => {
                                let upto = known.handed_over + 20;
                                let _cut = known.run(&mut nor, upto);
                            }
                            Err(wrong) => assert!(nor.is_dead(), "{place}: {wrong}"),
                        }
                    }
                    nor.restore();
                    known
                        .judge(&mut nor)
                        .unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                    states += 1;
                }
            }
        }
    }
    print_states("log nested", states);
}

/// The oracle of this file must see a lost record, a changed one, and a number that comes back.
#[test]
fn oracle_catches_loss_change_and_repetition() {
    let mut nor = Device::new(PAGES);
    let mut known = Known::default();
    known.run(&mut nor, 8).unwrap();
    known.judge(&mut nor).unwrap();

    let mut lost = known.clone();
    lost.acknowledged.push((9, 8));
    assert!(
        lost.judge(&mut nor)
            .unwrap_err()
            .contains("acknowledged record 9")
    );

    let mut changed = known.clone();
    changed.acknowledged[3].1 = 5;
    assert!(
        changed
            .judge(&mut nor)
            .unwrap_err()
            .contains("acknowledged record 4")
    );

    let mut blank = Device::new(PAGES);
    let mut repeated = known.clone();
    let again =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| repeated.run(&mut blank, 9)));
    assert!(again.is_err(), "a number was given out twice unseen");
}

/// I5: freeing everything keeps the newest record, numbers go on across a format, and a torn append is told.
#[test]
fn i5_numbers_go_on_whatever_is_freed() {
    let mut nor = Device::new(PAGES);
    let mut known = Known::default();
    known.run(&mut nor, 30).unwrap();
    let mut ring = mount(&mut nor).unwrap();
    let (oldest, newest) = (ring.oldest().unwrap(), ring.newest().unwrap());
    let freed = ring.free_to(u64::MAX).unwrap();
    assert!(freed > 0);
    assert_eq!(ring.oldest(), Some(oldest + freed));
    assert_eq!(ring.newest(), Some(newest));
    assert!(ring.read(newest, &mut [0; MAX_RECORD]).unwrap().is_some());
    assert_eq!(ring.read(oldest, &mut [0; MAX_RECORD]), Ok(None));
    assert_eq!(ring.overwrite_oldest(), Err(LogError::OnlyNewest));
    let ring = mount(&mut nor).unwrap();
    assert_eq!((ring.newest(), ring.next_seq()), (Some(newest), newest + 1));
    assert!(!ring.torn_tail());

    nor.cut_after(1, Tear::PartialErase, 3);
    mount(&mut nor).unwrap().append(&record(1)).unwrap_err();
    nor.restore();
    let ring = mount(&mut nor).unwrap();
    assert!(ring.torn_tail());
    assert_eq!(ring.next_seq(), newest + 1);

    LogRing::format(Region::new(&mut nor, 0, PAGES).unwrap(), 5_000).unwrap();
    let mut ring = mount(&mut nor).unwrap();
    assert_eq!(
        (ring.oldest(), ring.newest(), ring.next_seq()),
        (None, None, 5_000)
    );
    assert_eq!(ring.append(b"first"), Ok(5_000));
}

/// A full log refuses and keeps all it has; only the owner's override makes room, and says what it cost.
#[test]
fn full_log_refuses_until_somebody_decides() {
    let mut nor = Device::new(PAGES);
    let mut ring = mount(&mut nor).unwrap();
    assert_eq!((ring.usage(), ring.is_full()), (0, false));
    let mut usage = 0;
    while !ring.is_full() {
        ring.append(&[7; 200]).unwrap();
        assert!(ring.usage() >= usage);
        usage = ring.usage();
    }
    let refusal = loop {
        if let Err(error) = ring.append(&[7; 200]) {
            break error;
        }
    };
    assert_eq!(refusal, LogError::Full);
    assert!(ring.usage() >= 85, "{} % when full", ring.usage());
    assert_eq!(ring.oldest(), Some(1));
    let newest = ring.newest().unwrap();
    let lost = ring.overwrite_oldest().unwrap();
    assert_eq!(lost, 4, "(1,024 - 40) / 224 records a page");
    assert_eq!((ring.oldest(), ring.newest()), (Some(5), Some(newest)));
    assert_eq!(ring.append(&[7; 200]), Ok(newest + 1));
    assert_eq!(ring.append(&[0; MAX_RECORD + 1]), Err(LogError::TooLong));
}
