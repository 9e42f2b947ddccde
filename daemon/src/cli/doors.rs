//! Which lock is meant.

use drawbridge_protocol::ids::LockId;
use serde_json::{Value, json};
use std::time::Duration;

use super::args::RESERVED;
use super::carrier::Carrier;
use super::exit::Exit;
use super::fault::Fault;
use crate::owner::keys::WhichLock;
use crate::owner::{LockRecord, OwnerBook, Standing};

/// A lock to sign for: only the owner key file knows its keys, so only it is asked.
pub(super) fn ours<'b>(book: &'b OwnerBook, door: &str) -> Result<&'b LockRecord, Fault> {
    let record = book
        .find(door)
        .map_err(|error| unknown(book, door, &error))?;
    match record.standing {
        Standing::Owned { .. } => Ok(record),
        Standing::Pending(_) => {
            let message = format!(
                "use the lock '{}': it is not proven to be yours, no receipt was seen",
                record.name
            );
            Err(Fault::new(Exit::Refused, "not_owned", message)
                .next("drawbridge owner claim (with the same code; nothing is lost)"))
        }
    }
}

fn unknown(book: &OwnerBook, door: &str, error: &WhichLock) -> Fault {
    let code = match error {
        WhichLock::Ambiguous(..) => "ambiguous_lock",
        WhichLock::Unknown(_) => "unknown_lock",
    };
    let fault = Fault::from_error(Exit::Refused, code, error);
    if matches!(error, WhichLock::Ambiguous(..)) {
        return fault.next("give its id instead: drawbridge owner show");
    }
    let near = |word: &str| strsim::osa_distance(&word.to_lowercase(), &door.to_lowercase()) <= 2;
    if let Some(lock) = book.locks.iter().find(|lock| near(&lock.name)) {
        return fault.next(format!("did you mean '{}'?", lock.name));
    }
    if let Some(word) = RESERVED.iter().find(|word| near(word)) {
        return fault.next(format!("did you mean 'drawbridge lock {word}'?"));
    }
    if book.locks.is_empty() {
        return fault.next("drawbridge owner claim --name NAME (this key file has no lock yet)");
    }
    let names: Vec<_> = book
        .locks
        .iter()
        .map(|lock| format!("'{}'", lock.name))
        .collect();
    fault.next(format!(
        "one of {}; or drawbridge owner claim",
        names.join(", ")
    ))
}

/// A lock to ask the hub about: an id as it is; a name by the owner key file, then by the hub's list.
pub(super) fn at_hub(
    carrier: &mut dyn Carrier,
    book: Option<&OwnerBook>,
    door: &str,
) -> Result<LockId, Fault> {
    if let Ok(id) = door.parse() {
        return Ok(id);
    }
    if let Some(book) = book {
        match book.find(door) {
            Ok(record) => return Ok(record.id),
            Err(error @ WhichLock::Ambiguous(..)) => return Err(unknown(book, door, &error)),
            Err(_) => {}
        }
    }
    let list = carrier
        .ask("lock.list", json!({}), Duration::from_secs(10))
        .map_err(|error| error.fault(""))?;
    let wanted = door.to_lowercase();
    let named: Vec<_> = rows(&list)
        .iter()
        .filter(|row| {
            row.get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| name.to_lowercase() == wanted)
        })
        .collect();
    let missing = |code: &str, message: String| {
        Err(Fault::new(Exit::Refused, code, message).next("drawbridge lock list"))
    };
    match named.as_slice() {
        [] => missing(
            "unknown_lock",
            format!("find a lock called '{door}' at the hub"),
        ),
        [row] => match row
            .get("id")
            .or_else(|| row.get("lock"))
            .and_then(Value::as_str)
            .map(str::parse)
        {
            Some(Ok(id)) => Ok(id),
            _ => missing(
                "malformed_answer",
                format!("read the id of '{door}' in the hub's list"),
            ),
        },
        more => missing(
            "ambiguous_lock",
            format!(
                "tell which lock is meant: the hub has {} called '{door}'; give its id",
                more.len()
            ),
        ),
    }
}

/// The rows of a list of locks, however it is wrapped.
pub(super) fn rows(list: &Value) -> &[Value] {
    list.as_array()
        .or_else(|| list.get("locks").and_then(Value::as_array))
        .map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::super::carrier::fake::FakeHub;
    use super::*;
    use crate::owner::keys::Kernel;
    use crate::owner::test_lock::TestLock;

    fn book() -> OwnerBook {
        let mut book = OwnerBook::new(&mut Kernel);
        let front = TestLock::new(1).owned_record("Front", &book);
        book.locks = vec![front, TestLock::new(2).record("Back")];
        book
    }

    // Guards: `lock lst` or `unlock Fornt` that acts on whatever is nearest.
    #[test]
    fn a_mistyped_door_is_refused_with_a_suggestion() {
        let book = book();
        let next = |door: &str| ours(&book, door).unwrap_err().next.unwrap();
        assert_eq!(next("Fornt"), "did you mean 'Front'?");
        assert_eq!(next("lst"), "did you mean 'drawbridge lock list'?");
        assert!(next("cellar").starts_with("one of 'Front', 'Back'"));
        assert_eq!(ours(&book, "Back").unwrap_err().code, "not_owned");
        assert!(ours(&book, "front").is_ok());
    }

    // Guards (S26): two locks of one name at the hub, or a name that poses as an id.
    #[test]
    fn s26_a_name_at_the_hub_is_used_only_when_it_names_one_id() {
        let list = json!({"locks": [
            {"id": "0101010101010101", "name": "A"}, {"id": "0202020202020202", "name": "a"},
            {"id": "../../x", "name": "evil"}, {"id": "0303030303030303", "name": "C"},
        ]});
        let mut hub = FakeHub::new(|_, _| Ok(list.clone()), |_| vec![]);
        let mut find = |door: &str| at_hub(&mut hub, None, door).map_err(|fault| fault.code);
        assert_eq!(find("c"), Ok(LockId([3; 8])));
        assert_eq!(find("A"), Err("ambiguous_lock".into()));
        assert_eq!(find("evil"), Err("malformed_answer".into()));
        assert_eq!(find("none"), Err("unknown_lock".into()));
        assert_eq!(find("0909090909090909"), Ok(LockId([9; 8])));
    }
}
