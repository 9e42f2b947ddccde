//! A lock's life in short: boot, pair, claim, command, resume, command. Every answer is verified.

use drawbridge_protocol::claim::{Claim, PeerKeys};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, LinkSecret};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::secret::{SetupKeys, SetupSecret};
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::{HubToLock, LockToHub};

use crate::board::{Board, BoardError};
use crate::cost::Cost;
use crate::peer::Peer;

/// Kinds of inputs and outputs (`lock-firmware/size-image/src/bin/lock.rs`).
pub(crate) mod kind {
    pub(crate) const BOOT: u8 = 1;
    pub(crate) const LINK_UP: u8 = 2;
    pub(crate) const PACKET: u8 = 3;
    pub(crate) const LINK_DOWN: u8 = 4;
    pub(crate) const BUTTON: u8 = 5;
    pub(crate) const SENSORS: u8 = 6;
    pub(crate) const TIME: u8 = 7;
    pub(crate) const MOTOR: u8 = 9;
}

/// A lock that was claimed, its hub and its owner.
struct Home {
    lock: LockId,
    says: IdentityKey,
    hub: Peer,
    hub_identity: IdentitySecret,
    owner: IdentitySecret,
    audit: IdentitySecret,
}

type Steps = Vec<(&'static str, Cost)>;

/// Plays it all; returns the steps in order.
pub(crate) fn run(board: &mut Board) -> Result<Steps, BoardError> {
    let mut steps = Steps::new();
    let (mut home, setup, boot) = boot(board)?;
    steps.push(("boot of a new lock", boot));
    let (_, press) = board.input(kind::BUTTON, 0, &200_u32.to_le_bytes())?;
    steps.push(("button: the pairing window opens", press));
    steps.push(("link up, hello", home.hub.connect(board)?));
    steps.push(("handshake to pair", home.hub.shake(board, Purpose::Pair)?));
    let (ownership, claim) = home.claim(board, &setup)?;
    steps.push(("claim: owner and hub enrolled", claim));
    steps.push(("grant presented", home.grant(board, ownership)?));
    steps.push(("the same grant again", home.grant(board, ownership)?));

    let (info, asked) = home.session_info(board)?;
    steps.push(("session info, signed", asked));
    let (command, done) = home.command(board, &info, Action::Unlock)?;
    steps.push(("command, motor, signed outcome", done));
    steps.push((
        "the same again: answered, not moved",
        home.repeat(board, &command)?,
    ));

    steps.push(("link up for a resume", home.hub.connect(board)?));
    home.hub.resume()?;
    let (info, asked) = home.session_info(board)?;
    steps.push(("session info on the resumed session", asked));
    steps.push(("report, signed", home.report(board)?));
    let (_, done) = home.command(board, &info, Action::Lock)?;
    steps.push(("command on the resumed session", done));
    steps.push(("link up again", home.hub.connect(board)?));
    steps.push((
        "handshake of an enrolled hub",
        home.hub.shake(board, Purpose::Session)?,
    ));
    home.report(board)?;
    steps.push(("log pulled", home.pull_log(board)?));
    let (_, time) = board.input(kind::TIME, 0, &[])?;
    steps.push(("time passes, nothing due", time));
    Ok(steps)
}

fn boot(board: &mut Board) -> Result<(Home, SetupKeys, Cost), BoardError> {
    let lock = LockId(board.entropy.bytes());
    let link = LinkSecret::generate(&mut board.entropy);
    let identity = IdentitySecret::generate(&mut board.entropy);
    let setup = SetupSecret::generate(&mut board.entropy);
    let record = [
        lock.as_bytes().as_slice(),
        link.danger_as_bytes(),
        &identity.danger_to_bytes(),
        setup.danger_as_bytes(),
    ];
    let (said, cost) = board.input(kind::BOOT, 0, &record.concat())?;
    if !said.is_empty() {
        return Err(BoardError::Step("boot"));
    }
    let keys = SetupKeys::derive(lock, &setup);
    let secret = LinkSecret::generate(&mut board.entropy);
    let ring = PskRing::pairing(keys.pair_psk.clone());
    let home = Home {
        lock,
        says: identity.public(),
        hub: Peer::new(secret, lock, link.public(), ring),
        hub_identity: IdentitySecret::generate(&mut board.entropy),
        owner: IdentitySecret::generate(&mut board.entropy),
        audit: IdentitySecret::generate(&mut board.entropy),
    };
    Ok((home, keys, cost))
}

impl Home {
    fn hub_keys(&self) -> PeerKeys {
        PeerKeys {
            identity: self.hub_identity.public(),
            link: self.hub.secret.public(),
        }
    }

    fn claim(
        &mut self,
        board: &mut Board,
        setup: &SetupKeys,
    ) -> Result<(OwnershipId, Cost), BoardError> {
        let (said, asked) = self.hub.ask(board, &HubToLock::PairInfoRequest)?;
        let window = said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::PairInfo { window, owned, .. }) if !owned => Some(window),
            _ => None,
        });
        let device = LinkSecret::generate(&mut board.entropy);
        let claim = Claim {
            lock: self.lock,
            window: window.ok_or(BoardError::Step("read the pairing window"))?,
            device: Nonce([6; 16]),
            owner: PeerKeys {
                identity: self.owner.public(),
                link: device.public(),
            },
            peer1: Some(self.hub_keys()),
            peer2: None,
            peer3: None,
            time_key: None,
            audit_key: self.audit.public(),
            made_at: 1_790_000_000,
        };
        let mut buffer = [0; 724];
        let statement = claim
            .seal(&setup.claim_key, &mut buffer)
            .map_err(|_| BoardError::Step("seal a claim"))?;
        let (said, claimed) = self.hub.ask(board, &HubToLock::Claim { statement })?;
        let receipt =
            |said: &Vec<u8>| matches!(LockToHub::decode(said), Ok(LockToHub::Receipt { .. }));
        if !said.iter().any(receipt) {
            return Err(BoardError::Step("get a receipt"));
        }
        Ok((OwnershipId::of_claim(statement), asked.and(claimed)))
    }

    fn grant(&mut self, board: &mut Board, ownership: OwnershipId) -> Result<Cost, BoardError> {
        let holder = self.hub_keys();
        let grant = Grant {
            issuer: self.owner.public(),
            holder: holder.identity,
            holder_link: holder.link,
            lock: self.lock,
            rights: Rights::LOCK.union(Rights::VIEW),
            not_before: None,
            not_after: None,
            serial: 1,
            policy_epoch: 0,
            ownership,
        };
        let mut buffer = [0; 724];
        let statement = grant
            .sign(&self.owner, &mut buffer)
            .map_err(|_| BoardError::Step("sign a grant"))?;
        let (said, cost) = self
            .hub
            .ask(board, &HubToLock::PresentGrant { statement })?;
        let accepted =
            |said: &Vec<u8>| matches!(LockToHub::decode(said), Ok(LockToHub::GrantAccepted { .. }));
        if said.iter().any(accepted) {
            Ok(cost)
        } else {
            Err(BoardError::Step("have a grant accepted"))
        }
    }

    fn session_info(&mut self, board: &mut Board) -> Result<(SessionInfo, Cost), BoardError> {
        let request = HubToLock::SessionInfoRequest {
            nonce: Nonce([4; 16]),
            holder: None,
        };
        let (said, cost) = self.hub.ask(board, &request)?;
        let info = said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::SessionInfo { statement }) => {
                SessionInfo::verify(statement, &self.says).ok()
            }
            _ => None,
        });
        let info = info.ok_or(BoardError::Step("verify session info"))?;
        Ok((info, cost))
    }

    fn command(
        &mut self,
        board: &mut Board,
        info: &SessionInfo,
        action: Action,
    ) -> Result<(Vec<u8>, Cost), BoardError> {
        let command = Command {
            lock: self.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + 30_000,
            grant: None,
        };
        let mut buffer = [0; 724];
        let statement = command
            .sign(&self.owner, &mut buffer)
            .map_err(|_| BoardError::Step("sign a command"))?
            .to_vec();
        let (outcome, cost) = self.outcome(board, &statement)?;
        let wanted = match action {
            Action::Unlock => Position::Unlocked,
            _ => Position::Locked,
        };
        let done = outcome.verdict == Verdict::Done && !outcome.duplicate;
        if done && outcome.position == wanted {
            Ok((statement, cost))
        } else {
            Err(BoardError::Step("turn the bolt by a command"))
        }
    }

    fn repeat(&mut self, board: &mut Board, statement: &[u8]) -> Result<Cost, BoardError> {
        let (outcome, cost) = self.outcome(board, statement)?;
        if outcome.verdict == Verdict::Done && outcome.duplicate {
            Ok(cost)
        } else {
            Err(BoardError::Step("have a repeat answered"))
        }
    }

    fn outcome(
        &mut self,
        board: &mut Board,
        statement: &[u8],
    ) -> Result<(Outcome, Cost), BoardError> {
        let (said, cost) = self.hub.ask(board, &HubToLock::Command { statement })?;
        let outcome = said.iter().find_map(|said| match LockToHub::decode(said) {
            Ok(LockToHub::Outcome { statement, .. }) => Outcome::verify(statement, &self.says).ok(),
            _ => None,
        });
        let outcome = outcome.ok_or(BoardError::Step("verify an outcome"))?;
        Ok((outcome, cost))
    }

    fn report(&mut self, board: &mut Board) -> Result<Cost, BoardError> {
        let (said, cost) = self.hub.ask(board, &HubToLock::ReportRequest)?;
        if said.is_empty() {
            return Err(BoardError::Step("get a report"));
        }
        Ok(cost)
    }

    fn pull_log(&mut self, board: &mut Board) -> Result<Cost, BoardError> {
        let (said, cost) = self.hub.ask(board, &HubToLock::LogPull { from: 1 })?;
        let records = said.iter().any(|said| {
            matches!(LockToHub::decode(said), Ok(LockToHub::LogBatch { records, .. }) if !records.is_empty())
        });
        if records {
            Ok(cost)
        } else {
            Err(BoardError::Step("pull the log"))
        }
    }
}
