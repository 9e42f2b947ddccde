//! A new lock, its honest owner, and the stolen hub between them.

use drawbridge_lock_sim::entropy::Randomness;
use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::ticket::PairingTicket;
use drawbridge_protocol::tunnel::HubToLock;
use serde_json::Value;

use crate::loot::Loot;
use crate::peer::{Peer, Target};
use crate::report::{Ended, Flaw, not_carried_out};
use crate::scene::{generations, sign};

use super::{is_receipt_for, window};

/// The honest owner: has the code, and keys of its own.
pub(super) struct Owner {
    pub(super) identity: IdentitySecret,
    link: LinkSecret,
    pub(super) audit: IdentitySecret,
    pub(super) code: QrCode,
}

/// All three.
pub(super) struct Bench {
    /// The attacker's end: stolen hub keys and a ticket.
    pub(super) peer: Peer,
    pub(super) ticket: PairingTicket,
    pub(super) owner: Owner,
    lock: Running,
    /// Starts of the motor that the owner wanted.
    pub(super) turns: u64,
    pub(super) entropy: Randomness,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(super) fn set_up(loot: &Loot) -> Result<Self, Flaw> {
        let failed = |error: String| not_carried_out(format!("make a lock to pair: {error}"));
        let folder = tempfile::Builder::new()
            .prefix("db-")
            .tempdir()
            .map_err(|error| failed(error.to_string()))?;
        let air = folder.path().join("air");
        let mut options = Options::new(&air, &folder.path().join("flash"));
        options.motor_ms = 20;
        let lock = Running::start(options).map_err(|error| failed(error.to_string()))?;
        let code = QrCode::from_text(lock.qr_text()).map_err(|error| failed(error.to_string()))?;
        let ticket = code.ticket();
        let mut entropy = Randomness::Kernel;
        let target = Target {
            lock: ticket.lock,
            link: ticket.link,
            identity: ticket.identity,
            beacon_key: ticket.beacon_key.clone(),
        };
        let psks = generations(&PskRing::pairing(ticket.pair_psk.clone()));
        Ok(Self {
            peer: Peer::new(&air, target, &loot.identity, &loot.link, psks),
            ticket,
            owner: Owner {
                identity: IdentitySecret::generate(&mut entropy),
                link: LinkSecret::generate(&mut entropy),
                audit: IdentitySecret::generate(&mut entropy),
                code,
            },
            lock,
            turns: 0,
            entropy,
            _folder: folder,
        })
    }

    /// Turns a knob of the simulated lock.
    pub(super) fn knob(&self, line: &str) -> Result<Value, Flaw> {
        let answer = self
            .lock
            .control(line)
            .map_err(|error| not_carried_out(error.to_string()))?;
        if answer["ok"] == Value::Bool(true) {
            Ok(answer)
        } else {
            Err(not_carried_out(format!("{line}: {answer}")))
        }
    }

    /// The owner presses the button inside; the hub joins.
    pub(super) fn open_window(&mut self) -> Result<(), Flaw> {
        self.knob(r#"{"do":"button","held_ms":200}"#)?;
        self.peer.leave();
        self.peer.join(Purpose::Pair)?;
        Ok(())
    }

    /// A claim as the owner makes it: for `window`, naming the hub or somebody else.
    pub(super) fn claim_text(&mut self, window: Nonce, names_hub: bool) -> Claim {
        let other = PeerKeys {
            identity: IdentitySecret::generate(&mut self.entropy).public(),
            link: LinkSecret::generate(&mut self.entropy).public(),
        };
        Claim {
            lock: self.ticket.lock,
            window,
            device: Nonce(self.entropy.bytes()),
            owner: PeerKeys {
                identity: self.owner.identity.public(),
                link: self.owner.link.public(),
            },
            peer1: Some(if names_hub { self.peer.keys() } else { other }),
            peer2: None,
            peer3: None,
            time_key: None,
            audit_key: self.owner.audit.public(),
            made_at: 1_790_000_000,
        }
    }

    /// The same, sealed with the claim key of the code.
    pub(super) fn genuine_claim(
        &mut self,
        window: Nonce,
        names_hub: bool,
    ) -> Result<Vec<u8>, Flaw> {
        let claim = self.claim_text(window, names_hub);
        let mut out = [0; MAX_STATEMENT];
        claim
            .seal(&self.owner.code.keys().claim_key, &mut out)
            .map(<[u8]>::to_vec)
            .map_err(|error| not_carried_out(error.to_string()))
    }

    /// An honest pairing, carried by the hub.
    pub(super) fn owner_claims(&mut self, names_hub: bool) -> Result<Vec<u8>, Flaw> {
        let (nonce, owned) = window(self)?;
        if owned {
            return Err(Flaw::Worked("somebody owns the lock already".into()));
        }
        let claim = self.genuine_claim(nonce, names_hub)?;
        let said = self.peer.once(&HubToLock::Claim { statement: &claim })?;
        if is_receipt_for(&said, &claim) {
            Ok(claim)
        } else {
            Err(not_carried_out(format!("the honest claim fails: {said:?}")))
        }
    }

    /// The owner's grant for the hub under `claim`: lock and view.
    pub(super) fn hub_grant(&self, claim: &[u8], policy_epoch: u32) -> Result<Vec<u8>, Flaw> {
        let keys = self.peer.keys();
        let grant = Grant {
            issuer: self.owner.identity.public(),
            holder: keys.identity,
            holder_link: keys.link,
            lock: self.ticket.lock,
            rights: Rights::LOCK.union(Rights::VIEW),
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch,
            ownership: OwnershipId::of_claim(claim),
        };
        let mut out = [0; MAX_STATEMENT];
        grant
            .sign(&self.owner.identity, &mut out)
            .map(<[u8]>::to_vec)
            .map_err(|error| not_carried_out(error.to_string()))
    }

    /// A command of the owner on the lock's facts of now.
    pub(super) fn owner_command(&mut self, action: Action) -> Result<Vec<u8>, Flaw> {
        let owner = self.owner.identity.public();
        let nonce = Nonce(self.entropy.bytes());
        let said = self
            .peer
            .ask(&crate::peer::info_request(nonce, Some(owner)))?;
        let crate::peer::Said::Info(info, _) = said else {
            return Err(not_carried_out(format!("no facts: {said:?}")));
        };
        let command = Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + 50_000,
            grant: None,
        };
        Ok(sign(&command, &self.owner.identity))
    }

    /// The motor ran as often as the owner wanted, and not once more.
    pub(super) fn motor_is_as_expected(&self) -> Ended {
        let status = self.knob(r#"{"do":"status"}"#)?;
        let ran = status["motor_actuations"]
            .as_u64()
            .ok_or_else(|| not_carried_out("the lock does not count"))?;
        if ran == self.turns {
            Ok(format!("{ran} starts of the motor, all wanted"))
        } else {
            Err(Flaw::Worked(format!(
                "{ran} starts of the motor, {} wanted",
                self.turns
            )))
        }
    }
}
