//! Starting from flash that holds anything at all.
//!
//! The first byte chooses: a blank or an owned lock's flash with patches; one damaged byte; one lost
//! page; or cells from the input alone.

use std::cell::RefCell;
use std::rc::Rc;

use drawbridge_lock::flash::Region;
use drawbridge_lock::flash::model::Nor;
use drawbridge_lock::log_ring::LogRing;
use drawbridge_lock::store::{MAX_VALUE, RecordStore};

use crate::bench::{Chip, Door, Owned};
use crate::input::Input;

const PAGE: usize = 4_096;
const STORE_PAGES: u32 = 4;

/// No flash makes a lock panic, move, or count beyond its log; one damaged byte or lost page never
/// makes an owned lock one without an owner (S19, F16).
///
/// # Panics
/// When one of that does not hold.
pub fn lock_flash(data: &[u8]) {
    let mut input = Input::new(data);
    let owned = &Owned::get().flash;
    match input.byte() % 5 {
        0 => drop(starts(&patched(Owned::blank(), input))),
        1 => drop(starts(&patched(owned, input))),
        2 => {
            let mut cells = owned.clone();
            let at = usize::from(input.short()) % cells.len();
            cells[at] ^= input.byte();
            stays_owned(&cells);
        }
        3 => {
            let mut cells = owned.clone();
            let page = input.below(cells.len() / PAGE);
            let fill = [0xff, 0x00, 0xa5][input.below(3)];
            cells[page * PAGE..(page + 1) * PAGE].fill(fill);
            stays_owned(&cells);
        }
        _ => {
            let mut cells = Owned::blank().to_vec();
            let head = input.rest();
            let len = head.len().min(cells.len());
            cells[..len].copy_from_slice(&head[..len]);
            // The log begins where the store ends: give it the same to chew on.
            let log = STORE_PAGES as usize * PAGE;
            let len = head.len().min(cells.len() - log);
            cells[log..log + len].copy_from_slice(&head[..len]);
            drop(starts(&cells));
        }
    }
}

/// The cells with up to 64 chunks written over them.
fn patched(cells: &[u8], mut input: Input<'_>) -> Vec<u8> {
    let mut cells = cells.to_vec();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let at = usize::from(input.short()) % cells.len();
        let chunk = input.chunk();
        let end = (at + chunk.len()).min(cells.len());
        cells[at..end].copy_from_slice(&chunk[..end - at]);
    }
    cells
}

fn stays_owned(cells: &[u8]) {
    if let Some(door) = starts(cells) {
        assert!(door.status().owned, "the owner is forgotten");
    }
}

/// Starts a lock; what it says of itself must agree with what it stands on.
fn starts(cells: &[u8]) -> Option<Door> {
    read(cells);
    let mut door = Door::new(cells).ok()?;
    let status = door.status();
    assert!(status.boot > 0 && status.log_used <= 100 && status.sessions == 0);
    assert!(status.log_oldest <= status.log_newest.saturating_add(1));
    assert!(!status.window_open && !status.moving);
    door.pass_time(1);
    assert_eq!(door.starts, 0, "the motor started");
    if !door.status().halted {
        // What it wrote at this start it reads at the next one.
        let boot = door.status().boot;
        if boot < u32::MAX {
            door.reboot();
            assert_eq!(door.status().boot, boot + 1);
        }
    }
    Some(door)
}

/// Store and log, each on its own: all that is there can be read, and what is added stays.
fn read(cells: &[u8]) {
    let chip = || Chip(Rc::new(RefCell::new(Nor::from_bytes(cells))));
    let store = Region::new(chip(), 0, STORE_PAGES).expect("within the device");
    if let Ok(store) = RecordStore::<_>::mount(store) {
        let mut value = [0; MAX_VALUE];
        for key in store.keys().collect::<Vec<_>>() {
            if let Ok(len) = store.get(key, &mut value) {
                assert!(len.is_some_and(|len| len <= MAX_VALUE));
            }
        }
    }
    let pages = (cells.len() / PAGE) as u32 - STORE_PAGES;
    let log = Region::new(chip(), STORE_PAGES, pages).expect("within the device");
    let Ok(mut ring) = LogRing::mount(log) else {
        return;
    };
    assert!(ring.usage() <= 100);
    let mut record = [0; 512];
    if let Some((oldest, newest)) = ring.oldest().zip(ring.newest()) {
        assert!(newest < ring.next_seq());
        for seq in oldest..=newest.min(oldest.saturating_add(600)) {
            if let Ok(Some(len)) = ring.read(seq, &mut record) {
                assert!(len <= record.len());
            }
        }
    }
    let next = ring.next_seq();
    if ring.append(b"after") == Ok(next) {
        assert_eq!(ring.read(next, &mut record), Ok(Some(5)));
        assert_eq!(record[..5], *b"after");
    }
}
