//! The owner's secrets, and everything the owner remembers.

use std::collections::BTreeMap;

use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};

use super::lock_record::LockRecord;

/// The three secrets of an owner; each prints only what is public of it.
#[derive(Debug, Clone)]
pub struct OwnerKeys {
    /// Signs commands and grants: the root of every lock it owns.
    pub identity: IdentitySecret,
    /// The owner's end of a session, for a device that talks to locks directly.
    pub link: LinkSecret,
    /// Signs leave to free log records. Apart from `identity`, so that it can be given away.
    pub audit: IdentitySecret,
}

impl OwnerKeys {
    /// Fresh keys.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        Self {
            identity: IdentitySecret::generate(entropy),
            link: LinkSecret::generate(entropy),
            audit: IdentitySecret::generate(entropy),
        }
    }

    /// The public halves that a claim names.
    #[must_use]
    pub fn public(&self) -> PeerKeys {
        PeerKeys {
            identity: self.identity.public(),
            link: self.link.public(),
        }
    }
}

/// Everything in an owner key file.
#[derive(Debug, Clone)]
pub struct OwnerBook {
    /// The secrets.
    pub keys: OwnerKeys,
    /// Number of the next grant; numbers are never used twice.
    pub next_serial: u32,
    /// The keys under which each hub was first met, by hub id.
    pub hubs: BTreeMap<String, PeerKeys>,
    /// The locks, owned or being claimed.
    pub locks: Vec<LockRecord>,
}

/// A name or id that does not say which lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhichLock {
    /// No such lock in the file.
    #[error("find a lock called '{0}' in the owner key file")]
    Unknown(String),
    /// Two locks have this name.
    #[error("tell which lock is meant: {1} locks are called '{0}'")]
    Ambiguous(String, usize),
}

impl OwnerBook {
    /// A book without locks.
    pub fn new(entropy: &mut impl Entropy) -> Self {
        Self {
            keys: OwnerKeys::generate(entropy),
            next_serial: 1,
            hubs: BTreeMap::new(),
            locks: Vec::new(),
        }
    }

    /// The lock with this id.
    #[must_use]
    pub fn lock(&self, id: LockId) -> Option<&LockRecord> {
        self.locks.iter().find(|lock| lock.id == id)
    }

    /// The lock with this id, to be changed.
    pub fn lock_mut(&mut self, id: LockId) -> Option<&mut LockRecord> {
        self.locks.iter_mut().find(|lock| lock.id == id)
    }

    /// The lock that `door` names: its id (16 hexadecimal digits), or its name in any letter case.
    ///
    /// # Errors
    /// [`WhichLock`]; a doubtful name never picks one.
    pub fn find(&self, door: &str) -> Result<&LockRecord, WhichLock> {
        if let Some(lock) = door.parse().ok().and_then(|id| self.lock(id)) {
            return Ok(lock);
        }
        let wanted = door.to_lowercase();
        let mut named = self
            .locks
            .iter()
            .filter(|lock| lock.name.to_lowercase() == wanted);
        match (named.next(), named.count()) {
            (Some(lock), 0) => Ok(lock),
            (Some(_), more) => Err(WhichLock::Ambiguous(door.to_owned(), more + 1)),
            (None, _) => Err(WhichLock::Unknown(door.to_owned())),
        }
    }

    /// Takes the next grant number; `None` after 2^32 - 1 grants.
    pub fn take_serial(&mut self) -> Option<u32> {
        let serial = self.next_serial;
        self.next_serial = serial.checked_add(1)?;
        Some(serial)
    }
}

/// The kernel's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Entropy for Kernel {
    fn fill(&mut self, into: &mut [u8]) {
        // getrandom(2) fails only on kernels before 3.17; keys made without it would be worthless.
        getrandom::fill(into).expect("the kernel gives random bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_lock::TestLock;
    use super::*;

    // Guards: "unlock front" turning the bolt of another door because two doors share a name.
    #[test]
    fn a_doubtful_name_never_picks_a_lock() {
        let mut book = OwnerBook::new(&mut Kernel);
        book.locks = vec![
            TestLock::new(1).record("Front"),
            TestLock::new(2).record("front"),
            TestLock::new(3).record("Back"),
        ];
        assert_eq!(
            book.find("FRONT").unwrap_err(),
            WhichLock::Ambiguous("FRONT".into(), 2)
        );
        assert_eq!(book.find("back").unwrap().id, TestLock::new(3).id);
        let id = TestLock::new(2).id.to_string();
        assert_eq!(book.find(&id).unwrap().id, TestLock::new(2).id);
        assert!(matches!(book.find("side"), Err(WhichLock::Unknown(_))));
    }

    // Guards (S23): a key in a log line or a panic message.
    #[test]
    fn s23_debug_of_the_book_shows_no_secret() {
        let book = OwnerBook::new(&mut Kernel);
        let shown = format!("{book:?}");
        for secret in [
            book.keys.identity.danger_to_bytes(),
            *book.keys.link.danger_as_bytes(),
            book.keys.audit.danger_to_bytes(),
        ] {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{secret:?}");
            assert!(!shown.contains(&hex) && !shown.contains(list.trim_matches(['[', ']'])));
        }
    }
}
