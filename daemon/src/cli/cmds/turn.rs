//! `drawbridge lock DOOR`, `drawbridge unlock DOOR`.

use std::time::{Duration, Instant};

use drawbridge_protocol::command::Action;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use serde_json::{Value, json};

use crate::cli::act::{Act, Done, Ended, Wish};
use crate::cli::args::ActArgs;
use crate::cli::carrier::base64;
use crate::cli::context::Context;
use crate::cli::doors;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::plain_text::plain;
use crate::owner::LockRecord;
use crate::owner::command::Settled;
use crate::owner::keys::Kernel;

pub(super) fn run(context: &Context, action: Action, args: &ActArgs) -> Result<Exit, Fault> {
    let book = context.book()?;
    let record = doors::ours(&book, args.door.typed())?;
    let mut carrier = context.carrier()?;
    let start = Instant::now();
    let act = Act {
        carrier: carrier.as_mut(),
        keys: &book.keys,
        record,
        output: context.output,
        now: &mut || start.elapsed(),
        pause: &mut std::thread::sleep,
    };
    let wish = Wish {
        action,
        ttl: Duration::from_secs(args.ttl),
        wait: Duration::from_secs(args.wait),
    };
    let done = act.run(wish, &mut Kernel)?;
    let exit = exit_of(&done.ended);
    let value = value(record, action, &done);
    context
        .output
        .answer(&value, || text(context, record, action, &done));
    Ok(exit)
}

/// 0 only for the lock's own `done`, 1 only for its own no: what hub or broker say proves neither.
fn exit_of(ended: &Ended) -> Exit {
    match ended {
        Ended::Settled(settled) => match settled.outcome.verdict {
            Verdict::Done => Exit::Done,
            Verdict::Failed | Verdict::Refused | Verdict::Expired | Verdict::NotExecuted => {
                Exit::Refused
            }
            _ => Exit::Unknown,
        },
        Ended::SaidNo { .. } | Ended::Open { .. } => Exit::Unknown,
    }
}

fn value(record: &LockRecord, action: Action, done: &Done) -> Value {
    let mut value = json!({
        "lock": record.id.to_string(),
        "name": record.name,
        "action": action.name(),
        "command": done.sent.id.to_string(),
        "signed": done.attempts,
    });
    let more = match &done.ended {
        Ended::Settled(settled) => {
            let outcome = &settled.outcome;
            json!({
                "status": outcome.verdict.to_string(),
                "proven": true,
                "reason": outcome.reason.to_string(),
                "position": outcome.position.name(),
                "duplicate": outcome.duplicate,
                "may_have_succeeded": outcome.reason.may_have_succeeded(),
                "is_temporary": outcome.reason.is_temporary(),
                "report": base64(&settled.report),
            })
        }
        Ended::SaidNo { reason } => json!({
            "status": "refused", "proven": false, "reason": reason, "position": null,
            "may_have_succeeded": true, "is_temporary": true, "report": null,
        }),
        Ended::Open { last } => json!({
            "status": "unknown", "proven": false, "reason": last, "position": null,
            "may_have_succeeded": true, "is_temporary": true, "report": null,
        }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn text(context: &Context, record: &LockRecord, action: Action, done: &Done) -> String {
    let name = plain(&record.name);
    match &done.ended {
        Ended::Settled(settled) if settled.outcome.verdict == Verdict::Done => {
            let position = context.output.paint(32, settled.outcome.position.name());
            format!("{name}: {position}, signed by the lock")
        }
        Ended::Settled(settled) => {
            let outcome = &settled.outcome;
            let verdict = context.output.paint(31, &outcome.verdict.to_string());
            format!(
                "{name}: {verdict} ({}), the bolt is {}, signed by the lock\n  next: {}",
                outcome.reason,
                outcome.position.name(),
                next(settled, &name, action)
            )
        }
        Ended::SaidNo { reason } => format!(
            "{name}: {} ({}), which the lock has not signed; the command {} dies by itself within 60 s\n  next: drawbridge state {name}, then drawbridge doctor",
            context.output.paint(33, "refused on the way"),
            plain(reason),
            done.sent.id
        ),
        Ended::Open { last } => {
            let last = last
                .as_deref()
                .map_or_else(|| "nothing was heard".to_owned(), plain);
            format!(
                "{name}: {} (last heard: {last}); the command {} dies by itself within 60 s\n  next: drawbridge state {name}",
                context.output.paint(33, "unknown"),
                done.sent.id
            )
        }
    }
}

/// What to do about a lock's no.
fn next(settled: &Settled, name: &str, action: Action) -> String {
    match settled.outcome.reason {
        Reason::Jammed => format!(
            "look at the door, then: drawbridge {} {name}",
            action.name()
        ),
        Reason::Interrupted => format!("drawbridge state {name}"),
        Reason::BatteryLow => "change the batteries".to_owned(),
        Reason::LogFull => format!("drawbridge lock log {name} --free --local"),
        Reason::NoRight | Reason::Revoked | Reason::NotOwned => "drawbridge owner show".to_owned(),
        Reason::Storage => {
            format!("restart the lock; its flash failed: drawbridge lock log {name} --local")
        }
        reason if reason.is_temporary() => format!("drawbridge {} {name}", action.name()),
        _ => format!("drawbridge lock log {name} --local"),
    }
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::ids::{CommandId, Nonce};

    use super::*;
    use crate::owner::OwnerBook;
    use crate::owner::command::{FreshInfo, SignedCommand};
    use crate::owner::test_lock::TestLock;

    // Guards: a script that takes "not proven" for "locked", or a hub's bare word for "not done".
    #[test]
    fn exit_is_zero_only_for_the_locks_own_done() {
        let lock = TestLock::new(1);
        let book = OwnerBook::new(&mut Kernel);
        let record = lock.owned_record("x", &book);
        let settled = |verdict| {
            let report = lock.signed_outcome(&record, CommandId([0; 16]), verdict, Reason::None);
            let outcome =
                drawbridge_protocol::outcome::Outcome::verify(&report, &record.identity).unwrap();
            exit_of(&Ended::Settled(Box::new(Settled { outcome, report })))
        };
        assert_eq!(settled(Verdict::Done), Exit::Done);
        for verdict in [
            Verdict::Failed,
            Verdict::Refused,
            Verdict::Expired,
            Verdict::NotExecuted,
        ] {
            assert_eq!(settled(verdict), Exit::Refused);
        }
        assert_eq!(settled(Verdict::Forgotten), Exit::Unknown);
        assert_eq!(settled(Verdict::NotSeen), Exit::Unknown);
        assert_eq!(settled(Verdict::Other(99)), Exit::Unknown);
        let unproven = [
            Ended::Open {
                last: Some("done".into()),
            },
            Ended::SaidNo {
                reason: "refused".into(),
            },
        ];
        for ended in unproven {
            assert_eq!(exit_of(&ended), Exit::Unknown, "{ended:?}");
            let sent =
                SignedCommand::new(&book.keys, &fresh(&lock, &record), Action::Unlock, 1_000)
                    .unwrap();
            let done = Done {
                ended,
                sent,
                attempts: 1,
            };
            let value = value(&record, Action::Unlock, &done);
            assert_eq!(value["may_have_succeeded"], true, "{value}");
            assert_eq!(value["proven"], false, "{value}");
        }
    }

    fn fresh(lock: &TestLock, record: &LockRecord) -> FreshInfo {
        let nonce = Nonce([9; 16]);
        FreshInfo::verify(record, nonce, &lock.signed_info(record, Some(nonce))).unwrap()
    }
}
