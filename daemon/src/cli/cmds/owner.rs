//! `drawbridge owner init|show|claim|sign`.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use drawbridge_protocol::command::Action;
use serde_json::{Value, json};

use super::pair::claim;
use crate::cli::act::{fresh_info, sign_fault};
use crate::cli::args::OwnerCommand;
use crate::cli::carrier::base64;
use crate::cli::context::{Context, key_fault};
use crate::cli::doors;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::cli::plain_text::plain;
use crate::cli::render::table;
use crate::owner::command::SignedCommand;
use crate::owner::keys::Kernel;
use crate::owner::{LockRecord, OwnerBook, Standing};

pub(super) fn run(context: &Context, command: OwnerCommand) -> Result<Exit, Fault> {
    match command {
        OwnerCommand::Init { force } => init(context, force),
        OwnerCommand::Show => show(context),
        OwnerCommand::Claim { code } => claim(context, &code, Context::carrier, false),
        OwnerCommand::Sign {
            lock,
            action,
            ttl,
            out,
        } => sign(context, &lock, &action, ttl, &out),
    }
}

fn init(context: &Context, force: bool) -> Result<Exit, Fault> {
    let file = context.key_file();
    let book = OwnerBook::new(&mut Kernel);
    let old = file
        .create(&book, force)
        .map_err(|error| key_fault(&error))?;
    let mut value = public(&book);
    if let Some(value) = value.as_object_mut() {
        value.insert("file".to_owned(), json!(file.path().display().to_string()));
        value.insert(
            "old_file".to_owned(),
            json!(old.as_ref().map(|old| old.display().to_string())),
        );
    }
    context.output.answer(&value, || {
        let mut text = format!(
            "your keys are in {}\n  identity {}\n  keep a copy where nobody else finds it: whoever has it owns your locks, and without it nobody does\n  next: drawbridge owner claim --name NAME",
            file.path().display(),
            book.keys.identity.public()
        );
        if let Some(old) = &old {
            text.push_str(&format!("\n  the keys that were there are now in {}", old.display()));
        }
        text
    });
    Ok(Exit::Done)
}

fn show(context: &Context) -> Result<Exit, Fault> {
    let book = context.book()?;
    let value = public(&book);
    context.output.answer(&value, || {
        let mut text = format!(
            "identity {}\nlink     {}\naudit    {}",
            book.keys.identity.public(),
            book.keys.link.public(),
            book.keys.audit.public()
        );
        if !book.locks.is_empty() {
            let rows: Vec<Value> = book
                .locks
                .iter()
                .map(|lock| {
                    json!({
                        "id": lock.id.to_string(),
                        "name": lock.name,
                        "standing": standing(lock),
                        "hub may": lock.grants.iter().flat_map(|grant| grant.rights.names()).collect::<Vec<_>>(),
                    })
                })
                .collect();
            text.push_str("\n\n");
            text.push_str(&table(&rows, &["id", "name", "standing", "hub may"]));
        }
        text
    });
    Ok(Exit::Done)
}

fn standing(lock: &LockRecord) -> &'static str {
    match lock.standing {
        Standing::Owned { .. } => "owned (the lock signed it)",
        Standing::Pending(_) => "claimed, not proven: repeat owner claim",
    }
}

/// Public halves and proofs; no field of this is a secret.
fn public(book: &OwnerBook) -> Value {
    let locks: Vec<Value> = book
        .locks
        .iter()
        .map(|lock| {
            let (ownership, receipt) = match &lock.standing {
                Standing::Owned {
                    ownership, receipt, ..
                } => (Some(ownership.to_string()), Some(base64(receipt))),
                Standing::Pending(_) => (None, None),
            };
            let grants: Vec<Value> = lock
                .grants
                .iter()
                .map(|grant| {
                    json!({
                        "hub": grant.hub,
                        "identity": grant.holder.identity.to_string(),
                        "link": grant.holder.link.to_string(),
                        "rights": grant.rights.names().collect::<Vec<_>>(),
                        "serial": grant.serial,
                        "statement": base64(&grant.bytes),
                    })
                })
                .collect();
            json!({
                "id": lock.id.to_string(),
                "name": lock.name,
                "model": lock.model,
                "owned": ownership.is_some(),
                "identity": lock.identity.to_string(),
                "link": lock.link.to_string(),
                "ownership": ownership,
                "receipt": receipt,
                "grants": grants,
                "log_seen": lock.log.map(|cursor| cursor.seq),
            })
        })
        .collect();
    json!({
        "identity": book.keys.identity.public().to_string(),
        "link": book.keys.link.public().to_string(),
        "audit": book.keys.audit.public().to_string(),
        "locks": locks,
    })
}

fn sign(context: &Context, door: &str, action: &str, ttl: u64, out: &Path) -> Result<Exit, Fault> {
    let action = match action {
        "lock" => Action::Lock,
        _ => Action::Unlock,
    };
    let book = context.book()?;
    let record = doors::ours(&book, door)?;
    let mut carrier = context.carrier()?;
    context.output.progress("asking the lock where it stands");
    let info = fresh_info(
        carrier.as_mut(),
        &book.keys,
        record,
        &mut Kernel,
        Duration::from_secs(20),
    )?;
    let command = SignedCommand::new(&book.keys, &info, action, ttl * 1_000)
        .map_err(|error| sign_fault(&error))?;
    put(out, &command.bytes)?;
    let hub = carrier.hub().unwrap_or("<hub>");
    let topic = format!("drawbridge/{hub}/lock/{}/command", record.id);
    let value = json!({
        "lock": record.id.to_string(),
        "name": record.name,
        "action": action.name(),
        "command": command.id.to_string(),
        "file": out.display().to_string(),
        "topic": topic,
        "result_topic": format!("drawbridge/{hub}/lock/{}/result", record.id),
        "expires_in_ms": ttl * 1_000,
        "expiry_lock_time_ms": command.command.expiry_ms,
        "counter": command.command.counter,
        "epoch": command.command.epoch.to_string(),
    });
    context.output.answer(&value, || {
        format!(
            "'{}': {} signed into {}\n  topic    {topic}\n  command  {}\n  expires  in {ttl} s; a lock refuses it afterwards, and obeys it once\n  publish it with QoS 1, as it is, not retained",
            plain(&record.name),
            action.name(),
            plain(&out.display().to_string()),
            command.id
        )
    });
    Ok(Exit::Done)
}

/// Whoever reads the file while it lives can act with it: a new one, mode 0600. **Nothing that is
/// there is written over**, be it by a slip of the keyboard or a link that somebody laid.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let fault = |error: &std::io::Error| {
        let message = format!("write {}: {error}", path.display());
        Fault::new(Exit::Refused, "write", message)
    };
    let opened = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!("write {}: there is something already", path.display());
            return Err(Fault::new(Exit::Refused, "exists", message)
                .next("give --out a name that is free, or remove what is there"));
        }
        Err(error) => return Err(fault(&error).next("give --out a file in a folder of yours")),
    };
    file.write_all(bytes).map_err(|error| {
        // Half a command is none.
        let _ = std::fs::remove_file(path);
        fault(&error).next("make room on the disk")
    })
}
