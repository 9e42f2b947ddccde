//! The owner of a lock, with a hub that is paired to it.

use std::path::Path;

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::{LogCursor, LogEvent};
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub, LogRecords};

use crate::air_peer::{Gone, Peer};

pub(crate) struct Owner {
    identity: IdentitySecret,
    pub(crate) hub: Peer,
    grant: Vec<u8>,
}

impl Owner {
    /// Takes ownership of the lock with this code, whose pairing window is open, and lets a new hub
    /// lock and look.
    pub(crate) fn claim(air: &Path, qr_text: &str) -> Self {
        let mut entropy = Randomness::Kernel;
        let identity = IdentitySecret::generate(&mut entropy);
        let mut hub = Peer::new(air, qr_text);
        hub.join(Purpose::Pair).unwrap();
        let said = hub
            .ask(&HubToLock::PairInfoRequest, |said| {
                matches!(said, LockToHub::PairInfo { .. })
            })
            .unwrap();
        let Ok(LockToHub::PairInfo {
            window,
            owned: false,
            policy_epoch,
        }) = LockToHub::decode(&said)
        else {
            panic!("the lock is owned already");
        };
        let claim = Claim {
            lock: hub.qr.lock,
            window,
            device: Nonce(entropy.bytes()),
            owner: PeerKeys {
                identity: identity.public(),
                link: LinkSecret::generate(&mut entropy).public(),
            },
            peer1: Some(hub.keys()),
            peer2: None,
            peer3: None,
            time_key: None,
            audit_key: IdentitySecret::generate(&mut entropy).public(),
            made_at: 1_790_000_000,
        };
        let mut bytes = [0; MAX_STATEMENT];
        let claim = claim.seal(&hub.qr.keys().claim_key, &mut bytes).unwrap();
        let said = hub
            .ask(&HubToLock::Claim { statement: claim }, |said| {
                matches!(said, LockToHub::Receipt { .. } | LockToHub::Refused { .. })
            })
            .unwrap();
        let Ok(LockToHub::Receipt { statement }) = LockToHub::decode(&said) else {
            panic!("the claim is refused");
        };
        Receipt::verify(statement, &hub.qr.identity).unwrap();
        let grant = Grant {
            issuer: identity.public(),
            holder: hub.keys().identity,
            holder_link: hub.keys().link,
            lock: hub.qr.lock,
            rights: Rights::LOCK.union(Rights::VIEW),
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch,
            ownership: OwnershipId::of_claim(claim),
        };
        let mut bytes = [0; MAX_STATEMENT];
        let grant = grant.sign(&identity, &mut bytes).unwrap().to_vec();
        let mut owner = Self {
            identity,
            hub,
            grant,
        };
        owner.present().unwrap();
        owner
    }

    /// After a reboot of the lock: the hub comes back.
    pub(crate) fn rejoin(&mut self) -> Result<(), Gone> {
        self.hub.join(Purpose::Session)?;
        self.present()
    }

    fn present(&mut self) -> Result<(), Gone> {
        let request = HubToLock::PresentGrant {
            statement: &self.grant,
        };
        self.hub
            .ask(&request, |said| {
                matches!(said, LockToHub::GrantAccepted { .. })
            })
            .map(|_| ())
    }

    /// A command on the lock's latest facts, good for 30 s.
    pub(crate) fn sign(&mut self, action: Action) -> Vec<u8> {
        let info = self.hub.session_info().unwrap();
        let command = Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap(),
            expiry_ms: info.time_ms + 30_000,
            grant: None,
        };
        let mut bytes = [0; MAX_STATEMENT];
        command.sign(&self.identity, &mut bytes).unwrap().to_vec()
    }

    /// Follows the whole log from its first record to the head that the lock signs.
    pub(crate) fn read_log(&mut self) -> Vec<LogEvent> {
        let info = self.hub.session_info().unwrap();
        let mut cursor = LogCursor::START;
        let mut events = Vec::new();
        while cursor.seq < info.log_seq.unwrap() {
            let from = cursor.seq + 1;
            let said = self
                .hub
                .ask(&HubToLock::LogPull { from }, |said| {
                    matches!(said, LockToHub::LogBatch { .. })
                })
                .unwrap();
            let Ok(LockToHub::LogBatch { records, .. }) = LockToHub::decode(&said) else {
                panic!("no batch");
            };
            for record in LogRecords::new(records) {
                events.push(cursor.follow(record.unwrap()).unwrap().event);
            }
            assert!(cursor.seq >= from, "an empty batch from {from}");
        }
        assert_eq!(Some(cursor.head), info.log_head);
        events
    }
}
