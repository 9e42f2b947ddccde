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

/// 0 only for the lock's own `done`; 1 only when it is known that the wish is not fulfilled.
fn exit_of(ended: &Ended) -> Exit {
    match ended {
        Ended::Settled(settled) => match settled.outcome.verdict {
            Verdict::Done => Exit::Done,
            Verdict::Failed | Verdict::Refused | Verdict::Expired | Verdict::NotExecuted => {
                Exit::Refused
            }
            _ => Exit::Unknown,
        },
        Ended::HubRefused { .. } => Exit::Refused,
        Ended::Open { .. } => Exit::Unknown,
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
        Ended::HubRefused { reason } => json!({
            "status": "refused", "proven": false, "reason": reason, "position": null,
            "may_have_succeeded": false, "is_temporary": true, "report": null,
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
        Ended::HubRefused { reason } => format!(
            "{name}: the hub did not take the command: {}\n  next: drawbridge doctor",
            plain(reason)
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
    use drawbridge_protocol::ids::CommandId;

    use super::*;
    use crate::owner::OwnerBook;
    use crate::owner::test_lock::TestLock;

    // Guards: a script that takes "not proven" for "locked".
    #[test]
    fn exit_is_zero_only_for_the_locks_own_done() {
        let lock = TestLock::new(1);
        let record = lock.owned_record("x", &OwnerBook::new(&mut Kernel));
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
        assert_eq!(
            exit_of(&Ended::Open {
                last: Some("done".into())
            }),
            Exit::Unknown
        );
    }
}
