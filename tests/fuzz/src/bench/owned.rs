//! A lock that has an owner and a hub, made once and started from its flash ever after.

use std::sync::OnceLock;

use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::door::Door;
use super::peer::Peer;
use crate::parties;

/// Pages of flash: four of the store, four of the log.
static BLANK: [u8; 8 * 4_096] = [0xff; 8 * 4_096];

/// What pairing left behind.
#[derive(Debug)]
pub(crate) struct Owned {
    /// The lock's flash.
    pub(crate) flash: Vec<u8>,
    /// The hub's keys for it.
    pub(crate) ring: PskRing,
    pub(crate) ownership: OwnershipId,
    policy_epoch: u32,
}

impl Owned {
    /// The one that all inputs start from.
    pub(crate) fn get() -> &'static Self {
        static OWNED: OnceLock<Owned> = OnceLock::new();
        OWNED.get_or_init(Self::pair)
    }

    pub(crate) fn blank() -> &'static [u8] {
        &BLANK
    }

    pub(crate) fn door(&self) -> Door {
        Door::new(&self.flash).expect("a sound flash")
    }

    fn pair() -> Self {
        let mut door = Door::new(&BLANK).expect("a new lock");
        door.press_button(200);
        let mut hub = Peer::unpaired(1);
        hub.shake(&mut door, Purpose::Pair);
        let said = hub.ask(&mut door, &HubToLock::PairInfoRequest);
        let info = said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::PairInfo {
                window,
                policy_epoch,
                ..
            }) => Some((window, policy_epoch)),
            _ => None,
        });
        let (window, policy_epoch) = info.expect("an open window");
        let claim = claim(window);
        let said = hub.ask(&mut door, &HubToLock::Claim { statement: &claim });
        let receipt =
            |said: &Vec<u8>| matches!(LockToHub::decode(said), Ok(LockToHub::Receipt { .. }));
        assert!(said.iter().any(receipt), "the claim is taken");
        let ownership = OwnershipId::of_claim(&claim);
        // A little history: two turns, a restart, and a session on the rotated key.
        for action in [Action::Unlock, Action::Lock] {
            let command = signed(
                &door,
                action,
                u64::from(door.starts) + 1,
                &parties::owner_identity(),
            );
            hub.ask(
                &mut door,
                &HubToLock::Command {
                    statement: &command,
                },
            );
        }
        assert_eq!(door.starts, 2);
        door.reboot();
        hub.shake(&mut door, Purpose::Session);
        assert!(!hub.ask(&mut door, &HubToLock::ReportRequest).is_empty());
        assert!(hub.ring.current.generation > 0);
        Self {
            flash: door.cells(),
            ring: hub.ring.clone(),
            ownership,
            policy_epoch,
        }
    }

    /// The hub's grant with these rights.
    pub(crate) fn grant(&self, rights: Rights) -> Vec<u8> {
        let grant = Grant {
            issuer: parties::owner_identity().public(),
            holder: parties::hub_identity().public(),
            holder_link: parties::hub_link().public(),
            lock: parties::LOCK,
            rights,
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch: self.policy_epoch,
            ownership: self.ownership,
        };
        let mut out = [0; MAX_STATEMENT];
        let signed = grant.sign(&parties::owner_identity(), &mut out);
        signed.expect("grants fit").to_vec()
    }
}

/// What the door's lock would carry out for its owner now.
pub(crate) fn command(door: &Door, action: Action, counter: u64) -> Command {
    let status = door.status();
    Command {
        lock: LockId(parties::LOCK.0),
        action,
        epoch: status.epoch,
        counter,
        log_position: status.log_newest,
        expiry_ms: door.now + 5_000,
        grant: None,
    }
}

/// The same, signed.
pub(crate) fn signed(door: &Door, action: Action, counter: u64, by: &IdentitySecret) -> Vec<u8> {
    sign(&command(door, action, counter), by)
}

pub(crate) fn sign(command: &Command, by: &IdentitySecret) -> Vec<u8> {
    let mut out = [0; MAX_STATEMENT];
    command.sign(by, &mut out).expect("commands fit").to_vec()
}

fn claim(window: Nonce) -> Vec<u8> {
    let hub = PeerKeys {
        identity: parties::hub_identity().public(),
        link: parties::hub_link().public(),
    };
    let claim = Claim {
        lock: parties::LOCK,
        window,
        device: Nonce([6; 16]),
        owner: PeerKeys {
            identity: parties::owner_identity().public(),
            link: parties::owner_link().public(),
        },
        peer1: Some(hub),
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: parties::audit_identity().public(),
        made_at: 1_790_000_000,
    };
    let mut out = [0; MAX_STATEMENT];
    let sealed = claim.seal(&parties::claim_key(), &mut out);
    sealed.expect("claims fit").to_vec()
}
