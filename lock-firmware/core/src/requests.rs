//! What a peer asks inside its session.

use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::grant::{Grant, Rights};
use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::psk::Generation;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::Cause;
use drawbridge_protocol::tunnel::HubToLock;

use crate::flash::Flash;
use crate::grants::standing;
use crate::history::{Entry, Room};
use crate::lock::Lock;
use crate::output::Reply;
use crate::peers::Place;

impl<F: Flash> Lock<F> {
    /// Answers one request of an authenticated peer; a candidate may pair and nothing else.
    pub(crate) fn handle_request(
        &mut self,
        from: Place,
        request: &HubToLock<'_>,
        now_ms: u64,
        entropy: &mut impl Entropy,
    ) {
        let enrolled = self.peers.get(from).is_some_and(|peer| peer.enrolled);
        let number = request.number();
        let refuse = |reason| Reply::Refused {
            request: number,
            reason,
        };
        match request {
            HubToLock::PairInfoRequest => {
                let reply = match &self.window {
                    Some(window) if window.is_open(now_ms) => Reply::PairInfo {
                        window: window.nonce,
                        owned: self.owner.is_some(),
                        policy_epoch: self.policy_epoch,
                    },
                    _ => refuse(Reason::WindowClosed),
                };
                self.reply(from, reply);
            }
            HubToLock::Claim { statement } => {
                let asker = self.peers.get(from).map(|peer| peer.record.link);
                let answer = self.take_claim(statement, now_ms, entropy);
                let reply = answer.map_or_else(refuse, Reply::Receipt);
                // A claim that names its carrier gives it a place of its own.
                let to = asker
                    .and_then(|link| self.peers.find(&link))
                    .unwrap_or(from);
                self.reply(to, reply);
            }
            _ if !enrolled => self.reply(from, refuse(Reason::NotAllowed)),
            HubToLock::SessionInfoRequest { nonce, holder } => {
                let holder = holder.or(self.owner.as_ref().map(|owner| owner.keys.identity));
                self.reply(
                    from,
                    Reply::SessionInfo {
                        nonce: Some(*nonce),
                        holder,
                    },
                );
            }
            HubToLock::Command { statement } => self.handle_command(from, statement, now_ms),
            HubToLock::Query { statement } => self.handle_query(from, statement, now_ms),
            HubToLock::PresentGrant { statement } => {
                let reply = self
                    .take_grant(statement)
                    .map_or_else(refuse, Reply::GrantAccepted);
                self.reply(from, reply);
            }
            HubToLock::AuditAck { statement } => {
                let freed = self.free_log(statement, now_ms);
                self.tell_left_out(now_ms);
                let reply = freed.map_or_else(refuse, |up_to| Reply::Freed { up_to });
                self.reply(from, reply);
            }
            HubToLock::PskStored { generation } => self.commit_psk(from, *generation),
            HubToLock::LogPull { .. } | HubToLock::ReportRequest
                if !self.rights_of(from).contains(Rights::VIEW) =>
            {
                self.reply(from, refuse(Reason::NoRight));
            }
            HubToLock::LogPull { from: first } => {
                self.reply(from, Reply::LogBatch { first: *first });
            }
            HubToLock::ReportRequest => {
                self.reply(
                    from,
                    Reply::Report {
                        cause: Cause::Sensor,
                        command: None,
                    },
                );
            }
            _ => self.reply(from, refuse(Reason::Unsupported)),
        }
    }

    /// What the peer of a session may do: everything for the owner's device, else what the grants
    /// that it presented add up to.
    pub(crate) fn rights_of(&self, place: Place) -> Rights {
        let (Some(owner), Some(peer)) = (&self.owner, self.peers.get(place)) else {
            return Rights::default();
        };
        if !peer.enrolled {
            return Rights::default();
        }
        if peer.record.link == owner.keys.link {
            return Rights::ALL;
        }
        self.grants
            .rights_of(&peer.record.link, owner, self.policy_epoch)
    }

    /// Tells everybody who may know.
    pub(crate) fn announce(&mut self, cause: Cause, command: Option<CommandId>) {
        for place in (0..crate::boot::ENROLLED).map(Place) {
            let connected = self
                .peers
                .get(place)
                .and_then(|peer| peer.session.as_ref())
                .is_some_and(|live| live.link.is_some());
            if connected && self.rights_of(place).contains(Rights::VIEW) {
                self.reply(place, Reply::Report { cause, command });
            }
        }
    }

    fn take_grant(
        &mut self,
        statement: &[u8],
    ) -> Result<drawbridge_protocol::ids::Digest32, Reason> {
        let verified = Grant::verify(statement).map_err(|error| match error {
            drawbridge_protocol::cose::CoseError::NotAuthentic => Reason::Signature,
            _ => Reason::Form,
        })?;
        let owner = self.owner.as_ref().ok_or(Reason::NotOwned)?;
        if verified.grant.lock != self.factory.lock {
            return Err(Reason::WrongLock);
        }
        standing(&verified.grant, owner, self.policy_epoch)?;
        verified.grant.holder.check().map_err(|_| Reason::Form)?;
        let hash = verified.hash;
        let peers = &self.peers;
        self.grants
            .insert(verified, |link| peers.find(link).is_some());
        Ok(hash)
    }

    /// Frees log records for whoever shows the audit key's signature; who carries it is nobody's
    /// business.
    fn free_log(&mut self, statement: &[u8], now_ms: u64) -> Result<u64, Reason> {
        let owner = self.owner.as_ref().ok_or(Reason::NotOwned)?;
        let ack = AuditAck::verify(statement, &owner.audit_key).map_err(|_| Reason::Signature)?;
        let audit_key = owner.audit_key;
        if ack.lock != self.factory.lock {
            return Err(Reason::WrongLock);
        }
        if ack.ownership != owner.ownership {
            return Err(Reason::Revoked);
        }
        let freed = self.memory.history.free(ack.seq, &ack.head);
        if freed == Err(Reason::Storage) {
            self.halt();
        }
        // One that frees nothing says nothing: whoever carries it could fill the log with it. And
        // freed is freed, also when power is lost before it is written down.
        if freed? > 0 {
            let mut entry = Entry::new(LogEvent::Freed, Cause::Command);
            entry.actor = Some(audit_key);
            entry.count = Some(ack.seq);
            self.note(&entry, Room::Local, now_ms);
            if self.halted {
                return Err(Reason::Storage);
            }
        }
        Ok(ack.seq)
    }

    /// The peer stored what was proposed: now the lock commits it, durably, before it answers to it.
    fn commit_psk(&mut self, from: Place, generation: Generation) {
        let Some(peer) = self.peers.get_mut(from) else {
            return;
        };
        let Some(offered) = peer
            .offered
            .take_if(|offered| offered.generation == generation)
        else {
            return;
        };
        if !peer.record.ring.advance(offered) {
            return;
        }
        let record = peer.record.clone();
        if self.memory.save_peer(from, &record).is_err() {
            self.halt();
        }
    }
}
