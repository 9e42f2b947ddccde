//! One robbed lock: a session with the stolen keys, and a witness.

use std::path::{Path, PathBuf};

use drawbridge_daemon::core::LockBinding;
use drawbridge_protocol::command::{Action, Command, MAX_COMMAND};
use drawbridge_protocol::hello::Purpose;
use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::loot::Loot;
use crate::peer::{Peer, Said, Target, Trouble};
use crate::report::{Ended, not_carried_out, refused, refused_and_signed};
use crate::witness::Witness;

/// How long a made-up command lives, in milliseconds: below the bound for a peer's own.
pub(crate) const TTL_MS: u64 = 9_000;

/// The scene.
pub(crate) struct Scene<'a> {
    pub(crate) loot: &'a Loot,
    pub(crate) binding: &'a LockBinding,
    pub(crate) air: PathBuf,
    pub(crate) peer: Peer,
    pub(crate) witness: Witness,
}

impl<'a> Scene<'a> {
    /// Joins the lock of `binding` as its hub.
    pub(crate) fn enter(
        loot: &'a Loot,
        binding: &'a LockBinding,
        air: &Path,
    ) -> Result<Self, Trouble> {
        let target = Target {
            lock: binding.lock,
            link: binding.link,
            identity: binding.identity,
            beacon_key: binding.beacon_key.clone(),
        };
        let psks = generations(&binding.psks);
        let mut peer = Peer::new(air, target, &loot.identity, &loot.link, psks);
        peer.grant = binding.grant().map(<[u8]>::to_vec);
        peer.join(Purpose::Session)?;
        let witness = Witness::begin(&mut peer)?;
        Ok(Self {
            loot,
            binding,
            air: air.to_owned(),
            peer,
            witness,
        })
    }

    /// The hub's grant.
    pub(crate) fn grant(&self) -> Result<&'a [u8], Trouble> {
        let none = || Trouble::Odd("the hub has no grant for this lock".into());
        self.binding.grant().ok_or_else(none)
    }

    /// A fresh command, valid in every respect but what `edit` changes, before it is signed.
    pub(crate) fn command(
        &mut self,
        action: Action,
        grant: Option<Digest32>,
        edit: impl FnOnce(&mut Command),
    ) -> Result<Command, Trouble> {
        let info = self.peer.info()?;
        let mut command = Command {
            lock: info.lock,
            action,
            epoch: info.epoch,
            counter: info.counter + 1,
            log_position: info.log_seq.unwrap_or(0),
            expiry_ms: info.time_ms + TTL_MS,
            grant,
        };
        edit(&mut command);
        Ok(command)
    }

    /// The same, signed with the hub's key.
    pub(crate) fn signed(
        &mut self,
        action: Action,
        grant: Option<Digest32>,
        edit: impl FnOnce(&mut Command),
    ) -> Result<Vec<u8>, Trouble> {
        let command = self.command(action, grant, edit)?;
        Ok(sign(&command, &self.loot.identity))
    }

    /// Sends a command that must be refused for one of `allowed`, and looks into the log.
    pub(crate) fn expect_refusal(&mut self, command: &[u8], allowed: &[Reason]) -> Ended {
        let said = self.peer.ask(&HubToLock::Command { statement: command })?;
        let refusal = refused(&said, allowed)?;
        self.with_log(refusal, command)
    }

    /// The same, and the refusal must be signed.
    pub(crate) fn expect_signed_refusal(&mut self, command: &[u8], allowed: &[Reason]) -> Ended {
        let said = self.peer.ask(&HubToLock::Command { statement: command })?;
        let refusal = refused_and_signed(&said, allowed)?;
        self.with_log(refusal, command)
    }

    /// Presents a grant that must be refused for one of `allowed`; a command that names it must
    /// find it unknown.
    pub(crate) fn expect_dead_grant(&mut self, grant: &[u8], allowed: &[Reason]) -> Ended {
        let said = self
            .peer
            .ask(&HubToLock::PresentGrant { statement: grant })?;
        let refusal = refused(&said, allowed)?;
        let command = self.signed(Action::Unlock, Some(Digest32::of(grant)), |_| ())?;
        let used = self.expect_refusal(&command, &[Reason::GrantUnknown])?;
        Ok(format!("{refusal}; used anyway: {used}"))
    }

    /// The hub's legitimate right: without it working, no refusal proves anything.
    pub(crate) fn control(&mut self) -> Ended {
        let hash = Digest32::of(self.grant()?);
        let command = self.signed(Action::Lock, Some(hash), |_| ())?;
        match self.peer.ask(&HubToLock::Command {
            statement: &command,
        })? {
            Said::Outcome(outcome) if outcome.verdict == Verdict::Done => Ok(format!(
                "the lock signed: done, the bolt is {}",
                outcome.position.name()
            )),
            other => Err(not_carried_out(format!(
                "the stolen keys do not work: {other:?}"
            ))),
        }
    }

    /// Adds what the log says.
    pub(crate) fn with_log(&mut self, refusal: String, command: &[u8]) -> Ended {
        let ids: Vec<CommandId> = Command::read(command)
            .map(|read| read.id)
            .into_iter()
            .collect();
        let log = self.witness.nothing_done(&mut self.peer, &ids)?;
        Ok(format!("{refusal}; {log}"))
    }
}

/// Newest first.
pub(crate) fn generations(ring: &PskRing) -> Vec<drawbridge_protocol::psk::PskGeneration> {
    [Some(ring.current.clone()), ring.previous.clone()]
        .into_iter()
        .flatten()
        .collect()
}

/// Signs with any key.
pub(crate) fn sign(command: &Command, key: &IdentitySecret) -> Vec<u8> {
    let mut out = [0; MAX_COMMAND];
    command
        .sign(key, &mut out)
        .map(<[u8]>::to_vec)
        .unwrap_or_default()
}

/// Puts the seal (the last `length` bytes) of `genuine` on `forged`.
pub(crate) fn with_seal_of(genuine: &[u8], mut forged: Vec<u8>, length: usize) -> Vec<u8> {
    let at = forged.len().saturating_sub(length);
    let seal = genuine.len().saturating_sub(length);
    forged.truncate(at);
    forged.extend_from_slice(&genuine[seal..]);
    forged
}
