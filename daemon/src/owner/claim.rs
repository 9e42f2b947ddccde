//! Taking ownership of a lock, from its code.
//!
//! Order: [`ClaimPlan::next`] with what the hub says of the window; **keep the book on disk before
//! sending**; send; give the lock's answer to [`accept_receipt`], and keep the book again. A claim
//! that was sent stays in the book until a receipt verifies, because a lock that took it answers
//! the same claim with the same receipt, and any other with `already_owned`.
//!
//! **Nothing is owned without a receipt that the lock signed over our very claim.**

use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::cose::{CoseError, MAX_STATEMENT};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{Digest32, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::KeyError;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::receipt::Receipt;

use super::grant::{self, MAX_POLICY_EPOCH};
use super::keys::OwnerBook;
use super::lock_record::{LockRecord, MAX_PENDING, NameError, PendingClaim, Standing, check_name};

/// What a hub says after it paired: nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The lock it says it paired with.
    pub lock: LockId,
    /// The nonce of the pairing window.
    pub window: Nonce,
    /// Whether the lock has an owner.
    pub owned: bool,
    /// The lock's policy epoch: a grant of an earlier one is revoked.
    pub policy_epoch: u32,
    /// The hub's id, when it was reached through a broker.
    pub hub_id: Option<String>,
    /// The hub's own keys, to be named in the claim.
    pub hub: PeerKeys,
}

/// Why no claim can be made, or why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The hub paired with another lock than the code's.
    #[error("match the lock with the code: the code is of {code}, the hub paired with {found}")]
    OtherLock {
        /// In the code.
        code: LockId,
        /// From the hub.
        found: LockId,
    },
    /// Somebody owns it.
    #[error("claim the lock: it has an owner already")]
    AlreadyOwned,
    /// It is ours, and proven.
    #[error("claim the lock: this key file owns it already, as '{0}'")]
    AlreadyOurs(String),
    /// A hub shows other keys than when it was first met.
    #[error("trust the hub '{0}': it shows other keys than when it was first met")]
    HubChangedKeys(String),
    /// The hub's keys must not be enrolled.
    #[error("accept the hub's keys")]
    HubKeys(#[source] KeyError),
    /// The hub names a policy epoch that the lock cannot have reached.
    #[error(
        "sign the hub's grant: the hub says policy epoch {0}, and only up to {MAX_POLICY_EPOCH} is believed"
    )]
    PolicyEpochFarAhead(u32),
    /// The book has another lock of this name.
    #[error("name the lock '{0}': another lock has that name")]
    NameTaken(String),
    /// The name cannot be used.
    #[error("name the lock")]
    Name(#[source] NameError),
    /// 2^32 grants were issued.
    #[error("number the hub's grant: all numbers are used")]
    SerialsSpent,
    /// A statement outgrew its bound.
    #[error("encode the claim")]
    Encode(#[source] CodecError),
    /// The receipt is not the lock's.
    #[error("verify the lock's receipt")]
    Receipt(#[source] CoseError),
    /// The receipt is of another lock or for another claim.
    #[error("verify the lock's receipt: it is for another claim")]
    OtherClaim,
    /// The book knows no such claim.
    #[error("find the claim that the receipt answers")]
    NoClaim,
}

impl From<CodecError> for ClaimError {
    fn from(error: CodecError) -> Self {
        Self::Encode(error)
    }
}

impl ClaimError {
    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::OtherLock { .. } => "scan the code on the very lock whose button you pressed",
            Self::AlreadyOwned => {
                "ask its owner for a grant; or, at the lock, hold the inside button for 10 s to reset it, then pair again"
            }
            Self::AlreadyOurs(_) => "drawbridge owner show",
            Self::HubChangedKeys(_) => {
                "find out why (was the hub set up anew?), then repeat with --accept-new-hub-keys"
            }
            Self::HubKeys(_) | Self::PolicyEpochFarAhead(_) => "do not use this hub",
            Self::NameTaken(_) | Self::Name(_) => "choose another --name",
            Self::SerialsSpent | Self::Encode(_) => "report this",
            Self::Receipt(_) | Self::OtherClaim | Self::NoClaim => {
                "do not treat the lock as yours; repeat the command, and if it says so again, use another hub"
            }
        }
    }

    /// Whether the lock may have taken a claim all the same.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(self, Self::Receipt(_) | Self::OtherClaim | Self::NoClaim)
    }

    /// Whether the same may work later with nothing changed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.may_have_succeeded()
    }
}

/// What to send, in this order, until one of them brings a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPlan {
    /// Claims to send.
    pub tries: Vec<PendingClaim>,
}

/// How a claim is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The code on the lock.
    pub code: &'a QrCode,
    /// What to call it.
    pub name: &'a str,
    /// Now, Unix seconds: becomes the first floor of the lock's time.
    pub made_at: u64,
    /// Whether a hub that shows other keys than before is believed.
    pub accept_new_hub_keys: bool,
}

impl ClaimPlan {
    /// The claims of earlier tries, newest first, for a hub that has the lock already: one of them
    /// may have been taken while its receipt got lost. `None` when there are none.
    #[must_use]
    pub fn again(book: &OwnerBook, lock: LockId) -> Option<Self> {
        match &book.lock(lock)?.standing {
            Standing::Pending(claims) if !claims.is_empty() => Some(Self {
                tries: claims.iter().rev().cloned().collect(),
            }),
            _ => None,
        }
    }

    /// Checks the offer against code and book, makes a claim if one is due, and puts it in the book.
    ///
    /// # Errors
    /// [`ClaimError`]; the book has not changed then.
    pub fn next(
        book: &mut OwnerBook,
        wish: Wish<'_>,
        offer: &Offer,
        entropy: &mut impl Entropy,
    ) -> Result<Self, ClaimError> {
        let code = wish.code;
        check(book, wish, offer)?;
        let earlier = match book.lock(code.lock).map(|lock| &lock.standing) {
            Some(Standing::Pending(claims)) => claims.clone(),
            _ => Vec::new(),
        };
        // The lock takes one claim; if one of ours from an earlier try arrived, only it gets the receipt.
        let mut tries: Vec<_> = earlier.iter().rev().cloned().collect();
        tries.sort_by_key(|claim| claim.window != offer.window);
        let this_window = tries
            .first()
            .is_some_and(|claim| claim.window == offer.window);
        if offer.owned && tries.is_empty() {
            return Err(ClaimError::AlreadyOwned);
        }
        if !offer.owned && !this_window {
            let fresh = make(book, wish, offer, entropy)?;
            remember(book, wish, offer, &fresh);
            tries.insert(0, fresh);
        } else if let Some(hub) = &offer.hub_id {
            book.hubs.insert(hub.clone(), offer.hub);
        }
        Ok(Self { tries })
    }
}

fn check(book: &OwnerBook, wish: Wish<'_>, offer: &Offer) -> Result<(), ClaimError> {
    let code = wish.code;
    if offer.lock != code.lock {
        return Err(ClaimError::OtherLock {
            code: code.lock,
            found: offer.lock,
        });
    }
    check_name(wish.name).map_err(ClaimError::Name)?;
    let same_name = |lock: &&LockRecord| lock.name.to_lowercase() == wish.name.to_lowercase();
    if book
        .locks
        .iter()
        .filter(same_name)
        .any(|lock| lock.id != code.lock)
    {
        return Err(ClaimError::NameTaken(wish.name.to_owned()));
    }
    // A reset lock says "no owner": then what we have of it is void, and claiming anew is right.
    if let Some(lock) = book.lock(code.lock)
        && matches!(lock.standing, Standing::Owned { .. })
        && offer.owned
    {
        return Err(ClaimError::AlreadyOurs(lock.name.clone()));
    }
    offer.hub.check().map_err(ClaimError::HubKeys)?;
    if offer.policy_epoch > MAX_POLICY_EPOCH {
        return Err(ClaimError::PolicyEpochFarAhead(offer.policy_epoch));
    }
    if let Some(hub) = &offer.hub_id
        && !wish.accept_new_hub_keys
        && book.hubs.get(hub).is_some_and(|known| *known != offer.hub)
    {
        return Err(ClaimError::HubChangedKeys(hub.clone()));
    }
    Ok(())
}

fn make(
    book: &mut OwnerBook,
    wish: Wish<'_>,
    offer: &Offer,
    entropy: &mut impl Entropy,
) -> Result<PendingClaim, ClaimError> {
    let claim = Claim {
        lock: wish.code.lock,
        window: offer.window,
        device: Nonce(entropy.bytes()),
        owner: book.keys.public(),
        peer1: Some(offer.hub),
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: book.keys.audit.public(),
        made_at: wish.made_at,
    };
    let mut out = [0; MAX_STATEMENT];
    let claim = claim.seal(&wish.code.keys().claim_key, &mut out)?.to_vec();
    let serial = book.take_serial().ok_or(ClaimError::SerialsSpent)?;
    let grant = grant::for_hub(
        &book.keys,
        serial,
        offer.hub_id.as_deref(),
        offer.hub,
        wish.code.lock,
        OwnershipId::of_claim(&claim),
        offer.policy_epoch,
    )?;
    Ok(PendingClaim {
        window: offer.window,
        claim,
        grant,
    })
}

fn remember(book: &mut OwnerBook, wish: Wish<'_>, offer: &Offer, fresh: &PendingClaim) {
    if let Some(hub) = &offer.hub_id {
        book.hubs.insert(hub.clone(), offer.hub);
    }
    let code = wish.code;
    let mut claims = match book.lock(code.lock).map(|lock| &lock.standing) {
        Some(Standing::Pending(claims)) => claims.clone(),
        _ => Vec::new(),
    };
    if claims.len() >= MAX_PENDING {
        claims.remove(0);
    }
    claims.push(fresh.clone());
    let record = LockRecord {
        id: code.lock,
        name: wish.name.to_owned(),
        model: code.model,
        identity: code.identity,
        link: code.link,
        standing: Standing::Pending(claims),
        grants: Vec::new(),
        log: None,
    };
    match book.lock_mut(code.lock) {
        Some(known) => *known = record,
        None => book.locks.push(record),
    }
}

/// Takes the lock's answer to `claim`: only from here on is the lock ours.
///
/// # Errors
/// [`ClaimError`]; the book has not changed then.
pub fn accept_receipt(
    book: &mut OwnerBook,
    lock: LockId,
    claim: &[u8],
    receipt: &[u8],
) -> Result<Receipt, ClaimError> {
    let record = book.lock_mut(lock).ok_or(ClaimError::NoClaim)?;
    let Standing::Pending(claims) = &record.standing else {
        return Err(ClaimError::NoClaim);
    };
    let grant = claims
        .iter()
        .find(|pending| pending.claim == claim)
        .map(|pending| pending.grant.clone())
        .ok_or(ClaimError::NoClaim)?;
    let said = Receipt::verify(receipt, &record.identity).map_err(ClaimError::Receipt)?;
    let digest = Digest32::of(claim);
    if said.lock != lock || said.claim != digest {
        return Err(ClaimError::OtherClaim);
    }
    record.standing = Standing::Owned {
        ownership: OwnershipId::of_claim(claim),
        claim: digest,
        receipt: receipt.to_vec(),
    };
    record.grants = vec![grant];
    Ok(said)
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
