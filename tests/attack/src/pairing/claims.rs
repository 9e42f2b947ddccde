//! Claims made without the claim key, or meant for another moment.

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, SharedSecret};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::secret::{ClaimKey, SetupKeys};
use drawbridge_protocol::tunnel::HubToLock;

use crate::report::{Ended, Flaw, Report, not_carried_out, refused};
use crate::scene::with_seal_of;

use super::bench::Bench;
use super::window;

/// Length of a MAC.
const MAC: usize = 32;

/// Changes a claim in favour of whoever has these keys.
type Edit = fn(&mut Claim, PeerKeys);

/// All of them while the window is open; leaves the lock without an owner and a window open.
pub(super) fn run(bench: &mut Bench, report: &mut Report) {
    report.attempt("pairing: claim with every key that a hub has", || {
        bench.open_window()?;
        let mut tried = 0;
        for (what, key) in hub_keys(bench) {
            let claim = own_claim(bench, &key)?;
            expect_no_owner(bench, &claim, &[Reason::Signature])
                .map_err(|flaw| name(flaw, &what))?;
            tried += 1;
        }
        Ok(format!("{tried} keys, each refused: signature; no owner"))
    });
    report.attempt("pairing: claim with a random seal", || {
        for _ in 0..32 {
            let claim = own_claim(bench, &ClaimKey::new([0; 32]))?;
            let random: [u8; MAC] = bench.entropy.bytes();
            let claim = with_seal_of(&random, claim, MAC);
            expect_no_owner(bench, &claim, &[Reason::Signature])?;
        }
        Ok("32 seals refused: signature; no owner".into())
    });
    report.attempt("pairing: put the hub's keys into the owner's claim", || {
        let (nonce, _) = window(bench)?;
        let mine = bench.peer.keys();
        let edits: [(&str, Edit); 4] = [
            ("as owner", |claim, mine| claim.owner = mine),
            ("as peer", |claim, mine| claim.peer1 = Some(mine)),
            ("as a further peer", |claim, mine| claim.peer2 = Some(mine)),
            ("as audit key", |claim, mine| {
                claim.audit_key = mine.identity
            }),
        ];
        for (what, edit) in edits {
            let mut claim = bench.claim_text(nonce, false);
            let genuine = seal(&claim, &bench.owner.code.keys().claim_key)?;
            edit(&mut claim, mine);
            let forged = with_seal_of(&genuine, seal(&claim, &ClaimKey::new([0; 32]))?, MAC);
            expect_no_owner(bench, &forged, &[Reason::Signature])
                .map_err(|flaw| name(flaw, what))?;
        }
        Ok("4 places tried, each refused: signature; no owner".into())
    });
    report.attempt("pairing: a genuine claim for another lock", || {
        let (nonce, _) = window(bench)?;
        let other = other_code();
        let mut claim = bench.claim_text(nonce, true);
        claim.lock = other.lock;
        let for_other = seal(&claim, &other.keys().claim_key)?;
        expect_no_owner(bench, &for_other, &[Reason::Signature, Reason::WrongLock])
    });
    report.attempt("pairing: the owner's claim for a window of before", || {
        let (before, _) = window(bench)?;
        let withheld = bench.genuine_claim(before, true)?;
        bench.knob(r#"{"do":"reboot"}"#)?;
        bench.open_window()?;
        let (now, _) = window(bench)?;
        if now == before {
            return Err(Flaw::Worked("the window has the nonce of before".into()));
        }
        expect_no_owner(bench, &withheld, &[Reason::WindowClosed])
    });
}

/// A lock with an owner takes no other, whatever seals the claim.
pub(super) fn second(bench: &mut Bench) -> Ended {
    // The first claim closed its window.
    bench.open_window()?;
    let mut last = String::new();
    for (_, key) in hub_keys(bench) {
        let claim = own_claim(bench, &key)?;
        let said = bench.peer.once(&HubToLock::Claim { statement: &claim })?;
        last = refused(&said, &[Reason::AlreadyOwned])?;
    }
    let (nonce, _) = window(bench)?;
    let genuine = bench.genuine_claim(nonce, true)?;
    let said = bench.peer.once(&HubToLock::Claim {
        statement: &genuine,
    })?;
    refused(&said, &[Reason::AlreadyOwned])?;
    Ok(format!("{last}, even with the right seal"))
}

/// Everything with 16 or 32 secret bytes that a hub has, as it is and as it could be misused.
fn hub_keys(bench: &Bench) -> Vec<(String, ClaimKey)> {
    let ticket = &bench.ticket;
    let mut beacon = [0; 32];
    beacon[..16].copy_from_slice(ticket.beacon_key.danger_as_bytes());
    let mut passkey = [0; 32];
    passkey[28..].copy_from_slice(&ticket.passkey.to_be_bytes());
    let mut id = [0; 16];
    id[..8].copy_from_slice(ticket.lock.as_bytes());
    let secrets = [
        ("the beacon key as setup secret", ticket.beacon_key.clone()),
        ("the lock's id as setup secret", SharedSecret::new(id)),
        ("zeros as setup secret", SharedSecret::new([0; 16])),
    ];
    let derived = secrets.into_iter().flat_map(|(what, secret)| {
        let keys = SetupKeys::derive(ticket.lock, &secret);
        [
            (format!("{what}, its claim key"), keys.claim_key),
            (format!("{what}, its psk"), keys.pair_psk),
        ]
    });
    [
        ("the pairing psk", ticket.pair_psk.clone()),
        ("the beacon key", ClaimKey::new(beacon)),
        ("the passkey", ClaimKey::new(passkey)),
        ("the lock's link key", ClaimKey::new(ticket.link.0)),
        ("the lock's identity key", ClaimKey::new(ticket.identity.0)),
        (
            "the hub's seed",
            ClaimKey::new(bench.peer.identity.danger_to_bytes()),
        ),
        ("zeros", ClaimKey::new([0; 32])),
    ]
    .into_iter()
    .map(|(what, key)| (what.to_owned(), key))
    .chain(derived)
    .collect()
}

/// A claim that makes the hub the owner of the open window's lock.
fn own_claim(bench: &mut Bench, key: &ClaimKey) -> Result<Vec<u8>, Flaw> {
    let (nonce, _) = window(bench)?;
    let mut claim = bench.claim_text(nonce, true);
    let mine = bench.peer.keys();
    (claim.owner, claim.peer1) = (mine, None);
    claim.audit_key = mine.identity;
    seal(&claim, key)
}

fn seal(claim: &Claim, key: &ClaimKey) -> Result<Vec<u8>, Flaw> {
    let mut out = [0; MAX_STATEMENT];
    claim
        .seal(key, &mut out)
        .map(<[u8]>::to_vec)
        .map_err(|error| not_carried_out(error.to_string()))
}

/// The lock refuses `claim` and still says that nobody owns it.
fn expect_no_owner(bench: &mut Bench, claim: &[u8], allowed: &[Reason]) -> Ended {
    let said = bench.peer.once(&HubToLock::Claim { statement: claim })?;
    let refusal = refused(&said, allowed)?;
    let (_, owned) = window(bench)?;
    if owned {
        return Err(Flaw::Worked("the lock has an owner".into()));
    }
    Ok(format!("{refusal}; no owner"))
}

fn name(flaw: Flaw, what: &str) -> Flaw {
    match flaw {
        Flaw::Worked(text) => Flaw::Worked(format!("{what}: {text}")),
        Flaw::NotCarriedOut(text) => Flaw::NotCarriedOut(format!("{what}: {text}")),
    }
}

fn other_code() -> QrCode {
    let mut entropy = Randomness::Kernel;
    QrCode {
        model: 1,
        lock: LockId(entropy.bytes()),
        link: LinkSecret::generate(&mut entropy).public(),
        identity: IdentitySecret::generate(&mut entropy).public(),
        secret: SharedSecret::generate(&mut entropy),
    }
}
