//! Everything that a scenario has in secret or in plaintext, as needles.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use drawbridge_bench::Report;
use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::owner::{KeyFile, OwnerBook, Standing};
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::qr::QrCode;
use serde_json::Value;

use super::LOCKS;
use super::needles::Needle;

/// The signed commands, in their order.
pub(crate) fn statements(report: &Report) -> Vec<&[u8]> {
    let numbers = 1..=report.value("commands");
    numbers
        .map(|number| report.file(&format!("statement_{number}")))
        .collect()
}

/// The records of all logs that the hub told an app of.
pub(crate) fn records(report: &Report) -> Vec<Vec<u8>> {
    let lines = std::str::from_utf8(report.file("audits")).unwrap().lines();
    let batches = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    batches
        .flat_map(|batch| batch["records"].as_array().unwrap().clone())
        .map(|record| Base64::decode_vec(record.as_str().unwrap()).unwrap())
        .collect()
}

/// All of them.
pub(crate) fn needles(report: &Report) -> Vec<Needle> {
    let folder = tempfile::tempdir().unwrap();
    let mut needles = Vec::new();
    for lock in LOCKS {
        of_lock(report, lock, &mut needles);
    }
    of_hub(report, &folder.path().join("identity"), &mut needles);
    of_owner(&owner(report, folder.path()), &mut needles);
    for statement in statements(report) {
        let id = Command::read(statement).unwrap().id;
        needles.push(Needle::text(format!("command {id}"), statement));
        needles.push(Needle::text("a command's id", id.as_bytes()));
    }
    for number in 1..=report.value("commands") {
        let result: Value = serde_json::from_str(report.text(&format!("result_{number}"))).unwrap();
        let outcome = Base64::decode_vec(result["report"].as_str().unwrap()).unwrap();
        needles.push(Needle::text(format!("outcome {number}"), &outcome));
    }
    for (number, record) in records(report).iter().enumerate() {
        needles.push(Needle::text(format!("log record {number}"), record));
    }
    needles
}

/// What is printed on the lock, what follows from it, and what the factory put into it.
fn of_lock(report: &Report, lock: &str, needles: &mut Vec<Needle>) {
    let code = QrCode::from_text(report.text(&format!("code_{lock}"))).unwrap();
    let keys = code.keys();
    let factory: Value = serde_json::from_slice(report.file(&format!("factory_{lock}"))).unwrap();
    let secret = |name: &str| {
        factory[name]
            .as_str()
            .unwrap()
            .parse::<Digest32>()
            .unwrap()
            .0
    };
    let (link, identity) = (secret("link"), secret("identity"));
    // The file is read as it is meant: its halves are those of the code.
    assert_eq!(LinkSecret::from_bytes(link).public(), code.link);
    assert_eq!(
        IdentitySecret::from_bytes(&identity).public(),
        code.identity
    );
    for (name, bytes) in [
        ("setup secret", code.secret.danger_as_bytes().as_slice()),
        ("pairing psk", keys.pair_psk.danger_as_bytes()),
        ("claim key", keys.claim_key.danger_as_bytes()),
        ("beacon key", keys.beacon_key.danger_as_bytes()),
        ("link secret", &link),
        ("identity secret", &identity),
    ] {
        needles.push(Needle::secret(format!("{name} of {lock}"), bytes));
    }
    for (name, bytes) in [
        ("id", code.lock.as_bytes().as_slice()),
        ("id in digits", code.lock.to_string().as_bytes()),
        ("name", lock.as_bytes()),
        ("link key", &code.link.0),
        ("identity key", &code.identity.0),
        ("code", report.text(&format!("code_{lock}")).as_bytes()),
    ] {
        needles.push(Needle::text(format!("{name} of {lock}"), bytes));
    }
}

/// The hub's keys, and what it keeps for its locks.
fn of_hub(report: &Report, folder: &Path, needles: &mut Vec<Needle>) {
    let identities = IdentityDir::open(folder).unwrap();
    for name in report.files() {
        if let Some(kept) = name.strip_prefix("identity/") {
            fs::write(folder.join(kept), report.file(name)).unwrap();
        }
    }
    let hub = identities.hub_identity().unwrap();
    let link = LinkSecret::from_bytes(*hub.exchange_secret.expose());
    let identity = IdentitySecret::from_bytes(hub.signing_seed.expose());
    needles.push(Needle::secret(
        "link secret of the hub",
        link.danger_as_bytes(),
    ));
    needles.push(Needle::secret(
        "identity secret of the hub",
        &identity.danger_to_bytes(),
    ));
    needles.push(Needle::text("link key of the hub", &link.public().0));
    needles.push(Needle::text(
        "identity key of the hub",
        &identity.public().0,
    ));
    let mut bindings = 0;
    for name in identities.list().unwrap() {
        let kept = identities.load(&name).unwrap().unwrap();
        let binding = LockBinding::decode(&kept.payload).unwrap();
        let psks = [Some(&binding.psks.current), binding.psks.previous.as_ref()];
        for psk in psks.into_iter().flatten() {
            let name = format!("psk {} of {}", psk.generation, binding.name);
            needles.push(Needle::secret(name, psk.psk.danger_as_bytes()));
        }
        assert!(
            binding.psks.current.generation > 0,
            "no psk but that of the code"
        );
        let grant = binding.grant().unwrap();
        needles.push(Needle::text(format!("grant for {}", binding.name), grant));
        let ownership = binding.ownership.unwrap();
        needles.push(Needle::text(
            format!("ownership of {}", binding.name),
            ownership.as_bytes(),
        ));
        bindings += 1;
    }
    assert_eq!(bindings, LOCKS.len(), "the hub keeps all locks");
}

fn owner(report: &Report, folder: &Path) -> OwnerBook {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("owner.json");
    fs::write(&path, report.file("owner")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    KeyFile::at(&path).load().unwrap()
}

/// The owner's keys, and what proves its ownership.
fn of_owner(owner: &OwnerBook, needles: &mut Vec<Needle>) {
    let keys = &owner.keys;
    needles.push(Needle::secret(
        "identity secret of the owner",
        &keys.identity.danger_to_bytes(),
    ));
    needles.push(Needle::secret(
        "link secret of the owner",
        keys.link.danger_as_bytes(),
    ));
    needles.push(Needle::secret(
        "audit secret of the owner",
        &keys.audit.danger_to_bytes(),
    ));
    needles.push(Needle::text(
        "identity key of the owner",
        &keys.identity.public().0,
    ));
    needles.push(Needle::text("link key of the owner", &keys.link.public().0));
    needles.push(Needle::text(
        "audit key of the owner",
        &keys.audit.public().0,
    ));
    for lock in &owner.locks {
        let Standing::Owned { claim, receipt, .. } = &lock.standing else {
            panic!("{} is not owned", lock.name);
        };
        needles.push(Needle::text(
            format!("hash of the claim of {}", lock.name),
            &claim.0,
        ));
        needles.push(Needle::text(format!("receipt of {}", lock.name), receipt));
    }
    assert_eq!(owner.locks.len(), LOCKS.len());
}
