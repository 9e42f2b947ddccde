//! What the owner signs: claim, grant, commands, leave to free the log.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::{Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::LogCursor;
use drawbridge_protocol::session_info::SessionInfo;

use drawbridge_lock::Factory;

use super::dice::Dice;

pub(crate) struct Owner {
    pub(crate) identity: IdentitySecret,
    pub(crate) device: LinkSecret,
    pub(crate) audit: IdentitySecret,
    pub(crate) ownership: OwnershipId,
}

impl Owner {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            identity: IdentitySecret::generate(dice),
            device: LinkSecret::generate(dice),
            audit: IdentitySecret::generate(dice),
            ownership: OwnershipId([0; 8]),
        }
    }

    /// A claim of the lock with the hub as a peer; from here on this is the owner.
    pub(crate) fn claim(&mut self, factory: &Factory, window: Nonce, hub: PeerKeys) -> Vec<u8> {
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
            .seal(&factory.qr().keys().claim_key, &mut [0; 724])
            .unwrap()
            .to_vec();
        self.ownership = OwnershipId::of_claim(&sealed);
        sealed
    }

    /// The hub's own rights: lock and view.
    pub(crate) fn grant(&self, factory: &Factory, hub: &PeerKeys, policy_epoch: u32) -> Vec<u8> {
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
        grant.sign(&self.identity, &mut [0; 724]).unwrap().to_vec()
    }

    /// A command that is the `ahead`th after what `info` says, good for `lasts_ms`.
    pub(crate) fn command(
        &self,
        info: &SessionInfo,
        action: Action,
        ahead: u64,
        lasts_ms: u64,
    ) -> Vec<u8> {
        let command = Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + ahead,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + lasts_ms,
            grant: None,
        };
        command
            .sign(&self.identity, &mut [0; 724])
            .unwrap()
            .to_vec()
    }

    pub(crate) fn audit_ack(&self, factory: &Factory, cursor: LogCursor) -> Vec<u8> {
        let ack = AuditAck {
            lock: factory.lock,
            ownership: self.ownership,
            seq: cursor.seq,
            head: cursor.head,
        };
        ack.sign(&self.audit, &mut [0; 724]).unwrap().to_vec()
    }
}
