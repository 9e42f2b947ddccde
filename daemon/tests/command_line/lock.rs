//! A lock's mind, as small as these tests need it: one owner, one counter, a chained log.

use base64ct::{Base64, Encoding};
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::claim::Claim;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::grant::Grant;
use drawbridge_protocol::ids::{CommandId, Digest32, LockEpoch, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentityKey, IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::{LogCursor, LogEvent, LogRecord, MAX_LOG_RECORD};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::qr::{QR_TEXT_LEN, QrCode};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::{Cause, Door, Position, Report};
use drawbridge_protocol::secret::SetupSecret;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::ticket::PairingTicket;
use serde_json::{Value, json};

use super::hub::Says;

pub(crate) struct Lock {
    pub(crate) id: LockId,
    identity: IdentitySecret,
    link: LinkSecret,
    hub: (IdentitySecret, LinkSecret),
    owner: Option<(IdentityKey, IdentityKey, OwnershipId)>,
    window: Nonce,
    counter: u64,
    position: Position,
    pub(crate) records: Vec<Vec<u8>>,
    head: LogCursor,
    pub(crate) turns: u32,
    /// What came of the newest command, which may come again.
    last: Option<(CommandId, String)>,
    /// Answer the next command with this refusal.
    pub(crate) next_refusal: Option<Reason>,
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

fn un64(value: &Value) -> Vec<u8> {
    Base64::decode_vec(value.as_str().unwrap()).unwrap()
}

impl Lock {
    pub(crate) fn new(seed: u8) -> Self {
        let mut lock = Self {
            id: LockId([seed; 8]),
            identity: IdentitySecret::from_bytes(&[seed; 32]),
            link: LinkSecret::from_bytes([seed | 0x80; 32]),
            hub: (
                IdentitySecret::from_bytes(&[0x77; 32]),
                LinkSecret::from_bytes([0x78; 32]),
            ),
            owner: None,
            window: Nonce([seed; 16]),
            counter: 0,
            position: Position::Unlocked,
            records: Vec::new(),
            head: LogCursor::START,
            turns: 0,
            last: None,
            next_refusal: None,
        };
        lock.log(LogEvent::Boot, Cause::Boot);
        lock
    }

    pub(crate) fn code(&self) -> String {
        let code = QrCode {
            model: 7,
            lock: self.id,
            link: self.link.public(),
            identity: self.identity.public(),
            secret: SetupSecret::new([0x42; 16]),
        };
        code.to_text(&mut [0; QR_TEXT_LEN]).unwrap().to_owned()
    }

    fn log(&mut self, event: LogEvent, cause: Cause) {
        let record = LogRecord {
            seq: self.head.seq + 1,
            previous: self.head.head,
            boot: 1,
            time_ms: 61_000,
            event,
            cause,
            actor: self.owner.map(|(owner, ..)| owner),
            grant: None,
            command: None,
            reason: None,
            position: Some(self.position),
            count: None,
            evidence: None,
        };
        let bytes = record.encode(&mut [0; MAX_LOG_RECORD]).unwrap().to_vec();
        self.head = LogCursor {
            seq: record.seq,
            head: Digest32::of(&bytes),
        };
        self.records.push(bytes);
    }

    fn info(&self, nonce: Option<Nonce>) -> SessionInfo {
        SessionInfo {
            lock: self.id,
            boot: 1,
            epoch: LockEpoch([1; 16]),
            time_ms: 61_000,
            policy_epoch: 0,
            revoked: None,
            log_seq: Some(self.head.seq),
            log_head: Some(self.head.head),
            handshakes: Some(1),
            counter: self.counter,
            nonce,
            ownership: self.owner.map(|(_, _, ownership)| ownership),
        }
    }

    fn report(&self) -> Vec<u8> {
        let report = Report {
            lock: self.id,
            boot: 1,
            time_ms: 61_000,
            position: self.position,
            door: Door::Closed,
            tamper: false,
            battery: 81,
            cause: Cause::Command,
            command: None,
            log_seq: self.head.seq,
            log_head: self.head.head,
            log_used: 1,
        };
        report.sign(&self.identity, &mut [0; 724]).unwrap().to_vec()
    }

    /// Answers as a hub with this lock behind it.
    pub(crate) fn answer(&mut self, verb: &str, data: &Value) -> Says {
        match verb {
            "lock.pair" => {
                let ticket = PairingTicket::decode(&un64(&data["ticket"])).unwrap();
                assert_eq!(
                    (ticket.lock, ticket.identity),
                    (self.id, self.identity.public())
                );
                Says::Done(json!({
                    "lock": self.id.to_string(), "window": self.window.to_string(),
                    "owned": self.owner.is_some(), "policy_epoch": 0,
                    "hub": {"identity": self.hub.0.public().to_string(), "link": self.hub.1.public().to_string()},
                }))
            }
            "lock.claim" => self.claim(data),
            "lock.session_info" => {
                let nonce = data["nonce"].as_str().unwrap().parse().unwrap();
                let info = self.info(Some(nonce));
                Says::Done(
                    json!({"statement": b64(info.sign(&self.identity, &mut [0; 724]).unwrap())}),
                )
            }
            "lock.command" => self.command(data),
            "lock.show" => Says::Done(json!({
                "id": self.id.to_string(), "name": "Front",
                "state": {"lock": "LOCKED", "door": "CLOSED", "report": b64(&self.report())},
            })),
            "lock.audit" => {
                let from = data["from"].as_u64().unwrap();
                let seq = |bytes: &Vec<u8>| LogRecord::decode(bytes).unwrap().seq;
                let records: Vec<_> = self
                    .records
                    .iter()
                    .filter(|bytes| seq(bytes) >= from)
                    .take(2)
                    .map(|bytes| b64(bytes))
                    .collect();
                Says::Done(json!({
                    "first": 1, "newest": self.head.seq, "records": records, "head": self.head.head.to_string(),
                }))
            }
            "lock.audit_ack" => {
                let (_, audit, ownership) = self.owner.unwrap();
                let ack = AuditAck::verify(&un64(&data["ack"]), &audit).unwrap();
                assert_eq!(
                    (ack.lock, ack.ownership, ack.seq, ack.head),
                    (self.id, ownership, self.head.seq, self.head.head)
                );
                self.records.clear();
                Says::Done(json!({"freed": ack.seq}))
            }
            other => panic!("the hub was asked for {other}"),
        }
    }

    fn claim(&mut self, data: &Value) -> Says {
        if self.owner.is_some() {
            return Says::Refuses("already_owned");
        }
        let bytes = un64(&data["claim"]);
        let code = QrCode::from_text(&self.code()).unwrap();
        let claim = Claim::verify(&bytes, &code.keys().claim_key).unwrap();
        assert_eq!(claim.window, self.window);
        let ownership = OwnershipId::of_claim(&bytes);
        let grant = Grant::verify(&un64(&data["grant"])).unwrap().grant;
        assert_eq!(
            (grant.ownership, grant.holder),
            (ownership, self.hub.0.public())
        );
        self.owner = Some((claim.owner.identity, claim.audit_key, ownership));
        self.log(LogEvent::Claimed, Cause::Command);
        let receipt = Receipt {
            lock: self.id,
            claim: Digest32::of(&bytes),
            log_head: self.head.head,
            log_seq: self.head.seq,
        };
        Says::Done(json!({"receipt": b64(receipt.sign(&self.identity, &mut [0; 512]).unwrap())}))
    }

    fn command(&mut self, data: &Value) -> Says {
        let bytes = un64(&data["command"]);
        let read = Command::read(&bytes).unwrap();
        read.verify(&self.owner.unwrap().0).unwrap();
        if let Some((_, report)) = self.last.as_ref().filter(|(id, _)| *id == read.id) {
            let again = json!({"command": read.id.to_string(), "status": "done", "report": report});
            return Says::Streams(vec![], again);
        }
        assert_eq!(read.command.counter, self.counter + 1);
        self.counter += 1;
        let (verdict, reason) = match self.next_refusal.take() {
            Some(reason) => (Verdict::Refused, reason),
            None => {
                self.turns += 1;
                self.position = match read.command.action {
                    Action::Lock => Position::Locked,
                    _ => Position::Unlocked,
                };
                self.log(LogEvent::Intent, Cause::Command);
                self.log(LogEvent::Outcome, Cause::Command);
                (Verdict::Done, Reason::None)
            }
        };
        let outcome = Outcome {
            command: read.id,
            verdict,
            reason,
            position: self.position,
            duplicate: false,
            info: self.info(None),
        };
        let report = b64(outcome.sign(&self.identity, &mut [0; 724]).unwrap());
        self.last = Some((read.id, report.clone()));
        let result = |status: &str, report: Option<&str>| {
            json!({"command": read.id.to_string(), "status": status, "reason": reason.name(), "report": report,
                   "position": null, "may_have_succeeded": false, "is_temporary": false, "duplicate": false,
                   "provisional": report.is_none()})
        };
        Says::Streams(
            vec![result("accepted", None), result("delivered", None)],
            result(verdict.name(), Some(&report)),
        )
    }
}
