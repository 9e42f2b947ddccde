//! Commands as bytes: signed, spoilt if that is the plan, and handed to broker or socket.

use std::collections::btree_map::Entry;

use base64ct::{Base64, Encoding};
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::ids::{CommandId, LockEpoch};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::session_info::SessionInfo;
use serde_json::json;

use super::users::{Users, Waiting};
use super::{Due, HOP_MS, World};
use crate::house::broker::Message;
use crate::house::owner::{command, signed};
use crate::schedule::{How, Plan, Who};

/// The life of a command that no lock takes through a hub, milliseconds.
const FAR_MS: u64 = 600_000;

/// A command that was signed, and what is known of it.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) lock: usize,
    pub(crate) statement: Vec<u8>,
    pub(crate) holder: IdentityKey,
    pub(crate) who: Who,
    pub(crate) action: Action,
    pub(crate) epoch: LockEpoch,
    pub(crate) counter: u64,
    pub(crate) expiry_ms: u64,
    /// Whether a lock may ever obey these bytes.
    pub(crate) may_act: bool,
    pub(crate) sent: u32,
    pub(crate) starts: u32,
    /// The bolt came to its end for it.
    pub(crate) has_arrived: bool,
    pub(crate) is_accepted: bool,
    /// Status and reason that the lock signed.
    pub(crate) end: Option<(String, String)>,
    /// The hub said no on its own account.
    pub(crate) is_turned_away: bool,
}

/// Bytes on their way to the hub.
#[derive(Debug, Clone)]
pub(crate) struct Sending {
    id: Option<CommandId>,
    to: usize,
    bytes: Vec<u8>,
    retain: bool,
    is_local: bool,
    kind: &'static str,
    tries: u32,
}

impl Users {
    /// These words are on their way. What is known of the same words in bytes that may act stands: the id follows from the
    /// words alone. Words that were sent with a wrong signature, retained or to another lock make way for bytes that may act.
    fn know(&mut self, id: CommandId, issued: Issued) {
        match self.issued.entry(id) {
            Entry::Vacant(place) => {
                place.insert(issued);
            }
            Entry::Occupied(mut known) if issued.may_act && !known.get().may_act => {
                known.insert(issued);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The flipped bit of a command was flipped back on its way, and a lock obeys the bytes as they
    /// were signed. A word of acceptance that nobody has taken back stands.
    pub(super) fn mend(&mut self, id: CommandId, whole: Issued) {
        let known = self.issued.get(&id);
        let is_accepted = known.is_some_and(|known| known.is_accepted && !known.is_turned_away);
        let mended = Issued {
            is_accepted,
            ..whole
        };
        self.know(id, mended);
    }
}

impl World {
    /// The command is signed, and handed over as planned.
    pub(super) fn issue(&mut self, plan: &Plan, info: &SessionInfo) -> Option<CommandId> {
        let lasts = match plan.how {
            How::FarAhead => FAR_MS,
            _ => plan.lasts_ms,
        };
        let grant = match plan.who {
            Who::Hub => self.sites[plan.lock].grant,
            Who::Owner | Who::Stranger => None,
        };
        let wanted = command(info, plan.action, 1, lasts, grant);
        let honest = match plan.who {
            Who::Hub => signed(&wanted, &self.keys.identity),
            Who::Owner => signed(&wanted, &self.sites[plan.lock].owner.identity),
            Who::Stranger => signed(&wanted, &self.users.stranger),
        };
        let holder = self.holder(plan);
        let issued = |statement: &[u8], may_act, sent| Issued {
            lock: plan.lock,
            statement: statement.to_vec(),
            holder,
            who: plan.who,
            action: plan.action,
            epoch: wanted.epoch,
            counter: wanted.counter,
            expiry_ms: wanted.expiry_ms,
            may_act,
            sent,
            starts: 0,
            has_arrived: false,
            is_accepted: false,
            end: None,
            is_turned_away: false,
        };
        let has_right =
            plan.who == Who::Owner || (plan.who == Who::Hub && plan.action == Action::Lock);
        let mut bytes = honest;
        if let How::Flipped { bit } = plan.how {
            let whole = issued(&bytes, has_right, 1);
            self.users.spoilt.insert(bytes.clone(), whole);
            let bit = (bit % (bytes.len() as u64 * 8)) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let id = Command::read(&bytes).ok().map(|read| read.id);
        let may_act = has_right
            && !matches!(
                plan.how,
                How::Retained | How::WrongLock | How::Flipped { .. }
            );
        if let Some(id) = id {
            self.users.know(id, issued(&bytes, may_act, 0));
            if may_act && plan.how != How::FarAhead {
                let sent = self.users.sent.entry(plan.lock).or_default();
                sent.push((id, bytes.clone()));
            }
        }
        self.send_all(id, plan, bytes, &wanted);
        id
    }

    fn send_all(&mut self, id: Option<CommandId>, plan: &Plan, bytes: Vec<u8>, wanted: &Command) {
        let lock = plan.lock;
        let kind = match (plan.who, plan.how) {
            (Who::Stranger, _) => "stranger",
            (_, How::Plain) => "valid",
            (_, How::Twice { .. }) => "twice",
            (_, How::Held { .. }) => "held",
            (_, How::Late) => "expired",
            (_, How::Retained) => "retained",
            (_, How::Flipped { .. }) => "bit_flipped",
            (_, How::WrongLock) => "wrong_lock",
            (_, How::FarAhead) => "far_ahead",
            (_, How::SameId) => "same_id",
            (_, How::Replay { .. }) => "replayed",
        };
        match plan.how {
            How::Twice { gap_ms } => {
                self.send_later(0, id, plan, lock, bytes.clone(), kind);
                self.send_later(gap_ms, id, plan, lock, bytes, kind);
            }
            How::Held { for_ms } => {
                let for_ms = for_ms.min(plan.lasts_ms);
                self.send_later(for_ms, id, plan, lock, bytes, kind);
            }
            How::Late => self.send_later(plan.lasts_ms + 500, id, plan, lock, bytes, kind),
            How::WrongLock => {
                let other = (lock + 1) % self.sites.len();
                self.send_later(0, id, plan, other, bytes, kind);
            }
            How::SameId => {
                let forged = signed(wanted, &self.users.stranger);
                let first = self.users.dice.below(2) * 40;
                self.send_later(first, id, plan, lock, bytes, kind);
                self.send_later(20, None, plan, lock, forged, kind);
            }
            _ => self.send_later(0, id, plan, lock, bytes, kind),
        }
    }

    pub(super) fn send_later(
        &mut self,
        ms: u64,
        id: Option<CommandId>,
        plan: &Plan,
        to: usize,
        bytes: Vec<u8>,
        kind: &'static str,
    ) {
        let sending = Sending {
            id,
            to,
            bytes,
            retain: plan.how == How::Retained,
            is_local: plan.is_local,
            kind,
            tries: 0,
        };
        self.after(ms, Due::Send(sending));
    }

    /// The bytes go to broker or socket.
    pub(super) fn hand_over(&mut self, sending: Sending) {
        let name = self.lock_name(sending.to);
        if sending.is_local && self.hub.is_none() {
            // Nobody listens on the socket; he tries again for a while.
            if sending.tries < 5 {
                let tries = sending.tries + 1;
                self.after(3_000, Due::Send(Sending { tries, ..sending }));
            }
            return;
        }
        self.tally.command(sending.kind);
        if let Some(issued) = sending.id.and_then(|id| self.users.issued.get_mut(&id)) {
            issued.sent += 1;
        }
        self.note(|| {
            format!(
                "{} command {:?} to lock {}",
                sending.kind, sending.id, sending.to
            )
        });
        if sending.is_local {
            let client = self.users.client(Waiting::Command(sending.to));
            let command = Base64::encode_string(&sending.bytes);
            let data = json!({"lock": name, "command": command, "wait": true});
            return self.request(client, "lock.command", data);
        }
        let message = Message {
            topic: format!("drawbridge/hub-1/lock/{name}/command"),
            payload: sending.bytes,
            retain: sending.retain,
        };
        self.after(HOP_MS, Due::Publish(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use drawbridge_protocol::keys::IdentitySecret;

    const ID: CommandId = CommandId([1; 16]);

    fn issued(may_act: bool) -> Issued {
        Issued {
            lock: 0,
            statement: Vec::new(),
            holder: IdentitySecret::generate(&mut Dice::new(1)).public(),
            who: Who::Owner,
            action: Action::Unlock,
            epoch: LockEpoch([0; 16]),
            counter: 1,
            expiry_ms: 1,
            may_act,
            sent: 1,
            starts: 0,
            has_arrived: false,
            is_accepted: false,
            end: None,
            is_turned_away: false,
        }
    }

    /// What the judge knows of a command after its flipped bit was flipped back.
    fn mended(known: Option<Issued>) -> Issued {
        let mut users = Users::new(&mut Dice::new(1));
        users.issued.extend(known.map(|known| (ID, known)));
        users.mend(ID, issued(true));
        users.issued.remove(&ID).expect("known from now on")
    }

    // Guards: a judge that waits for no end of a command that was called accepted, once a lock obeys it.
    #[test]
    fn flipped_command_that_was_accepted_is_still_waited_for_once_it_is_flipped_back() {
        let accepted = Issued {
            is_accepted: true,
            ..issued(false)
        };
        assert!(mended(Some(accepted)).is_accepted);
        let taken_back = Issued {
            is_accepted: true,
            is_turned_away: true,
            ..issued(false)
        };
        assert!(!mended(Some(taken_back)).is_accepted);
        let mended = mended(None);
        assert!(mended.may_act && !mended.is_accepted);
    }

    // Guards: a judge that lets the same words act twice, the second time from bytes that were flipped and
    // flipped back.
    #[test]
    fn command_that_acted_is_not_new_again_in_bytes_that_were_flipped_back() {
        let acted = Issued {
            starts: 1,
            has_arrived: true,
            end: Some(("done".to_owned(), String::new())),
            ..issued(true)
        };
        let mended = mended(Some(acted));
        assert_eq!(mended.starts, 1);
        assert!(mended.end.is_some());
    }
}
