//! What the owner knows of one lock.

use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::{Digest32, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentityKey, LinkKey};
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::receipt::Receipt;

/// Longest name of a lock, in characters.
pub const MAX_LOCK_NAME: usize = 40;

/// The most claims that wait for a receipt; older ones are given up first.
pub const MAX_PENDING: usize = 4;

/// A claim that was made and may have been sent; kept until a receipt for one of them verifies,
/// because the lock answers the claim it took with the same receipt again, and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingClaim {
    /// The pairing window that it answers.
    pub window: Nonce,
    /// The sealed claim, as sent.
    pub claim: Vec<u8>,
    /// The hub's grant that goes with it.
    pub grant: HubGrant,
}

/// A grant that the owner issued to a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubGrant {
    /// The hub's id, when it was reached through a broker.
    pub hub: Option<String>,
    /// Its keys.
    pub holder: PeerKeys,
    /// What it may do.
    pub rights: Rights,
    /// Number among this owner's grants.
    pub serial: u32,
    /// The signed grant.
    pub bytes: Vec<u8>,
}

/// Whose the lock is, as far as is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Claims were made; no receipt was seen.
    Pending(Vec<PendingClaim>),
    /// The lock signed that it took our claim.
    Owned {
        /// The ownership that began with it.
        ownership: OwnershipId,
        /// SHA-256 of the claim.
        claim: Digest32,
        /// The lock's receipt, as signed.
        receipt: Vec<u8>,
    },
}

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockRecord {
    /// Which.
    pub id: LockId,
    /// What the owner calls it.
    pub name: String,
    /// The maker's number for the model.
    pub model: u16,
    /// From the code on the lock: signs what it says.
    pub identity: IdentityKey,
    /// From the code on the lock: its end of sessions.
    pub link: LinkKey,
    /// Whose it is.
    pub standing: Standing,
    /// Grants issued to hubs, oldest first.
    pub grants: Vec<HubGrant>,
    /// Up to where the log was read, followed and acknowledged: leave to free it was signed, and
    /// may have reached the lock or not.
    pub log: Option<LogCursor>,
}

impl LockRecord {
    /// The ownership in force, once proven.
    #[must_use]
    pub fn ownership(&self) -> Option<OwnershipId> {
        match &self.standing {
            Standing::Owned { ownership, .. } => Some(*ownership),
            Standing::Pending(_) => None,
        }
    }

    /// The newest record of the lock's log that the owner knows by its hash: that of the mark, else
    /// the one that the lock's receipt names. [`LogCursor::START`] while there is neither, and where
    /// the receipt does not verify: then nothing may be missing.
    #[must_use]
    pub fn known_log(&self) -> LogCursor {
        let receipt = || match &self.standing {
            Standing::Owned { receipt, .. } => Receipt::verify(receipt, &self.identity).ok(),
            Standing::Pending(_) => None,
        };
        let of_receipt = |receipt: Receipt| LogCursor {
            seq: receipt.log_seq,
            head: receipt.log_head,
        };
        self.log
            .or_else(|| receipt().map(of_receipt))
            .unwrap_or(LogCursor::START)
    }
}

/// A name that a lock cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Empty, too long, or blank at an end.
    #[error(
        "accept the name: it must have 1 to {MAX_LOCK_NAME} characters, no blank first or last"
    )]
    Length,
    /// Control characters, line breaks or marks that change the direction of text.
    #[error("accept the name: it has characters that do not print")]
    NotPrintable,
    /// It could be taken for an id.
    #[error("accept the name: 16 hexadecimal digits would look like the id of a lock")]
    LooksLikeAnId,
}

/// Checks a name that a person gives to a lock.
///
/// # Errors
/// [`NameError`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.trim() != name || name.chars().count() > MAX_LOCK_NAME {
        return Err(NameError::Length);
    }
    if !name.chars().all(crate::cli::plain_text::prints) {
        return Err(NameError::NotPrintable);
    }
    if name.parse::<LockId>().is_ok() {
        return Err(NameError::LooksLikeAnId);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards (S26): a name that forges lines, turns text around, or poses as another lock's id.
    #[test]
    fn s26_names_cannot_forge_lines_or_ids() {
        for good in ["Front door", "Haustür", "дверь", "a/b #1"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", " x", "x ", &"x".repeat(41)] {
            assert_eq!(check_name(bad), Err(NameError::Length), "{bad:?}");
        }
        for bad in [
            "a\nb",
            "a\u{202e}b",
            "a\0b",
            "a\u{1b}[2Jb",
            "a\u{200b}b",
            "a\u{2028}b",
        ] {
            assert_eq!(check_name(bad), Err(NameError::NotPrintable), "{bad:?}");
        }
        assert_eq!(
            check_name("00112233445566FF"),
            Err(NameError::LooksLikeAnId)
        );
    }
}
