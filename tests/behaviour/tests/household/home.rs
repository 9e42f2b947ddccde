//! The household under test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use drawbridge_protocol::command::Command;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::qr::QrCode;
use drawbridge_support::air_proxy::AirProxy;
use drawbridge_support::foreign::{Listener, Seen, Sent, publish};
use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs, Said};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{Identity, Pki};
use serde_json::{Value, json};

/// The hub's id; the shipped access list knows it.
pub(crate) const HUB: &str = "h1";

/// The folder of the air that the hub hears.
pub(crate) const NEAR: &str = "air";

/// The folder of the air that only a relay hears.
pub(crate) const FAR: &str = "far";

/// The relay's address.
pub(crate) const RELAY: &str = "00000000000000aa";

/// A motor's travel, in milliseconds, where it does not matter.
pub(crate) const QUICK: &str = "150";

/// Broker, locks, hub, owner, and two certificates of a foreign app: the shipped broker ties one
/// connection to one certificate. Fields end in this order.
pub(crate) struct Home {
    pub(crate) hub: Hub,
    pub(crate) locks: Vec<LockSim>,
    pub(crate) owner: Cli,
    pub(crate) listens: Identity,
    pub(crate) sends: Identity,
    pub(crate) operator: Identity,
    pub(crate) broker: Mosquitto,
    pub(crate) pki: Pki,
    pub(crate) folder: tempfile::TempDir,
}

impl Home {
    /// Locks by name and motor time, none paired.
    pub(crate) fn new(locks: &[(&str, &str)]) -> Self {
        Self::on_air(locks, NEAR)
    }

    /// One lock that the hub cannot hear by itself: it is in the folder [`FAR`] of the air, the
    /// hub hears [`NEAR`], and a relay stands between them.
    pub(crate) fn behind_relay(motor_ms: &str) -> (AirProxy, Self) {
        let home = Self::on_air(&[("Front", motor_ms)], FAR);
        (home.relay(), home)
    }

    /// A relay to the lock in the folder [`FAR`].
    pub(crate) fn relay(&self) -> AirProxy {
        let place = |name: &str| self.folder.path().join(name);
        AirProxy::start(&place(NEAR), RELAY, &place(FAR)).unwrap()
    }

    fn on_air(locks: &[(&str, &str)], locks_are: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let pki = Pki::create(&made("pki")).unwrap();
        let setup = Setup::default()
            .with_app("app:a2", HUB)
            .with_app("app:a3", HUB);
        let broker = Mosquitto::start(&pki, &setup).unwrap();
        let (air, locks_air, lock_files) = (made(NEAR), made(locks_are), made("locks"));
        let start = |(name, motor): &(&str, &str)| {
            LockSim::start(
                Programs::shared(),
                &lock_files,
                &locks_air,
                name,
                &["--motor-ms", motor],
            )
            .unwrap()
        };
        let locks = locks.iter().map(start).collect();
        let way = Broker::new(broker.port(), &pki, pki.client(HUB).unwrap());
        let hub = Hub::start(Programs::shared(), &made("hub"), HUB, &air, &way).unwrap();
        let way = Broker::new(broker.port(), &pki, pki.client("app:a1").unwrap());
        // Before that nobody listens to what is sent to the hub.
        hub.wait_for_log("broker_up", 0, 30).unwrap();
        let owner = Cli::new(Programs::shared(), &made("owner"), HUB, &hub.socket, &way).unwrap();
        owner.run(&["owner", "init"]).unwrap().done("init").unwrap();
        let client = |name: &str| pki.client(name).unwrap();
        let (listens, sends, operator) =
            (client("app:a2"), client("app:a3"), client("operator:o1"));
        Self {
            hub,
            locks,
            owner,
            listens,
            sends,
            operator,
            broker,
            pki,
            folder,
        }
    }

    /// The same, every lock claimed over MQTT by the code on it.
    pub(crate) fn paired(locks: &[(&str, &str)]) -> Self {
        let home = Self::new(locks);
        for lock in &home.locks {
            lock.press_button().unwrap();
            home.claim(&lock.name, &lock.code)
                .done("owner claim")
                .unwrap();
        }
        home
    }

    pub(crate) fn claim(&self, name: &str, code: &str) -> Said {
        let words = ["owner", "claim", "--name", name, "--code-file", "-"];
        self.owner.run_with(&words, code).unwrap()
    }

    pub(crate) fn lock(&self, name: &str) -> &LockSim {
        self.locks.iter().find(|lock| lock.name == name).unwrap()
    }

    /// Runs the command line, which must end with 0.
    pub(crate) fn done(&self, words: &[&str]) -> Value {
        let said = self.owner.run(words).unwrap();
        let done = said.done(&words.join(" "));
        done.unwrap_or_else(|error| panic!("{error}; the hub: {}", self.hub.log_tail()))
            .json()
    }

    /// A command that the owner signed into a file, as any MQTT client can publish it.
    pub(crate) fn signed(&self, door: &str, action: &str) -> Vec<u8> {
        let out = self.folder.path().join("command.cose");
        let path = out.display().to_string();
        self.done(&[
            "owner", "sign", "--lock", door, "--action", action, "--out", &path,
        ]);
        let command = std::fs::read(&out).unwrap();
        std::fs::remove_file(&out).unwrap();
        command
    }

    /// A topic of the hub.
    pub(crate) fn topic(&self, rest: &str) -> String {
        format!("drawbridge/{HUB}/{rest}")
    }

    /// A foreign app that listens to results and answers.
    pub(crate) fn listen(&self) -> Listener {
        let topics = [self.topic("lock/+/result"), self.topic("res/#")];
        Listener::start(&self.broker, &self.listens, &[&topics[0], &topics[1]]).unwrap()
    }

    /// A foreign app publishes `command` to the lock `id`.
    pub(crate) fn publish(&self, id: &str, command: &[u8], more: &[&str]) {
        let topic = self.topic(&format!("lock/{id}/command"));
        let sent = publish(&self.broker, &self.sends, &topic, command, more).unwrap();
        assert_eq!(sent, Sent::Accepted);
    }

    /// Waits until the hub is connected, counted from byte `from` of its log.
    pub(crate) fn wait_for_broker(&self, from: usize) {
        self.hub.wait_for_log("broker_up", from, 30).unwrap();
    }

    /// Rewrites one text of the hub's configuration and starts it anew on it, as [`Hub::start_again`].
    pub(crate) fn reconfigure(&mut self, changes: &[(String, String)]) -> usize {
        let mut text = std::fs::read_to_string(&self.hub.config).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from.as_str()), "no {from} in {text}");
            text = text.replace(from.as_str(), to);
        }
        std::fs::write(&self.hub.config, text).unwrap();
        self.hub.start_again().unwrap()
    }

    /// Most memory that the hub ever had resident (`VmHWM`), KiB.
    pub(crate) fn hub_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.hub.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

/// One request on the control socket, without our client: the first line that comes back.
pub(crate) fn raw_request(socket: &Path, line: &[u8]) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    // A daemon that hangs up on a line that is too long does so in the middle of it.
    let _ = stream
        .write_all(line)
        .and_then(|()| stream.write_all(b"\n"));
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).ok()?;
    serde_json::from_str(&answer).ok()
}

/// The id under which results speak of `command`.
pub(crate) fn id_of(command: &[u8]) -> String {
    Command::read(command).unwrap().id.to_string()
}

/// Whether a result says how a command ended.
pub(crate) fn is_final(result: &Value) -> bool {
    let open = ["accepted", "delivered", "unknown"];
    result["status"]
        .as_str()
        .is_some_and(|status| !open.contains(&status))
}

/// A message's payload as a result.
pub(crate) fn result_of(seen: &Seen) -> Value {
    assert!(seen.topic.contains("/result"), "{seen:?}");
    serde_json::from_slice(&seen.payload).unwrap()
}

/// Every final result about the command `id` that `listener` has seen.
pub(crate) fn finals(listener: &Listener, id: &str) -> Vec<Value> {
    let seen = listener.seen();
    let results = seen
        .iter()
        .filter(|seen| seen.topic.ends_with("/result"))
        .map(result_of);
    results
        .filter(|result| result["command"] == json!(id) && is_final(result))
        .collect()
}

/// Waits for the `count`th final result about `id`.
pub(crate) fn wait_final(listener: &Listener, id: &str, count: usize) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let all = finals(listener, id);
        if let Some(found) = all.get(count - 1) {
            return found.clone();
        }
        assert!(
            Instant::now() < deadline,
            "no final result {count} for {id}: {:?}",
            listener.seen()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The lock's own word in a result, verified under the identity key of its code.
pub(crate) fn proven(lock: &LockSim, result: &Value) -> Outcome {
    let code = QrCode::from_text(&lock.code).unwrap();
    let report = result["report"].as_str();
    let report = report.unwrap_or_else(|| panic!("no report in {result}"));
    Outcome::verify(&base64(report), &code.identity).unwrap()
}

/// Reads base64.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    use base64ct::Encoding as _;
    base64ct::Base64::decode_vec(text).unwrap()
}

/// A foreign app with a persistent session: it subscribes, goes away, and finds what came
/// meanwhile when it is back.
pub(crate) struct Mailbox {
    topic: String,
    who: Identity,
}

impl Mailbox {
    pub(crate) fn open(home: &Home, topic: String) -> Self {
        let mailbox = Self {
            topic,
            who: home.listens.clone(),
        };
        let mut command = mailbox.command(&home.broker);
        let output = command.arg("-E").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        mailbox
    }

    fn command(&self, broker: &Mosquitto) -> std::process::Command {
        let mut command = broker.client("mosquitto_sub", &self.who).unwrap();
        // The broker takes the certificate's name for it; mosquitto_sub wants to be told all the same.
        command.args([
            "-i",
            &self.who.name,
            "-c",
            "-x",
            "3600",
            "-q",
            "1",
            "-t",
            &self.topic,
        ]);
        command.args(["-F", "%p", "-W", "40"]);
        command
    }

    /// Comes back and reads until `wanted` is there; everything that was read.
    pub(crate) fn read_until(
        &self,
        broker: &Mosquitto,
        wanted: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let mut child = self.command(broker).stderr(Stdio::null()).spawn().unwrap();
        let mut all: Vec<Value> = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            all.push(serde_json::from_str(&line.unwrap()).unwrap());
            if all.last().is_some_and(&wanted) {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all.last().is_some_and(&wanted), "it never came: {all:?}");
        all
    }
}

/// Every file below `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.extend(files(&entry.path()));
        } else if kind.is_file() {
            all.push(entry.path());
        }
    }
    all
}
