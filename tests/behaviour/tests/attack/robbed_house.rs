//! A household whose hub is stolen.

use std::path::{Path, PathBuf};
use std::process::Command;

use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::owner::KeyFile;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::Rights;
use drawbridge_support::broker::Broker as EmbeddedBroker;
use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::pki::Pki;
use serde_json::Value;

/// The hub's id; the shipped access list knows it.
const HUB: &str = "h1";
const DOORS: [&str; 2] = ["Front", "Back"];

/// Broker, two paired locks, hub and owner. Fields end in this order.
pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) locks: Vec<LockSim>,
    pub(crate) owner: Cli,
    _broker: EmbeddedBroker,
    _runtime: tokio::runtime::Runtime,
    _pki: Pki,
    folder: tempfile::TempDir,
}

/// What the attacker's program said.
pub(crate) struct Attack {
    pub(crate) is_defeated: bool,
    pub(crate) attempts: Vec<Value>,
    pub(crate) last_line: String,
    pub(crate) all: String,
}

impl House {
    /// Pairs both locks with the hub.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("db").tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let programs = Programs::build(false).unwrap();
        let pki = Pki::create(&made("pki")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let broker = runtime.block_on(EmbeddedBroker::start(&pki, "")).unwrap();
        let (air, locks) = (made("air"), made("locks"));
        let locks: Vec<LockSim> = DOORS
            .iter()
            .map(|door| LockSim::start(&programs, &locks, &air, door, &["--motor-ms", "20"]))
            .collect::<Result<_, _>>()
            .unwrap();
        let way = Broker::new(broker.port(), &pki, pki.client(HUB).unwrap());
        let hub = Hub::start(&programs, &made("hub"), HUB, &air, &way).unwrap();
        hub.wait_for_log("broker_up", 0, 20).unwrap();
        let app = Broker::new(broker.port(), &pki, pki.client("app:a1").unwrap());
        let owner = Cli::new(&programs, &made("owner"), HUB, &hub.socket, &app).unwrap();
        owner.run(&["owner", "init"]).unwrap().done("init").unwrap();
        for lock in &locks {
            lock.press_button().unwrap();
            let words = ["owner", "claim", "--name", &lock.name, "--code-file", "-"];
            let said = owner.run_with(&words, &lock.code).unwrap();
            said.done("owner claim").unwrap();
        }
        Self {
            hub,
            locks,
            owner,
            _broker: broker,
            _runtime: runtime,
            _pki: pki,
            folder,
        }
    }

    /// The owner's command line must succeed.
    pub(crate) fn owner_does(&self, words: &[&str]) -> Value {
        let said = self.owner.run(words).unwrap();
        said.done(&words.join(" ")).unwrap().json()
    }

    /// Ends the hub without warning and gives a copy of all its files.
    pub(crate) fn steal_the_hub(&mut self) -> PathBuf {
        self.hub.kill();
        let loot = self.folder.path().join("loot");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(self.hub.config.parent().unwrap())
            .arg(&loot)
            .status();
        assert!(copied.unwrap().success(), "copy the hub's files");
        loot
    }

    /// As if the owner had also granted the hub the right to unlock: puts such a grant, signed by
    /// the owner, into the stolen files.
    pub(crate) fn grant_unlock(&self, loot: &Path) {
        let book = KeyFile::at(&self.owner.owner_key).load().unwrap();
        let files = IdentityDir::open(&loot.join("state/identity")).unwrap();
        for lock in &self.locks {
            let saved = files.load(&lock.id).unwrap().unwrap();
            let mut binding = LockBinding::decode(&saved.payload).unwrap();
            let mut grant = binding.verified_grant().unwrap().grant.clone();
            grant.rights = grant.rights.union(Rights::UNLOCK);
            let mut out = [0; MAX_STATEMENT];
            let signed = grant.sign(&book.keys.identity, &mut out).unwrap();
            binding.set_grant(Some(signed));
            let bytes = binding.encode();
            files.save(&lock.id, bytes.danger_as_bytes()).unwrap();
        }
    }

    /// Files with the text of each lock's code.
    pub(crate) fn codes(&self) -> Vec<PathBuf> {
        let locks = self.folder.path().join("locks");
        DOORS
            .iter()
            .map(|door| locks.join(format!("{door}.code")))
            .collect()
    }

    /// An air without any lock.
    pub(crate) fn silent_air(&self) -> PathBuf {
        let air = self.folder.path().join("silence");
        std::fs::create_dir_all(&air).unwrap();
        air
    }
}

/// Runs `tests/attacker` as anybody would.
pub(crate) fn attack(hub_dir: &Path, more: &[&str]) -> Attack {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../attacker");
    let output = Command::new(script)
        .arg("--hub-dir")
        .arg(hub_dir)
        .arg("--json")
        .args(more)
        .output()
        .unwrap();
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines: Vec<&str> = all.lines().collect();
    let last_line = lines.pop().unwrap_or_default().to_owned();
    let attempts = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}: {errors}")))
        .collect();
    Attack {
        is_defeated: output.status.success(),
        attempts,
        last_line,
        all: format!("{all}{errors}"),
    }
}
