//! Ownership: how a claim takes it, and how a hand on the button ends it.

use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{Digest32, LockEpoch, OwnershipId};
use drawbridge_protocol::keys::LinkKey;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::psk::PskRing;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Cause;

use crate::actuation::Recipients;
use crate::flash::Flash;
use crate::history::{Entry, Room};
use crate::lock::Lock;
use crate::owner::Owner;
use crate::peers::{Peer, PeerRecord, Peers, Place};

impl<F: Flash> Lock<F> {
    /// Takes an owner. The same claim again gives the same receipt; another one while owned is
    /// refused. **Nothing of a claim is in force before all of it is on flash, as one batch.**
    pub(crate) fn take_claim(
        &mut self,
        statement: &[u8],
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) -> Result<Receipt, Reason> {
        let digest = Digest32::of(statement);
        if let Some(owner) = &self.owner {
            return if owner.claim == digest {
                Ok(owner.receipt(&self.factory))
            } else {
                Err(Reason::AlreadyOwned)
            };
        }
        let window = self
            .window
            .as_ref()
            .filter(|window| window.is_open(now_ms))
            .ok_or(Reason::WindowClosed)?
            .nonce;
        let Ok(claim) = Claim::verify(statement, &self.keys.claim_key) else {
            // Who sends it has proven the other half of the code, and the seal has 32 bytes:
            // nothing to guess, but something to tell.
            self.strangers += 1;
            return Err(Reason::Signature);
        };
        if claim.lock != self.factory.lock {
            return Err(Reason::WrongLock);
        }
        if claim.window != window {
            return Err(Reason::WindowClosed);
        }
        check_keys(&claim, self.factory.link.public())?;

        let mut taken = Entry::new(LogEvent::Claimed, Cause::Command);
        taken.actor = Some(claim.owner.identity);
        let seq = self
            .note(&taken, Room::Owner, now_ms)
            .ok_or(Reason::Storage)?;
        let owner = Owner {
            keys: claim.owner,
            ownership: OwnershipId::of_claim(statement),
            claim: digest,
            time_key: claim.time_key,
            audit_key: claim.audit_key,
            log_head: self.memory.history.head(),
            log_seq: seq,
            made_at: claim.made_at,
        };
        let named =
            || core::iter::once(claim.owner.link).chain(claim.peers().map(|peer| peer.link));
        let mut records = heapless::Vec::<PeerRecord, 4>::new();
        for link in named() {
            let ring = PskRing::pairing(self.keys.pair_psk.clone());
            records
                .push(PeerRecord { link, ring })
                .map_err(|_| Reason::Form)?;
        }
        if self
            .memory
            .save_claim(&owner, (0..).map(Place).zip(&records))
            .is_err()
        {
            self.halt();
            return Err(Reason::Storage);
        }
        self.back_off.forget();
        let receipt = owner.receipt(&self.factory);
        self.owner = Some(owner);
        self.enrol(records, entropy);
        self.end_window();
        Ok(receipt)
    }

    /// The window has had its claim: nobody unknown is listened to any more. Somebody whom the claim
    /// did not name gets the answers that wait, the receipt among them, and then loses its link.
    fn end_window(&mut self) {
        self.window = None;
        let Some(candidate) = self.peers.get(Peers::candidate_place()) else {
            return;
        };
        let unproven = candidate.fresh.as_ref().and_then(|live| live.link);
        let proven = candidate.session.as_ref().and_then(|live| live.link);
        self.strangers += u64::from(unproven.is_some());
        for link in [unproven, proven].into_iter().flatten() {
            if let Some(link) = self.links.get_mut(link) {
                link.closing = true;
            }
        }
        if !self.peers.is_candidate_here() {
            self.close_window();
        }
    }

    /// Gives the named peers their places; the candidate keeps its session if it is one of them.
    fn enrol(&mut self, records: heapless::Vec<PeerRecord, 4>, entropy: &mut impl Entropy) {
        let mut candidate = self.peers.take_candidate();
        let mut moved = None;
        for (place, record) in (0..).map(Place).zip(records) {
            let mut peer = Peer::new(record, true);
            if let Some(known) = candidate.take_if(|known| known.record.link == peer.record.link) {
                peer.session = known.session;
                peer.fresh = known.fresh;
                peer.handshakes = known.handshakes;
                moved = Some(place);
            }
            self.peers.put(place, peer);
        }
        // What the window let in and the claim did not name goes with the window.
        if let Some(unnamed) = candidate {
            self.peers.put(Peers::candidate_place(), unnamed);
        }
        if let Some(place) = moved {
            self.outbound.moved(Peers::candidate_place(), place);
            for link in self.links.iter_mut() {
                if link.proven == Some(Peers::candidate_place()) {
                    link.proven = Some(place);
                }
            }
            self.propose_psk(place, entropy);
        }
    }

    /// Erases owner, peers and their keys; keeps the log and raises the policy epoch, so that no
    /// old grant comes back to life.
    ///
    /// A new lock epoch begins: the next owner may sign with the same key as the last one, and
    /// what was signed before must stay dead.
    pub(crate) fn factory_reset(&mut self, now_ms: u64, entropy: &mut impl Entropy) {
        let Some(raised) = self.policy_epoch.checked_add(1) else {
            return;
        };
        self.note(
            &Entry::new(LogEvent::FactoryReset, Cause::ByHand),
            Room::Owner,
            now_ms,
        );
        if self.halted {
            return;
        }
        if self.memory.save_reset(raised).is_err() {
            self.halt();
            return;
        }
        self.policy_epoch = raised;
        self.epoch = LockEpoch(entropy.bytes());
        self.epoch_from = self.memory.history.newest();
        self.owner = None;
        self.window = None;
        self.peers.clear();
        self.outbound.forget_all();
        if let Some(ordered) = self.actuation.as_mut().and_then(|act| act.ordered.as_mut()) {
            ordered.to = Recipients::default();
        }
        self.grants.clear();
        self.decided = Default::default();
        for link in self.links.iter_mut() {
            link.closing = true;
        }
    }
}

/// Keys of small order are refused where they would be enrolled, and so is a peer named twice or
/// with the lock's own key.
fn check_keys(claim: &Claim, own: LinkKey) -> Result<(), Reason> {
    let all = || core::iter::once(claim.owner).chain(claim.peers());
    for (index, keys) in all().enumerate() {
        keys.check().map_err(|_| Reason::Form)?;
        let twice = all().take(index).any(|earlier| earlier.link == keys.link);
        if twice || keys.link == own {
            return Err(Reason::Form);
        }
    }
    claim.audit_key.check().map_err(|_| Reason::Form)?;
    claim
        .time_key
        .map_or(Ok(()), |key| key.check())
        .map_err(|_| Reason::Form)
}
