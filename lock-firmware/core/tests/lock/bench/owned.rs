//! A lock with an owner, and what the owner signs.

use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Digest32, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use super::home::Home;
use super::peer::{Peer, refusal};

/// An owner whose hub is paired, holds a session and has presented its grant (lock and view).
pub(crate) struct Owned {
    pub(crate) home: Home,
    pub(crate) hub: Peer,
    pub(crate) owner: IdentitySecret,
    pub(crate) audit: IdentitySecret,
    pub(crate) ownership: OwnershipId,
    pub(crate) policy_epoch: u32,
    pub(crate) claim: Vec<u8>,
    pub(crate) grant: Vec<u8>,
}

impl Owned {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(Home::new(seed))
    }

    pub(crate) fn of(mut home: Home) -> Self {
        let mut hub = Peer::new(&mut home, 1);
        let owner = IdentitySecret::generate(&mut home.entropy);
        let audit = IdentitySecret::generate(&mut home.entropy);
        home.press_button();
        assert!(hub.connect(&mut home));
        assert!(hub.shake(&mut home, Purpose::Pair));
        let said = hub.ask(&mut home, &HubToLock::PairInfoRequest);
        let Ok(LockToHub::PairInfo {
            window,
            owned: false,
            policy_epoch,
        }) = LockToHub::decode(&said[0])
        else {
            panic!("no pair info");
        };
        let claim = claim_of(&home, &owner, &audit, window, Some(hub.keys()));
        let said = hub.ask(&mut home, &HubToLock::Claim { statement: &claim });
        assert!(
            said.iter()
                .any(|s| matches!(LockToHub::decode(s), Ok(LockToHub::Receipt { .. }))),
            "claim refused: {:?}, halted {}",
            refusal(&said),
            home.lock().is_halted()
        );
        let ownership = OwnershipId::of_claim(&claim);
        let mut owned = Self {
            home,
            hub,
            owner,
            audit,
            ownership,
            policy_epoch,
            claim,
            grant: Vec::new(),
        };
        owned.grant = owned.grant_for(&owned.hub.keys(), Rights::LOCK.union(Rights::VIEW));
        owned.present();
        owned
    }

    pub(crate) fn grant_for(&self, holder: &PeerKeys, rights: Rights) -> Vec<u8> {
        let mut out = [0; 724];
        Grant {
            issuer: self.owner.public(),
            holder: holder.identity,
            holder_link: holder.link,
            lock: self.home.factory.lock,
            rights,
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch: self.policy_epoch,
            ownership: self.ownership,
        }
        .sign(&self.owner, &mut out)
        .unwrap()
        .to_vec()
    }

    pub(crate) fn present(&mut self) {
        let grant = self.grant.clone();
        let said = self.hub.ask(
            &mut self.home,
            &HubToLock::PresentGrant { statement: &grant },
        );
        assert!(
            said.iter()
                .any(|s| matches!(LockToHub::decode(s), Ok(LockToHub::GrantAccepted { .. }))),
            "grant refused: {:?}",
            refusal(&said)
        );
    }

    /// Power off and on; the hub comes back with a new handshake and its grant.
    pub(crate) fn reboot(&mut self) {
        self.home.boot().unwrap();
        self.rejoin();
    }

    pub(crate) fn rejoin(&mut self) {
        assert!(self.hub.connect(&mut self.home));
        let shaken = self.hub.shake(&mut self.home, Purpose::Session);
        if !shaken {
            let previous = self.hub.ring.previous.clone().unwrap();
            assert!(self.hub.connect(&mut self.home));
            assert!(
                self.hub
                    .shake_with(&mut self.home, Purpose::Session, &previous)
            );
        }
        self.present();
    }

    /// A command by the owner, good for 30 s.
    pub(crate) fn sign(&mut self, action: Action) -> Vec<u8> {
        let info = self.hub.session_info(&mut self.home);
        self.sign_on(&info, action)
    }

    pub(crate) fn sign_on(&self, info: &SessionInfo, action: Action) -> Vec<u8> {
        let command = self.command_on(info, action);
        sign(&command, &self.owner)
    }

    pub(crate) fn command_on(&self, info: &SessionInfo, action: Action) -> Command {
        Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + 30_000,
            grant: None,
        }
    }

    /// A command by the hub's own key under its own grant, good for 5 s.
    pub(crate) fn sign_by_hub(&mut self, action: Action) -> Vec<u8> {
        let holder = self.hub.identity.public();
        let info = self.hub.session_info_of(&mut self.home, Some(holder));
        let mut command = self.command_on(&info, action);
        command.expiry_ms = info.time_ms + 5_000;
        command.grant = Some(Digest32::of(&self.grant));
        sign(&command, &self.hub.identity)
    }
}

pub(crate) fn sign(command: &Command, by: &IdentitySecret) -> Vec<u8> {
    command.sign(by, &mut [0; 724]).unwrap().to_vec()
}

pub(crate) fn claim_of(
    home: &Home,
    owner: &IdentitySecret,
    audit: &IdentitySecret,
    window: Nonce,
    hub: Option<PeerKeys>,
) -> Vec<u8> {
    let device = LinkSecret::from_bytes([0x31; 32]);
    Claim {
        lock: home.factory.lock,
        window,
        device: Nonce([6; 16]),
        owner: PeerKeys {
            identity: owner.public(),
            link: device.public(),
        },
        peer1: hub,
        peer2: None,
        peer3: None,
        time_key: None,
        audit_key: audit.public(),
        made_at: 1_790_000_000,
    }
    .seal(&home.factory.qr().keys().claim_key, &mut [0; 724])
    .unwrap()
    .to_vec()
}
