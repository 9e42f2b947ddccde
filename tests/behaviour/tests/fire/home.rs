//! The house under test, and the ways to its broker.

use std::path::Path;
use std::time::{Duration, Instant};

use drawbridge_protocol::command::Command;
use drawbridge_support::foreign::{Listener, Sent, publish};
use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{Identity, Pki};
use drawbridge_support::proxy::{Proxy, Rules};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The hub's id where one is enough; the shipped access list knows it.
pub(crate) const HUB: &str = "h1";

/// A certificate authority in a folder of its own.
pub(crate) struct Ca {
    pub(crate) pki: Pki,
    _folder: TempDir,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::create(folder.path()).unwrap();
        Self {
            pki,
            _folder: folder,
        }
    }
}

/// A hub, its locks and their owner; the owner needs no broker. Fields end in this order.
pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) locks: Vec<LockSim>,
    pub(crate) owner: Cli,
    pub(crate) folder: TempDir,
}

impl House {
    /// A hub called `id` whose broker is at `port`; locks by name, claimed on the spot.
    pub(crate) fn new(ca: &Ca, id: &str, port: u16, locks: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let (air, lock_files) = (made("air"), made("locks"));
        let start = |name: &&str| {
            let more = ["--motor-ms", "100"];
            LockSim::start(Programs::shared(), &lock_files, &air, name, &more).unwrap()
        };
        let locks: Vec<LockSim> = locks.iter().map(start).collect();
        let way = Broker::new(port, &ca.pki, ca.pki.client(id).unwrap());
        let hub = Hub::start(Programs::shared(), &made("hub"), id, &air, &way).unwrap();
        let way = Broker::new(port, &ca.pki, ca.pki.client("app:a1").unwrap());
        let owner = Cli::new(Programs::shared(), &made("owner"), id, &hub.socket, &way).unwrap();
        let house = Self {
            hub,
            locks,
            owner,
            folder,
        };
        if !house.locks.is_empty() {
            house.done(&["owner", "init"]);
        }
        for lock in &house.locks {
            lock.press_button().unwrap();
            let words = [
                "owner",
                "claim",
                "--local",
                "--name",
                &lock.name,
                "--code-file",
                "-",
            ];
            let said = house.owner.run_with(&words, &lock.code).unwrap();
            said.done("owner claim").unwrap();
        }
        house
    }

    /// The first lock.
    pub(crate) fn lock(&self) -> &LockSim {
        &self.locks[0]
    }

    pub(crate) fn motor_starts(&self) -> u64 {
        self.lock().motor_starts().unwrap()
    }

    /// Runs the command line, which must end with 0.
    pub(crate) fn done(&self, words: &[&str]) -> Value {
        let said = self.owner.run(words).unwrap();
        let done = said.done(&words.join(" "));
        done.unwrap_or_else(|error| panic!("{error}; the hub: {}", self.hub.log_tail()))
            .json()
    }

    /// Moves the first lock's bolt by the control socket; proven by the lock, and moved once.
    pub(crate) fn act_locally(&self, action: &str) {
        let before = self.motor_starts();
        let said = self.done(&[action, &self.lock().name, "--local"]);
        assert_eq!(said["proven"], json!(true), "{said}");
        assert_eq!(self.motor_starts(), before + 1, "{said}");
    }

    /// A command for the first lock that the owner signed, as any MQTT client can publish it.
    pub(crate) fn signed(&self, action: &str) -> Vec<u8> {
        let out = self.folder.path().join("command.cose");
        let path = out.display().to_string();
        let name = &self.lock().name;
        self.done(&[
            "owner", "sign", "--local", "--lock", name, "--action", action, "--out", &path,
        ]);
        let command = std::fs::read(&out).unwrap();
        std::fs::remove_file(&out).unwrap();
        command
    }

    /// A topic of the hub.
    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("drawbridge/{}/{rest}", self.hub.id)
    }

    /// Where commands for the first lock go.
    pub(crate) fn command_topic(&self) -> String {
        self.topic(&format!("lock/{}/command", self.lock().id))
    }

    /// How often `event` is in the hub's log from byte `from` of it.
    pub(crate) fn count(&self, event: &str, from: usize) -> usize {
        let log = std::fs::read_to_string(&self.hub.log).unwrap();
        let log = log.get(from..).unwrap_or_default();
        log.lines().filter(|line| line.contains(event)).count()
    }

    /// Waits for a line with `text` in the hub's log; which line, and how long it took.
    pub(crate) fn wait_for(&self, text: &str, from: usize, seconds: u64) -> (String, Duration) {
        let begun = Instant::now();
        let line = self.hub.wait_for_log(text, from, seconds);
        let line = line.unwrap_or_else(|error| panic!("{error}"));
        (line, begun.elapsed())
    }

    /// A field of `/proc/<hub>/status` in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.hub.pid());
        let status = std::fs::read_to_string(Path::new(&path)).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

/// A house at a mosquitto, with the proxy between them; everyone else has a way of their own.
pub(crate) struct Home {
    pub(crate) house: House,
    pub(crate) proxy: Proxy,
    pub(crate) broker: Mosquitto,
    pub(crate) listens: Identity,
    pub(crate) sends: Identity,
    pub(crate) operator: Identity,
    _ca: Ca,
}

impl Home {
    /// With one lock; connected.
    pub(crate) fn new(seed: u64) -> Self {
        let ca = Ca::new();
        let setup = Setup::default()
            .with_app("app:a2", HUB)
            .with_app("app:a3", HUB);
        let broker = Mosquitto::start(&ca.pki, &setup).unwrap();
        let proxy = Proxy::start(broker.port(), seed).unwrap();
        let house = House::new(&ca, HUB, proxy.port(), &["Front"]);
        house.wait_for("broker_up", 0, 30);
        let client = |name: &str| ca.pki.client(name).unwrap();
        let (listens, sends, operator) =
            (client("app:a2"), client("app:a3"), client("operator:o1"));
        Self {
            house,
            proxy,
            broker,
            listens,
            sends,
            operator,
            _ca: ca,
        }
    }

    /// A foreign app that listens to results and answers.
    pub(crate) fn listen(&self) -> Listener {
        let topics = [self.house.topic("lock/+/result"), self.house.topic("res/#")];
        Listener::start(&self.broker, &self.listens, &[&topics[0], &topics[1]]).unwrap()
    }

    /// An operator who hears everything that the hub says.
    pub(crate) fn overhear(&self) -> Listener {
        let topic = self.house.topic("#");
        Listener::start(&self.broker, &self.operator, &[&topic]).unwrap()
    }

    /// A foreign app publishes a command for the first lock.
    pub(crate) fn publish(&self, command: &[u8]) {
        let topic = self.house.command_topic();
        let sent = publish(&self.broker, &self.sends, &topic, command, &[]).unwrap();
        assert_eq!(sent, Sent::Accepted);
    }

    /// The proxy does as a good network does, from now on.
    pub(crate) fn mend(&self) {
        self.proxy.set(Rules::default());
    }
}

/// The id under which results speak of `command`.
pub(crate) fn id_of(command: &[u8]) -> String {
    Command::read(command).unwrap().id.to_string()
}

/// Every final result about the command `id` that `listener` has seen.
pub(crate) fn finals(listener: &Listener, id: &str) -> Vec<Value> {
    let seen = listener.seen();
    let results = seen
        .iter()
        .filter(|seen| seen.topic.ends_with("/result"))
        .map(|seen| serde_json::from_slice::<Value>(&seen.payload).unwrap());
    results
        .filter(|result| result["command"] == json!(id) && is_final(result))
        .collect()
}

/// Whether a result says how a command ended.
pub(crate) fn is_final(result: &Value) -> bool {
    let open = ["accepted", "delivered", "unknown"];
    result["status"]
        .as_str()
        .is_some_and(|status| !open.contains(&status))
}

/// Waits for a final result about `id`.
pub(crate) fn wait_final(listener: &Listener, id: &str, what: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = finals(listener, id).first() {
            return found.clone();
        }
        assert!(
            Instant::now() < deadline,
            "{what}: no final result for {id}: {:?}",
            listener.seen()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
