//! `drawbridge state DOOR`: the lock's signed report, and whether it is still true.
//!
//! A hub could show an old report. So the lock is asked, with a fresh nonce, for its log's head:
//! **every move of the bolt is in the log, so a report at that head is current, and no other is.**

use std::time::Duration;

use drawbridge_protocol::report::Report;
use drawbridge_protocol::session_info::SessionInfo;
use serde_json::{Value, json};

use crate::cli::act::fresh_info;
use crate::cli::args::DoorArgs;
use crate::cli::carrier::bytes;
use crate::cli::context::Context;
use crate::cli::doors;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::plain_text::plain;
use crate::owner::LockRecord;
use crate::owner::keys::Kernel;

pub(super) fn run(context: &Context, door: &DoorArgs) -> Result<Exit, Fault> {
    let book = context.book()?;
    let record = doors::ours(&book, door.typed())?;
    let mut carrier = context.carrier()?;
    context.output.progress("asking");
    // First the lock: being asked, it also tells the hub what it senses.
    let info = fresh_info(
        carrier.as_mut(),
        &book.keys,
        record,
        &mut Kernel,
        Duration::from_secs(20),
    );
    let shown = carrier
        .ask(
            "lock.show",
            json!({"lock": record.id.to_string()}),
            Duration::from_secs(10),
        )
        .map_err(|error| error.fault(""))?;
    let report = signed_report(record, &shown)?;
    let current = info
        .as_ref()
        .is_ok_and(|info| is_current(&report, info.info()));
    let doubt = match &info {
        Ok(_) if current => None,
        Ok(info) => Some(format!(
            "the lock's log has gone on from record {} to {}",
            report.log_seq,
            info.info()
                .log_seq
                .map_or_else(|| "an unknown one".to_owned(), |seq| seq.to_string())
        )),
        Err(fault) => Some(format!("the lock did not answer: {}", fault.message)),
    };
    let value = json!({
        "lock": record.id.to_string(),
        "name": record.name,
        "position": report.position.name(),
        "door": report.door.name(),
        "tamper": report.tamper,
        "battery": report.battery,
        "cause": report.cause.to_string(),
        "seq": report.log_seq,
        "log_used": report.log_used,
        "current": current,
        "doubt": doubt,
    });
    context.output.answer(&value, || {
        let name = plain(&record.name);
        let details = format!(
            "door {}, battery {} %, {}by {}",
            report.door.name(),
            report.battery,
            if report.tamper { "TAMPERED, " } else { "" },
            report.cause
        );
        match &doubt {
            None => format!(
                "{name}: {}, signed by the lock just now\n  {details}",
                context.output.paint(32, report.position.name())
            ),
            Some(doubt) => format!(
                "{name}: {} when it was last heard of; {}\n  {details}\n  next: drawbridge doctor",
                context.output.paint(33, report.position.name()),
                plain(doubt)
            ),
        }
    });
    Ok(if current { Exit::Done } else { Exit::Unknown })
}

/// The report within what the hub shows, if the lock signed it.
fn signed_report(record: &LockRecord, shown: &Value) -> Result<Report, Fault> {
    let refused = |message: &str| {
        Fault::new(
            Exit::Refused,
            "not_verified",
            format!("read the state of '{}': {message}", record.name),
        )
        .next("drawbridge doctor")
    };
    let state = shown
        .get("state")
        .filter(|state| state.is_object())
        .unwrap_or(shown);
    let statement = bytes("lock.show", state, "report")
        .map_err(|_| refused("the hub shows no report of the lock"))?;
    match Report::verify(&statement, &record.identity) {
        Ok(report) if report.lock == record.id => Ok(report),
        _ => Err(refused("what the hub shows is not signed by this lock")),
    }
}

fn is_current(report: &Report, info: &SessionInfo) -> bool {
    report.boot == info.boot
        && Some(report.log_seq) == info.log_seq
        && Some(report.log_head) == info.log_head
}
