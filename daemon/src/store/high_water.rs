//! The high-water file: what the store must at least hold, kept outside of sled.
//!
//! Two slots, each on its own page, written in turn and synced. A torn write spoils one of them; the
//! other still says what was acknowledged before it. **A commit is acknowledged only after its number is in
//! this file, so a store that comes back with less is noticed.**

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::record::crc32c;

/// Distance of the slots, bytes: no page, and no sector of a common card, holds both.
const SLOT_SPAN: u64 = 4_096;
/// `magic 4 | version 1 | zero 3 | turn 8 | generation 8 | commits 8 | tickets 8 | time floor 8 | crc 4`.
const SLOT: usize = 52;
const MAGIC: &[u8; 4] = b"DBHW";
const VERSION: u8 = 1;

/// The marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// Which records folder is in use.
    pub(super) generation: u64,
    /// Number of the last acknowledged commit.
    pub(super) commits: u64,
    /// Lowest outbox ticket never used.
    pub(super) tickets: u64,
    /// Time floor, Unix seconds.
    pub(super) time_floor: u64,
}

/// What the file said when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There was none.
    Absent,
    /// There was one, and neither slot is sound.
    Damaged,
    /// The newest sound slot.
    Sound(Marks),
    /// A sound slot of a later format.
    Newer(u8),
}

/// The open file and whose turn it is.
#[derive(Debug)]
pub(super) struct HighWater {
    file: File,
    turn: u64,
    marks: Marks,
}

fn encode(turn: u64, marks: Marks) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(MAGIC);
    slot[4] = VERSION;
    let fields = [
        turn,
        marks.generation,
        marks.commits,
        marks.tickets,
        marks.time_floor,
    ];
    for (place, field) in slot[8..48].chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    let crc = crc32c(&[&slot[..48]]);
    slot[48..].copy_from_slice(&crc.to_be_bytes());
    slot
}

/// `Err` carries the version of a sound slot of another format.
fn decode(slot: &[u8; SLOT]) -> Option<Result<(u64, Marks), u8>> {
    let (body, crc) = slot.split_at(48);
    if !body.starts_with(MAGIC) || crc != crc32c(&[body]).to_be_bytes() {
        return None;
    }
    if slot[4] != VERSION {
        return Some(Err(slot[4]));
    }
    let mut fields = [0u64; 5];
    for (field, place) in fields.iter_mut().zip(body[8..].chunks_exact(8)) {
        *field = u64::from_be_bytes(place.try_into().ok()?);
    }
    let [turn, generation, commits, tickets, time_floor] = fields;
    Some(Ok((
        turn,
        Marks {
            generation,
            commits,
            tickets,
            time_floor,
        },
    )))
}

impl HighWater {
    /// Opens or makes the file and reads the newest sound slot.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let length = file.metadata()?.len();
        let mut best: Option<(u64, Marks)> = None;
        let mut newer = None;
        for place in 0..2 {
            let mut slot = [0; SLOT];
            match file.read_exact_at(&mut slot, place * SLOT_SPAN) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(e) => return Err(e),
            }
            match decode(&slot) {
                Some(Ok(read)) if best.is_none_or(|(turn, _)| read.0 > turn) => best = Some(read),
                Some(Err(version)) => newer = Some(version),
                Some(Ok(_)) | None => {}
            }
        }
        let found = match (newer, best) {
            (Some(version), _) => Found::Newer(version),
            (None, Some((_, marks))) => Found::Sound(marks),
            (None, None) if length == 0 => Found::Absent,
            (None, None) => Found::Damaged,
        };
        let (turn, marks) = best.unwrap_or_default();
        Ok((Self { file, turn, marks }, found))
    }

    /// The marks last read or written.
    pub(super) fn marks(&self) -> Marks {
        self.marks
    }

    /// Writes the older slot and syncs it. After an error the other slot still holds.
    pub(super) fn write(&mut self, marks: Marks) -> io::Result<()> {
        let turn = self.turn + 1;
        self.file
            .write_all_at(&encode(turn, marks), (turn % 2) * SLOT_SPAN)?;
        self.file.sync_data()?;
        self.turn = turn;
        self.marks = marks;
        Ok(())
    }

    /// Writes both slots, so that losing either still leads to these marks.
    pub(super) fn write_both(&mut self, marks: Marks) -> io::Result<()> {
        self.write(marks)?;
        self.write(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(commits: u64) -> Marks {
        Marks {
            generation: 1,
            commits,
            tickets: 9,
            time_floor: 1_790_000_000,
        }
    }

    /// Power fails while a slot is written: the one before must still be found (F12).
    #[test]
    fn f12_torn_slot_falls_back_to_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("high-water");
        let (mut file, found) = HighWater::open(&path).unwrap();
        assert_eq!(found, Found::Absent);
        file.write(marks(1)).unwrap();
        file.write(marks(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let newest = if decode(whole[..SLOT].try_into().unwrap())
            .unwrap()
            .unwrap()
            .0
            == 2
        {
            0
        } else {
            4_096
        };
        for at in 0..SLOT {
            let mut torn = whole.clone();
            torn[newest + at] ^= 0xFF;
            std::fs::write(&path, &torn).unwrap();
            assert_eq!(
                HighWater::open(&path).unwrap().1,
                Found::Sound(marks(1)),
                "byte {at}"
            );
        }
        std::fs::write(&path, b"DBHW").unwrap();
        assert_eq!(HighWater::open(&path).unwrap().1, Found::Damaged);
    }
}
