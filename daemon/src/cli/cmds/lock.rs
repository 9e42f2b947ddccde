//! `drawbridge lock list|show|remove|rename|log`.

use std::io;
use std::time::{Duration, Instant};

use drawbridge_protocol::ids::LockId;
use serde_json::{Value, json};

use crate::cli::args::LockVerb;
use crate::cli::carrier::Carrier;
use crate::cli::context::{Context, key_fault};
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::history::History;
use crate::cli::output::unwritten;
use crate::cli::plain_text::plain;
use crate::cli::render::{document, table};
use crate::cli::{doors, history};
use crate::owner::keys::Kernel;
use crate::owner::lock_record::check_name;
use crate::owner::log_reading::{Line, LogReading, Verified};
use crate::owner::{KeyFileError, LockRecord, OwnerBook};

const ANSWER: Duration = Duration::from_secs(10);
/// How long the hub may take to pull from the lock what the lock has just signed.
const HUB_PULLS: Duration = Duration::from_secs(6);

pub(super) fn run(context: &Context, verb: LockVerb) -> Result<Exit, Fault> {
    match verb {
        LockVerb::List => list(context),
        LockVerb::Show { door } => show(context, &door),
        LockVerb::Remove { door, yes, force } => remove(context, &door, yes, force),
        LockVerb::Rename { door, name } => rename(context, &door, &name),
        LockVerb::Log {
            door,
            all,
            free,
            give_up,
        } => log(context, &door, all, free, give_up),
    }
}

fn list(context: &Context) -> Result<Exit, Fault> {
    let mut carrier = context.carrier()?;
    let list = carrier
        .ask("lock.list", json!({}), ANSWER)
        .map_err(|error| error.fault(""))?;
    context.output.answer(&list, || match doors::rows(&list) {
        [] => "no locks yet\n  next: drawbridge owner claim --name NAME".to_owned(),
        rows => table(
            rows,
            &[
                "id", "lock", "name", "model", "firmware", "state", "link", "rights",
            ],
        ),
    });
    Ok(Exit::Done)
}

fn show(context: &Context, door: &str) -> Result<Exit, Fault> {
    let mut carrier = context.carrier()?;
    let lock = resolve(context, carrier.as_mut(), door)?;
    let shown = carrier
        .ask("lock.show", json!({"lock": lock.to_string()}), ANSWER)
        .map_err(|error| error.fault(""))?;
    context.output.answer(&shown, || {
        format!(
            "what the hub says of it (drawbridge state asks the lock itself):\n{}",
            document(&shown)
        )
    });
    Ok(Exit::Done)
}

fn remove(context: &Context, door: &str, yes: bool, force: bool) -> Result<Exit, Fault> {
    if !yes {
        let message =
            "remove a lock from the hub: pairing it again needs its owner and the button inside";
        return Err(Fault::new(Exit::Usage, "not_confirmed", message)
            .next("repeat it with --yes if that is what you want"));
    }
    let mut carrier = context.carrier()?;
    let lock = resolve(context, carrier.as_mut(), door)?;
    let data = if force {
        json!({"lock": lock.to_string(), "force": true})
    } else {
        json!({"lock": lock.to_string()})
    };
    let answer = carrier
        .ask("lock.remove", data, ANSWER)
        .map_err(|error| error.fault_of_change(""))?;
    let value = json!({"lock": lock.to_string(), "removed": true, "answer": answer});
    context.output.answer(&value, || {
        format!("the hub has forgotten lock {lock}; its owner stays its owner (a factory reset at the lock ends that)")
    });
    Ok(Exit::Done)
}

fn rename(context: &Context, door: &str, name: &str) -> Result<Exit, Fault> {
    let usage = |error: &dyn std::error::Error| {
        Fault::from_error(Exit::Usage, "name", error).next("choose another name")
    };
    check_name(name).map_err(|error| usage(&error))?;
    let book = optional_book(context)?;
    let taken = book
        .as_ref()
        .and_then(|book| book.find(name).ok())
        .map(|lock| lock.id);
    let mut carrier = context.carrier()?;
    let lock = doors::at_hub(carrier.as_mut(), book.as_ref(), door)?;
    if taken.is_some_and(|other| other != lock) {
        let message = format!("name the lock '{name}': another lock of yours has that name");
        return Err(Fault::new(Exit::Usage, "name", message).next("choose another name"));
    }
    let data = json!({"lock": lock.to_string(), "name": name});
    let answer = carrier
        .ask("lock.rename", data, ANSWER)
        .map_err(|error| error.fault_of_change(""))?;
    // The same name in the owner key file, so that one name works everywhere.
    let ours = book.is_some_and(|book| book.lock(lock).is_some());
    if ours {
        context
            .key_file()
            .update::<_, KeyFileError>(|book| {
                if let Some(record) = book.lock_mut(lock) {
                    name.clone_into(&mut record.name);
                }
                Ok(())
            })
            .map_err(|error| key_fault(&error))?;
    }
    let value =
        json!({"lock": lock.to_string(), "name": name, "in_key_file": ours, "answer": answer});
    context.output.answer(&value, || {
        format!("lock {lock} is now called '{}'", plain(name))
    });
    Ok(Exit::Done)
}

fn log(
    context: &Context,
    door: &str,
    all: bool,
    free: bool,
    give_up: Option<u64>,
) -> Result<Exit, Fault> {
    let book = context.book()?;
    let record = doors::ours(&book, door)?;
    let mut carrier = context.carrier()?;
    context.output.progress("reading the log");
    let known = record.known_log();
    let reading = if all || record.log.is_none() {
        LogReading::from_oldest(known)
    } else {
        LogReading::behind(Some(known))
    };
    let reading = reading.giving_up(give_up.unwrap_or(0));
    let from = reading.next_seq();
    let read = {
        let start = Instant::now();
        let mut wait = || {
            std::thread::sleep(Duration::from_millis(250));
            start.elapsed() < HUB_PULLS
        };
        history::read(
            carrier.as_mut(),
            &book.keys,
            record,
            reading,
            &mut wait,
            &mut Kernel,
        )?
    };
    if let Err(error) = show_log(context, &book, record, from, &read) {
        if free {
            return Err(unwritten(Exit::Refused, &error));
        }
        context.output.missed(error);
    }
    let Ok(reached) = &read.verdict else {
        return Ok(Exit::Refused);
    };
    if free {
        free_log(context, carrier.as_mut(), &book, record, reached)?;
    }
    Ok(Exit::Done)
}

/// Everything that was read, and what it proves. **It is written and flushed when this returns**:
/// what the owner could not see is not signed away.
fn show_log(
    context: &Context,
    book: &OwnerBook,
    record: &LockRecord,
    from: u64,
    read: &History,
) -> io::Result<()> {
    let lines = read.reading.lines();
    let problem = read.verdict.as_ref().err().map(ToString::to_string);
    let value = json!({
        "lock": record.id.to_string(),
        "name": record.name,
        "from": from,
        "signed_head": {"seq": read.signed.seq, "hash": read.signed.head.to_string()},
        "whole": read.verdict.is_ok(),
        "problem": problem,
        "freed": false,
        "log": lines.iter().map(history::line_value).collect::<Vec<Value>>(),
    });
    context.output.show(&value, || {
        let mut text: Vec<String> = lines.iter().map(|line| history::line_text(line, &book.keys)).collect();
        let given_up = lines.iter().any(|line| matches!(line, Line::GivenUp { .. }));
        text.push(match &problem {
            None => format!(
                "{}{}: every record up to {} follows from the one before, and the lock signed the last",
                context.output.paint(32, "whole"),
                if given_up { " but for what you gave up" } else { "" },
                read.signed.seq
            ),
            Some(problem) => format!(
                "{}: {problem}\n  next: read it through another hub: where it is whole there, this one was tampered with\n        (what can be missing for good: drawbridge lock log --help)",
                context.output.paint(31, "NOT whole")
            ),
        });
        text.join("\n")
    })
}

/// Signs leave to free what was shown. The mark is moved first: should the answer get lost, the next
/// reading must not miss what the lock then has freed. Leave that never arrives costs nothing: the
/// next one covers it.
fn free_log(
    context: &Context,
    carrier: &mut dyn Carrier,
    book: &OwnerBook,
    record: &LockRecord,
    reached: &Verified,
) -> Result<(), Fault> {
    let (lock, cursor) = (record.id, reached.cursor());
    context
        .key_file()
        .update::<_, KeyFileError>(|book| {
            if let Some(record) = book.lock_mut(lock) {
                record.log = Some(cursor);
            }
            Ok(())
        })
        .map_err(|error| key_fault(&error))?;
    history::free(carrier, &book.keys, record, reached)?;
    let value = json!({"lock": lock.to_string(), "freed": true, "up_to": cursor.seq});
    context.output.answer(&value, || {
        "the lock may now free these records; keep this output".to_owned()
    });
    Ok(())
}

fn resolve(context: &Context, carrier: &mut dyn Carrier, door: &str) -> Result<LockId, Fault> {
    let book = optional_book(context)?;
    doors::at_hub(carrier, book.as_ref(), door)
}

/// The book, if there is one: names are in it, but these verbs work without it.
fn optional_book(context: &Context) -> Result<Option<OwnerBook>, Fault> {
    match context.key_file().load() {
        Ok(book) => Ok(Some(book)),
        Err(KeyFileError::Missing(_)) => Ok(None),
        Err(error) => Err(key_fault(&error)),
    }
}
