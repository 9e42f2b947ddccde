//! What the owner signs: claim, grant, commands, leave to free the log.

use drawbridge_lock::Factory;
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::{Digest32, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::session_info::SessionInfo;

use crate::dice::Dice;

/// Room for any statement, bytes.
const STATEMENT: usize = 724;

/// The owner of one lock.
#[derive(Debug)]
pub struct Owner {
    /// The owner root.
    pub identity: IdentitySecret,
    /// The owner's device.
    pub device: LinkSecret,
    /// Frees the log.
    pub audit: IdentitySecret,
    /// All zero before the claim.
    pub ownership: OwnershipId,
}

impl Owner {
    /// New keys; owns nothing.
    #[must_use]
    pub fn new(dice: &mut Dice) -> Self {
        Self {
            identity: IdentitySecret::generate(dice),
            device: LinkSecret::generate(dice),
            audit: IdentitySecret::generate(dice),
            ownership: OwnershipId([0; 8]),
        }
    }

    /// A claim of the lock with the hub as a peer; from here on this is the owner.
    ///
    /// # Panics
    /// Never: the buffer holds every claim.
    pub fn claim(&mut self, factory: &Factory, window: Nonce, hub: PeerKeys) -> Vec<u8> {
        let claim = Claim {
            lock: factory.lock,
            window,
            device: Nonce([6; 16]),
            owner: PeerKeys {
                identity: self.identity.public(),
                link: self.device.public(),
            },
            peer1: Some(hub),
            peer2: None,
            peer3: None,
            time_key: None,
            audit_key: self.audit.public(),
            made_at: 1_790_000_000,
        };
        let sealed = claim
            .seal(&factory.qr().keys().claim_key, &mut [0; STATEMENT])
            .expect("a claim fits")
            .to_vec();
        self.ownership = OwnershipId::of_claim(&sealed);
        sealed
    }

    /// The hub's own rights: lock and view.
    ///
    /// # Panics
    /// Never: the buffer holds every grant.
    #[must_use]
    pub fn grant(&self, factory: &Factory, hub: &PeerKeys, policy_epoch: u32) -> Vec<u8> {
        let grant = Grant {
            issuer: self.identity.public(),
            holder: hub.identity,
            holder_link: hub.link,
            lock: factory.lock,
            rights: Rights::LOCK.union(Rights::VIEW),
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch,
            ownership: self.ownership,
        };
        let mut out = [0; STATEMENT];
        let signed = grant.sign(&self.identity, &mut out);
        signed.expect("a grant fits").to_vec()
    }

    /// A command that is the `ahead`th after what `info` says, good for `lasts_ms`.
    #[must_use]
    pub fn command(
        &self,
        info: &SessionInfo,
        action: Action,
        ahead: u64,
        lasts_ms: u64,
    ) -> Vec<u8> {
        signed(
            &command(info, action, ahead, lasts_ms, None),
            &self.identity,
        )
    }

    /// Leave to free the log up to `cursor`.
    ///
    /// # Panics
    /// Never: the buffer holds every acknowledgement.
    #[must_use]
    pub fn audit_ack(&self, factory: &Factory, cursor: LogCursor) -> Vec<u8> {
        let ack = AuditAck {
            lock: factory.lock,
            ownership: self.ownership,
            seq: cursor.seq,
            head: cursor.head,
        };
        let mut out = [0; STATEMENT];
        let signed = ack.sign(&self.audit, &mut out);
        signed.expect("an acknowledgement fits").to_vec()
    }
}

/// A command for the run of the lock that `info` tells of.
#[must_use]
pub fn command(
    info: &SessionInfo,
    action: Action,
    ahead: u64,
    lasts_ms: u64,
    grant: Option<Digest32>,
) -> Command {
    Command {
        lock: info.lock,
        action,
        epoch: info.epoch,
        counter: info.counter + ahead,
        log_position: info.log_seq.unwrap_or(0),
        expiry_ms: info.time_ms + lasts_ms,
        grant,
    }
}

/// `command` under `holder`'s key.
///
/// # Panics
/// Never: the buffer holds every command.
#[must_use]
pub fn signed(command: &Command, holder: &IdentitySecret) -> Vec<u8> {
    let mut out = [0; STATEMENT];
    let signed = command.sign(holder, &mut out);
    signed.expect("a command fits").to_vec()
}
