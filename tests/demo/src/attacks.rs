//! What must not work.

use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::IdentitySecret;
use drawbridge_protocol::session_info::SessionInfo;
use serde_json::{Value, json};

use crate::mqtt;
use crate::report::{Failure, Report, Shown, failure, require};
use crate::stage::Stage;

const DOOR: &str = "Front";

pub(crate) fn run(stage: &mut Stage, report: &mut Report) {
    report.show("replay", "sending one signed command twice", || {
        replay(stage)
    });
    report.show(
        "flipped bit",
        "flipping one bit of a signed command",
        || {
            let mut command = signed(stage, "60")?;
            let middle = command.len() / 2;
            command[middle] ^= 0x10;
            refused(stage, &command, false, &["refused"])
        },
    );
    report.show("expired", "sending a command after it expired", || {
        let command = signed(stage, "1")?;
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        refused(
            stage,
            &command,
            false,
            &["expired", "refused", "not_executed"],
        )
    });
    report.show("stranger", "signing with somebody else's key", || {
        let command = Command::read(&signed(stage, "60")?).map(|read| read.command);
        let stranger = IdentitySecret::from_bytes(&[0x5a; 32]);
        let mut out = [0; 724];
        let forged = command?.sign(&stranger, &mut out)?.to_vec();
        refused(stage, &forged, false, &["refused"])
    });
    report.show(
        "retained",
        "leaving a command on the broker as a retained message",
        || {
            let command = signed(stage, "60")?;
            refused(stage, &command, true, &["refused"])
        },
    );
    report.show(
        "stolen hub keys",
        "unlocking with the hub's own keys and grant",
        || {
            let command = signed_by_hub(stage)?;
            refused(stage, &command, false, &["refused"])
        },
    );
}

/// A command file as `drawbridge owner sign` writes it.
fn signed(stage: &Stage, ttl: &str) -> Result<Vec<u8>, Failure> {
    let out = stage.scratch("command.cose");
    let path = out.display().to_string();
    let words = [
        "owner", "sign", "--lock", DOOR, "--action", "unlock", "--ttl", ttl, "--out", &path,
    ];
    stage.owner.run(&words)?.done("owner sign")?;
    let command = std::fs::read(&out)?;
    std::fs::remove_file(&out)?;
    Ok(command)
}

fn replay(stage: &Stage) -> Result<Shown, Failure> {
    let lock = stage.lock(DOOR)?;
    let (before, command) = (lock.motor_starts()?, signed(stage, "60")?);
    let first = mqtt::send(stage, &lock.id, &command, false)?;
    require(
        first["status"] == json!("done"),
        format!("the first delivery: {first}"),
    )?;
    let second = mqtt::send(stage, &lock.id, &command, false)?;
    require(
        second["status"] == json!("done"),
        format!("the second delivery: {second}"),
    )?;
    require(
        second["duplicate"] == json!(true),
        format!("not called a duplicate: {second}"),
    )?;
    let starts = lock.motor_starts()? - before;
    require(starts == 1, format!("the motor was started {starts} times"))?;
    Ok(vec![
        ("duplicate", second["duplicate"].clone()),
        ("motor_starts", json!(starts)),
    ])
}

/// Sends what must be refused; the bolt must not move.
fn refused(
    stage: &Stage,
    command: &[u8],
    retain: bool,
    allowed: &[&str],
) -> Result<Shown, Failure> {
    let lock = stage.lock(DOOR)?;
    let before = lock.motor_starts()?;
    let result = mqtt::send(stage, &lock.id, command, retain)?;
    let status = result["status"].as_str().unwrap_or_default();
    require(allowed.contains(&status), format!("the hub says: {result}"))?;
    let starts = lock.motor_starts()? - before;
    require(starts == 0, format!("the motor was started {starts} times"))?;
    let signed = result["report"] != Value::Null;
    Ok(vec![
        ("status", json!(status)),
        ("reason", result["reason"].clone()),
        ("signed_by_lock", json!(signed)),
    ])
}

/// What somebody can sign who has every file of the hub.
fn signed_by_hub(stage: &Stage) -> Result<Vec<u8>, Failure> {
    let lock = stage.lock(DOOR)?;
    let files = IdentityDir::open(&stage.hub.state.join("identity"))?;
    let keys = files.hub_identity()?;
    let identity = IdentitySecret::from_bytes(keys.signing_seed.expose());
    let binding = files
        .load(&lock.id)?
        .ok_or_else(|| failure("the hub has no such lock"))?;
    let binding = LockBinding::decode(&binding.payload)?;
    let grant = binding
        .grant()
        .ok_or_else(|| failure("the hub has no grant"))?
        .to_vec();
    let statement = mqtt::session_info(stage, &lock.id, &identity.public().to_string())?;
    let info = SessionInfo::verify(&statement, &binding.identity)?;
    let command = Command {
        lock: info.lock,
        action: Action::Unlock,
        epoch: info.epoch,
        counter: info.counter + 1,
        log_position: info.log_seq.unwrap_or(0),
        expiry_ms: info.time_ms + 9_000,
        grant: Some(Digest32::of(&grant)),
    };
    let mut out = [0; 724];
    Ok(command.sign(&identity, &mut out)?.to_vec())
}
