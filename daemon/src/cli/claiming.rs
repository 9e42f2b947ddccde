//! From a code to a receipt: the conversation of `pair` and of `owner claim`.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use drawbridge_protocol::claim::PeerKeys;
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::qr::{QrCode, QrError};
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::ticket::MAX_TICKET;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::carrier::{Carrier, CarryError, base64, bytes, field};
use super::context::key_fault;
use super::exit::Exit;
use super::fault::Fault;
use super::output::Output;
use crate::owner::claim::{ClaimError, ClaimPlan, Offer, Wish, accept_receipt};
use crate::owner::{KeyFile, KeyFileError};

/// Longest text that can hold a code, with blanks and dashes in it.
const MAX_CODE_TEXT: u64 = 1_024;
/// The window in the lock is open for 120 s; the hub may need some time after it was opened.
const PAIR: Duration = Duration::from_secs(150);
const CLAIM: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Debug)]
pub(super) struct Claimed {
    /// Which lock.
    pub(super) lock: LockId,
    /// What the lock signed.
    pub(super) receipt: Receipt,
    /// The signed bytes.
    pub(super) statement: Vec<u8>,
    /// The hub's keys, now a peer of the lock.
    pub(super) hub: PeerKeys,
    /// What the hub may do.
    pub(super) rights: Vec<&'static str>,
}

/// Everything the conversation needs.
pub(super) struct Claiming<'a> {
    pub(super) carrier: &'a mut dyn Carrier,
    pub(super) file: &'a KeyFile,
    pub(super) output: Output,
    pub(super) name: &'a str,
    /// Now, Unix seconds.
    pub(super) made_at: u64,
    pub(super) accept_new_hub_keys: bool,
}

/// Reads a code from a file, from standard input, or by asking.
pub(super) fn read_code(from: Option<&Path>, output: Output) -> Result<QrCode, Fault> {
    let text = match from {
        Some(path) if path != Path::new("-") => {
            let file = File::open(path);
            take(file.map(|file| file.take(MAX_CODE_TEXT + 1)))
        }
        Some(_) => take(Ok(io::stdin().take(MAX_CODE_TEXT + 1))),
        None if io::stdin().is_terminal() && !output.is_json() => {
            eprint!("The code on the lock (begins with DB1:): ");
            let mut line = Zeroizing::new(String::new());
            io::stdin()
                .lock()
                .take(MAX_CODE_TEXT + 1)
                .read_line(&mut line)
                .map(|_| line)
        }
        None => {
            return Err(Fault::new(
                Exit::Usage,
                "no_code",
                "read the lock's code: there is no terminal to ask on",
            )
            .next("give --code-file FILE, or --code-file - and the code on standard input"));
        }
    };
    let text = text.map_err(|error| {
        Fault::new(
            Exit::Usage,
            "no_code",
            format!("read the lock's code: {error}"),
        )
        .next("give --code-file FILE")
    })?;
    parse_code(&text)
}

fn take(from: io::Result<impl Read>) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from?.read_to_string(&mut text)?;
    Ok(text)
}

/// Tells a mistyped code from one that is no code.
pub(super) fn parse_code(text: &str) -> Result<QrCode, Fault> {
    QrCode::from_text(text).map_err(|error| {
        let (code, next) = match error {
            QrError::NotALockCode => (
                "not_a_lock_code",
                "scan the code inside the lock's battery lid or on its card: it begins with DB1:",
            ),
            QrError::Unreadable => (
                "unreadable_code",
                "scan it again; typed by hand, compare the length: 155 characters",
            ),
            QrError::Mistyped => (
                "mistyped_code",
                "scan it again, or compare it character by character (no 0, 1, 8, 9 in it)",
            ),
            _ => ("bad_code_keys", "do not use this lock; ask its maker"),
        };
        Fault::from_error(Exit::Usage, code, &error)
            .during("read the lock's code")
            .next(next)
    })
}

/// Refuses a code of another lock than the one that was announced.
pub(super) fn check_expected(code: &QrCode, expect: Option<&str>) -> Result<(), Fault> {
    let Some(expect) = expect else { return Ok(()) };
    if expect.parse() == Ok(code.lock) {
        return Ok(());
    }
    let message = format!(
        "match the code with --expect: it is the code of lock {}, not of {expect}",
        code.lock
    );
    Err(Fault::new(Exit::Usage, "other_lock", message)
        .next("scan the code of the lock that you mean"))
}

impl Claiming<'_> {
    /// Pairs, claims, and verifies; on any error the same call may be made again.
    pub(super) fn run(
        mut self,
        code: &QrCode,
        entropy: &mut impl Entropy,
    ) -> Result<Claimed, Fault> {
        // Before anybody walks to the lock: is there a key file, and can it be read?
        let book = self.file.load().map_err(|error| key_fault(&error))?;
        let offer = match self.pair(code) {
            Ok(offer) => offer,
            Err(fault) if fault.code == "already_paired" => {
                return match ClaimPlan::again(&book, code.lock) {
                    Some(plan) => self.claim(code, &plan),
                    None => Err(fault),
                };
            }
            Err(fault) => return Err(fault),
        };
        let wish = Wish {
            code,
            name: self.name,
            made_at: self.made_at,
            accept_new_hub_keys: self.accept_new_hub_keys,
        };
        // On disk before it is sent: a receipt that gets lost can then be asked for again.
        let plan = self
            .file
            .update(|book| ClaimPlan::next(book, wish, &offer, entropy).map_err(Trouble::from))
            .map_err(Trouble::fault)?;
        self.claim(code, &plan)
    }

    fn pair(&mut self, code: &QrCode) -> Result<Offer, Fault> {
        const VERB: &str = "lock.pair";
        self.output
            .note("press the button inside the lock now: it listens for 120 s");
        self.output.progress("pairing");
        let mut buffer = Zeroizing::new([0; MAX_TICKET]);
        let ticket = code.ticket();
        let ticket = ticket.encode(&mut *buffer).map_err(|error| {
            Fault::from_error(Exit::Refused, "encode", &error).next("report this")
        })?;
        let data = json!({"ticket": base64(ticket)});
        // Pairing commits nothing in the lock: without an answer nothing has happened that counts.
        let act = |error: CarryError| error.fault("pair the lock with the hub");
        let answer = self.carrier.ask(VERB, data, PAIR).map_err(act)?;
        let malformed = |what: &str| {
            act(CarryError::Malformed {
                verb: VERB.to_owned(),
                what: what.to_owned(),
            })
        };
        let hub = answer.get("hub").unwrap_or(&Value::Null);
        Ok(Offer {
            lock: field(VERB, &answer, "lock").map_err(act)?,
            window: field(VERB, &answer, "window").map_err(act)?,
            owned: answer
                .get("owned")
                .and_then(Value::as_bool)
                .ok_or_else(|| malformed("it does not say whether the lock has an owner"))?,
            policy_epoch: answer
                .get("policy_epoch")
                .and_then(Value::as_u64)
                .and_then(|epoch| u32::try_from(epoch).ok())
                .ok_or_else(|| malformed("it does not say the lock's policy epoch"))?,
            hub_id: self.carrier.hub().map(str::to_owned),
            hub: PeerKeys {
                identity: field(VERB, hub, "identity").map_err(act)?,
                link: field(VERB, hub, "link").map_err(act)?,
            },
        })
    }

    fn claim(self, code: &QrCode, plan: &ClaimPlan) -> Result<Claimed, Fault> {
        const VERB: &str = "lock.claim";
        let mut refusal = None;
        for pending in &plan.tries {
            self.output.progress("claiming");
            let data = json!({
                "lock": code.lock.to_string(),
                "claim": base64(&pending.claim),
                "grant": base64(&pending.grant.bytes),
                "name": self.name,
            });
            let answer = match self.carrier.ask(VERB, data, CLAIM) {
                Ok(answer) => answer,
                // The lock took another of our claims, or none; the next one finds out.
                Err(error) if !error.may_have_succeeded() => {
                    refusal = refusal.or(Some(error));
                    continue;
                }
                Err(error) => return Err(open(&error)),
            };
            let statement = bytes(VERB, &answer, "receipt").map_err(|error| open(&error))?;
            let receipt = self
                .file
                .update(|book| {
                    accept_receipt(book, code.lock, &pending.claim, &statement)
                        .map_err(Trouble::from)
                })
                .map_err(Trouble::fault)?;
            return Ok(Claimed {
                lock: code.lock,
                receipt,
                statement,
                hub: pending.grant.holder,
                rights: pending.grant.rights.names().collect(),
            });
        }
        Err(refusal.map_or_else(
            || Trouble::Claim(ClaimError::AlreadyOwned).fault(),
            |error| error.fault_of_change("claim the lock"),
        ))
    }
}

/// A claim is under way and no receipt was seen.
fn open(error: &CarryError) -> Fault {
    error
        .fault_of_change("claim the lock")
        .next("repeat this command with the same code: the claim is kept, and its receipt is asked for again")
}

/// What can go wrong while the key file is held.
#[derive(Debug)]
enum Trouble {
    File(KeyFileError),
    Claim(ClaimError),
}

impl From<KeyFileError> for Trouble {
    fn from(error: KeyFileError) -> Self {
        Self::File(error)
    }
}

impl From<ClaimError> for Trouble {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl Trouble {
    fn fault(self) -> Fault {
        match self {
            Self::File(error) => key_fault(&error),
            Self::Claim(error) => {
                let code = match &error {
                    ClaimError::OtherLock { .. } => "other_lock",
                    ClaimError::AlreadyOwned => "already_owned",
                    ClaimError::AlreadyOurs(_) => "already_ours",
                    ClaimError::HubChangedKeys(_) | ClaimError::HubKeys(_) => "hub_keys",
                    ClaimError::PolicyEpochFarAhead(_) => "policy_epoch",
                    ClaimError::NameTaken(_) | ClaimError::Name(_) => "name",
                    ClaimError::Receipt(_) | ClaimError::OtherClaim | ClaimError::NoClaim => {
                        "not_verified"
                    }
                    _ => "claim",
                };
                let exit = match &error {
                    ClaimError::NameTaken(_) | ClaimError::Name(_) => Exit::Usage,
                    error if error.may_have_succeeded() => Exit::Unknown,
                    _ => Exit::Refused,
                };
                Fault::from_error(exit, code, &error).next(error.advice())
            }
        }
    }
}

/// What people should do with what a claim came to; the text of `pair` and `owner claim`.
pub(super) fn answer(claimed: &Claimed, name: &str, file: &KeyFile) -> (Value, String) {
    let value = json!({
        "lock": claimed.lock.to_string(),
        "name": name,
        "owned": true,
        "receipt": base64(&claimed.statement),
        "log_seq": claimed.receipt.log_seq,
        "hub": {
            "identity": claimed.hub.identity.to_string(),
            "link": claimed.hub.link.to_string(),
            "rights": claimed.rights,
        },
    });
    let text = format!(
        "'{}' ({}) is yours: the lock signed it.\n  the hub may: {}; it cannot unlock\n  keep a copy of {}: whoever has it owns your locks, and without it nobody does",
        super::plain_text::plain(name),
        claimed.lock,
        claimed.rights.join(", "),
        file.path().display(),
    );
    (value, text)
}

#[cfg(test)]
#[path = "claiming_tests.rs"]
mod tests;
