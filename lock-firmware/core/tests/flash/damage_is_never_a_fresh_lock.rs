//! S19, F16: damage on flash never makes a lock without an owner, and never an older state.
//!
//! Guards against the reading of "no valid record" as "new", with which a flipped bit, or a page erased by accident,
//! hands the lock to whoever pairs next.

use crate::lane::{Lane, print_states};
use drawbridge_lock::flash::Region;
use drawbridge_lock::flash::model::Nor;
use drawbridge_lock::log_ring::LogRing;
use drawbridge_lock::store::{Change, RecordStore, StoreError};

type Device = Nor<2048>;
const PAGES: u32 = 4;

fn mount(nor: &mut Device) -> Result<RecordStore<&mut Device>, StoreError> {
    RecordStore::mount(Region::new(nor, 0, PAGES).unwrap())
}

/// A store some way into its life. Its last commit erases the old owner and writes the new one.
fn device(commits: u32) -> (Vec<u8>, Vec<(u16, Vec<u8>)>) {
    let mut nor = Device::new(PAGES);
    let mut store = mount(&mut nor).unwrap();
    for nth in 0..commits {
        let value = [nth as u8 | 1; 60];
        store
            .commit(&[
                Change::Put((nth % 5) as u16, &value),
                Change::Put(9, &nth.to_le_bytes()),
            ])
            .unwrap();
    }
    store
        .commit(&[Change::Erase(2), Change::Put(7, b"the new owner")])
        .unwrap();
    let records = contents(&store).unwrap();
    drop(store);
    (nor.as_bytes().to_vec(), records)
}

fn contents(store: &RecordStore<&mut Device>) -> Result<Vec<(u16, Vec<u8>)>, StoreError> {
    let mut keys: Vec<u16> = store.keys().collect();
    keys.sort_unstable();
    let mut buffer = [0; 512];
    keys.into_iter()
        .map(|key| {
            let len = store.get(key, &mut buffer)?.unwrap_or(0);
            Ok((key, buffer[..len].to_vec()))
        })
        .collect()
}

/// Exactly the acknowledged state, or a refusal.
fn judge(cells: &[u8], records: &[(u16, Vec<u8>)], what: &str) -> bool {
    let mut nor = Device::from_bytes(cells);
    match mount(&mut nor) {
        Ok(store) => {
            assert_eq!(contents(&store).as_deref(), Ok(records), "{what}");
            true
        }
        Err(error) => {
            assert_eq!(error, StoreError::Corrupt, "{what}");
            false
        }
    }
}

#[test]
fn f16_each_damaged_byte_gives_the_exact_state_or_corrupt() {
    let step = match Lane::chosen() {
        Lane::Quick => 11,
        Lane::Full => 1,
    };
    let (mut exact, mut refused) = (0_u64, 0_u64);
    for commits in [1, 40] {
        let (cells, records) = device(commits);
        assert!(judge(&cells, &records, "undamaged"));
        for at in (0..cells.len()).step_by(step) {
            for damage in [0x01, 0x80, 0xFF] {
                let mut damaged = cells.clone();
                damaged[at] ^= damage;
                let what = format!("{commits} commits, byte {at} ^ {damage:#04x}");
                if judge(&damaged, &records, &what) {
                    exact += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    // Both must happen: a mount that refuses everything, or nothing, proves nothing.
    assert!(
        exact > 50 && refused > 50,
        "{exact} exact, {refused} refused"
    );
    print_states("store damage", exact + refused);
}

#[test]
fn s19_lost_page_is_corrupt_and_never_unowned() {
    let (cells, records) = device(40);
    let mut members = 0;
    for page in 0..PAGES as usize {
        for fill in [0xFF, 0x00, 0xA5] {
            let mut damaged = cells.clone();
            let span = page * 2048..(page + 1) * 2048;
            let empty = cells[span.clone()].iter().all(|cell| *cell == 0xFF);
            damaged[span].fill(fill);
            let kept = judge(
                &damaged,
                &records,
                &format!("page {page} filled with {fill:#04x}"),
            );
            assert_eq!(kept, empty, "page {page} filled with {fill:#04x}");
            members += u32::from(!empty && fill == 0xFF);
        }
    }
    assert!(members >= 2, "the store is in {members} pages only");
    for garbage in [0x00, 0x5A] {
        let mut nor = Device::from_bytes(&vec![garbage; PAGES as usize * 2048]);
        assert_eq!(mount(&mut nor).map(drop), Err(StoreError::Corrupt));
        let format = RecordStore::<_>::format(Region::new(&mut nor, 0, PAGES).unwrap()).map(drop);
        assert_eq!(format, Ok(()));
        assert_eq!(mount(&mut nor).unwrap().keys().count(), 0);
    }
    let mut blank = Device::new(PAGES);
    assert_eq!(mount(&mut blank).unwrap().keys().count(), 0);
    assert_eq!(blank.ops(), 0, "looking at a new device wrote to it");
}

/// A refusal leaves the evidence as it was.
#[test]
fn corrupt_store_is_not_written_to() {
    let (mut cells, _) = device(40);
    let last = cells.iter().rposition(|cell| *cell != 0xFF).unwrap();
    cells[last - 30] ^= 0x10;
    let mut nor = Device::from_bytes(&cells);
    assert_eq!(mount(&mut nor).map(drop), Err(StoreError::Corrupt));
    assert_eq!(nor.ops(), 0);
    assert_eq!(nor.as_bytes(), cells);
}

/// The log goes on in spite of damage, says so, and gives no number a second time.
#[test]
fn i5_damaged_log_never_repeats_a_number() {
    let step = match Lane::chosen() {
        Lane::Quick => 13,
        Lane::Full => 1,
    };
    let mut nor = Device::new(PAGES);
    let mut ring = LogRing::mount(Region::new(&mut nor, 0, PAGES).unwrap()).unwrap();
    while !ring.is_full() {
        ring.append(&[ring.next_seq() as u8; 120]).unwrap();
    }
    ring.overwrite_oldest().unwrap();
    let (oldest, newest) = (ring.oldest().unwrap(), ring.newest().unwrap());
    let cells = nor.as_bytes().to_vec();
    let (mut whole, mut told) = (0, 0);
    for at in (0..cells.len()).step_by(step) {
        let mut nor = Device::from_bytes(&cells);
        nor.as_mut_bytes()[at] ^= 0x24;
        let mut ring = LogRing::mount(Region::new(&mut nor, 0, PAGES).unwrap()).unwrap();
        assert!(
            ring.next_seq() > newest,
            "byte {at}: next is {}",
            ring.next_seq()
        );
        let mut buffer = [0; 512];
        let mut missing = 0;
        for seq in oldest..=newest {
            match ring.read(seq, &mut buffer) {
                Ok(Some(120)) => assert_eq!(buffer[..120], [seq as u8; 120], "byte {at}"),
                _ => missing += 1,
            }
        }
        let unreadable = (oldest..=newest).any(|seq| ring.read(seq, &mut buffer).is_err());
        assert!(
            missing == 0 || ring.damage() > 0 || unreadable,
            "byte {at}: {missing} records are gone without a word"
        );
        whole += u32::from(missing == 0);
        told += u32::from(missing > 0);
        let next = ring.next_seq();
        assert_eq!(ring.append(b"after"), Ok(next), "byte {at}");
        let ring = LogRing::mount(Region::new(&mut nor, 0, PAGES).unwrap()).unwrap();
        assert_eq!(
            ring.read(next, &mut buffer),
            Ok(Some(5)),
            "byte {at}: lost after damage"
        );
    }
    assert!(whole > 20 && told > 20, "{whole} whole, {told} told");
}
