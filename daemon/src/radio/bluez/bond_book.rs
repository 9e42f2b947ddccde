//! Which lock has a bond, and which is not asked for one just now.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use drawbridge_protocol::ids::LockId;
use tokio::time::Instant;

use super::place::Place;

/// How long a lock whose bond failed is left alone.
const PAUSE: Duration = Duration::from_secs(600);
/// A bonded link that ends this soon may have ended because the lock lost its keys.
const SHORT: Duration = Duration::from_secs(3);
/// That often in a row, and the bond is taken for stale.
const SHORT_LINKS: u32 = 2;
/// First line of the file.
const HEAD: &str = "drawbridge bonds 1";

/// The book. **Everything in it is keyed by lock id: a peer chooses its address, and a stranger
/// that made up addresses must neither end the pause nor stretch it for a lock.**
#[derive(Debug, Default)]
pub(super) struct BondBook {
    bonds: BTreeMap<LockId, Place>,
    paused_until: HashMap<LockId, Instant>,
    short: HashMap<LockId, u32>,
}

impl BondBook {
    pub(super) fn bond(&self, lock: LockId) -> Option<Place> {
        self.bonds.get(&lock).copied()
    }

    /// Whether the hub may ask for a bond now.
    pub(super) fn may_bond(&self, lock: LockId, now: Instant) -> bool {
        let is_paused = self
            .paused_until
            .get(&lock)
            .is_some_and(|until| now < *until);
        !self.bonds.contains_key(&lock) && !is_paused
    }

    /// There is a bond now, at the lock's identity address.
    pub(super) fn made(&mut self, lock: LockId, identity: Place) {
        self.bonds.insert(lock, identity);
        self.paused_until.remove(&lock);
        self.short.remove(&lock);
    }

    /// It came to nothing.
    pub(super) fn failed(&mut self, lock: LockId, now: Instant) {
        self.paused_until.insert(lock, now + PAUSE);
    }

    /// A link of the lock ended by itself, or did not come up past the connection; returns the bond
    /// if it is stale: it is no longer in the book.
    pub(super) fn link_ended(&mut self, lock: LockId, lasted: Duration) -> Option<Place> {
        if !self.bonds.contains_key(&lock) {
            return None;
        }
        if lasted >= SHORT {
            self.short.remove(&lock);
            return None;
        }
        let short = self.short.entry(lock).or_default();
        *short += 1;
        if *short < SHORT_LINKS {
            return None;
        }
        self.forget(lock)
    }

    /// The hub has given the lock up, or its bond.
    pub(super) fn forget(&mut self, lock: LockId) -> Option<Place> {
        self.paused_until.remove(&lock);
        self.short.remove(&lock);
        self.bonds.remove(&lock)
    }

    /// As the file has it: a line a bond.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for (lock, place) in &self.bonds {
            if let Some(address) = place.address() {
                text.push_str(&format!("{lock} {}\n", address.as_str()));
            }
        }
        text
    }

    /// Reads a file; a line that makes no sense costs its bond only: the lock is bonded again.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut book = Self::default();
        if lines.next() != Some(HEAD) {
            return book;
        }
        book.bonds = lines
            .filter_map(|line| {
                let (lock, place) = line.split_once(' ')?;
                Some((lock.parse().ok()?, Place::parse(place)?))
            })
            .collect();
        book
    }
}

/// The file of the book, in the state folder.
pub(super) fn file_in(state: &Path) -> PathBuf {
    state.join("bonds")
}

/// Writes it whole or not at all.
pub(super) fn write(file: &Path, text: &str) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut into = File::create(&fresh)?;
    into.write_all(text.as_bytes())?;
    into.sync_all()?;
    fs::rename(&fresh, file)?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bluer::{Address as Bdaddr, AddressType};

    use super::*;

    fn place(last: u8) -> Place {
        Place {
            adapter: Bdaddr::new([0xa0, 1, 2, 3, 4, 5]),
            lock: Bdaddr::new([0xc0, 1, 2, 3, 4, last]),
            kind: AddressType::LeRandom,
        }
    }

    fn lock(byte: u8) -> LockId {
        format!("{byte:02x}00000000000000").parse().unwrap()
    }

    /// Guards: a bond that fails at each link, asked for at each link; and a stranger whose
    /// addresses rotate and for whom the pause begins anew each time.
    #[test]
    fn a_failed_bond_rests_ten_minutes_by_lock_not_by_address() {
        let (mut book, now) = (BondBook::default(), Instant::now());
        assert!(book.may_bond(lock(1), now));
        book.failed(lock(1), now);
        let almost = now + PAUSE - Duration::from_secs(1);
        assert!(!book.may_bond(lock(1), almost), "wherever it is seen");
        assert!(book.may_bond(lock(2), almost), "another lock is not paused");
        assert!(book.may_bond(lock(1), now + PAUSE));
        book.made(lock(1), place(1));
        assert!(!book.may_bond(lock(1), now + PAUSE), "once per lock");
    }

    /// Guards: a lock that was reset, whose every link ends at its first encrypted packet.
    #[test]
    fn a_stale_bond_is_given_up_after_two_short_links_in_a_row() {
        let mut book = BondBook::default();
        book.made(lock(1), place(1));
        let soon = Duration::from_millis(300);
        assert_eq!(book.link_ended(lock(1), soon), None);
        assert_eq!(book.link_ended(lock(1), SHORT), None, "the row is broken");
        assert_eq!(book.link_ended(lock(1), soon), None);
        assert_eq!(book.link_ended(lock(1), soon), Some(place(1)));
        assert!(book.may_bond(lock(1), Instant::now()), "it is made anew");
        assert_eq!(book.link_ended(lock(1), soon), None, "nothing to give up");
    }

    /// Guards: a power cut or a stray byte that costs all bonds, or the start.
    #[test]
    fn the_file_keeps_bonds_and_a_bad_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        let mut book = BondBook::default();
        book.made(lock(1), place(1));
        book.made(lock(2), place(2));
        write(&file, &book.text()).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let damaged = text.replacen(&lock(1).to_string(), "x", 1);
        assert_eq!(BondBook::parse(&text).bonds, book.bonds);
        assert_eq!(
            BondBook::parse(&damaged).bonds,
            BTreeMap::from([(lock(2), place(2))])
        );
        assert!(BondBook::parse("").bonds.is_empty());
        assert!(
            BondBook::parse(&text.replace(" 1\n", " 2\n"))
                .bonds
                .is_empty()
        );
    }
}
