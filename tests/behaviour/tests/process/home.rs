//! A home whose daemon the test starts itself: broker, one paired lock, owner.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{Identity, Pki};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Launch};
use crate::owner::Owner;

/// The hub's id; the shipped access list knows it.
pub(crate) const HUB: &str = "h1";

/// What the lock is called.
pub(crate) const DOOR: &str = "Front";

/// Fields end in this order.
pub(crate) struct Home {
    /// Wrote the configuration and paired; its process is over.
    pub(crate) hub: Hub,
    pub(crate) lock: LockSim,
    pub(crate) owner: Owner,
    pub(crate) cli: Cli,
    pub(crate) app: Identity,
    pub(crate) broker: Mosquitto,
    pub(crate) pki: Pki,
    pub(crate) folder: tempfile::TempDir,
}

impl Home {
    /// A lock whose bolt takes `motor_ms`, claimed by the code on it; no daemon runs.
    pub(crate) fn paired(motor_ms: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let pki = Pki::create(&made("pki")).unwrap();
        let setup = Setup::default().with_app("app:a2", HUB);
        let broker = Mosquitto::start(&pki, &setup).unwrap();
        let air = made("air");
        let more = ["--motor-ms", motor_ms];
        let lock = LockSim::start(Programs::shared(), &made("locks"), &air, DOOR, &more).unwrap();
        let way = Broker::new(broker.port(), &pki, pki.client(HUB).unwrap());
        let mut hub = Hub::start(Programs::shared(), &made("hub"), HUB, &air, &way).unwrap();
        hub.wait_for_log("broker_up", 0, 30).unwrap();
        let way = Broker::new(broker.port(), &pki, pki.client("app:a1").unwrap());
        let cli = Cli::new(Programs::shared(), &made("owner"), HUB, &hub.socket, &way).unwrap();
        cli.run(&["owner", "init"]).unwrap().done("init").unwrap();
        lock.press_button().unwrap();
        let words = [
            "owner",
            "claim",
            "--name",
            DOOR,
            "--code-file",
            "-",
            "--local",
        ];
        let claimed = cli.run_with(&words, &lock.code).unwrap();
        claimed.done("owner claim").unwrap();
        let owner = Owner::load(&cli.owner_key);
        // SIGTERM, not SIGKILL: what a test does to the files begins with files that are whole.
        hub.stop().unwrap();
        let app = pki.client("app:a2").unwrap();
        Self {
            hub,
            lock,
            owner,
            cli,
            app,
            broker,
            pki,
            folder,
        }
    }

    /// Starts the daemon.
    pub(crate) fn start(&self, launch: &Launch) -> Daemon {
        Daemon::start(&self.hub.config, &self.hub.log, launch)
    }

    /// Starts the daemon and waits until it takes commands.
    pub(crate) fn ready(&self, launch: &Launch) -> Daemon {
        let mut daemon = self.start(launch);
        daemon.wait_until_ready();
        daemon
    }

    pub(crate) fn db(&self) -> PathBuf {
        self.hub.state.join("db")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.hub.state.join("identity")
    }

    /// Power off and on for the lock. It shakes hands ten times in a row and then once a second:
    /// after many restarts of the hub it would turn the next one away for a while.
    pub(crate) fn rest_the_lock(&self) {
        self.lock.ask(&json!({"do": "reboot"})).unwrap();
    }

    /// The motor's starts so far.
    pub(crate) fn starts(&self) -> u64 {
        self.lock.motor_starts().unwrap()
    }

    /// Turns the bolt by the control socket: the command line's own way, signed by the lock at
    /// the end, and the motor ran exactly once.
    pub(crate) fn turn_locally(&self, what: &str) {
        self.turn(&["--local"], what);
    }

    /// The same through the broker.
    pub(crate) fn turn_by_broker(&self, what: &str) {
        self.turn(&[], what);
    }

    fn turn(&self, way: &[&str], what: &str) {
        let before = self.starts();
        let action = match self.lock.bolt().unwrap().as_str() {
            "LOCKED" => "unlock",
            _ => "lock",
        };
        let words = [&[action, DOOR], way].concat();
        let said = self.cli.run(&words).unwrap();
        let log = self.hub.log_tail();
        let said = said
            .done(what)
            .unwrap_or_else(|error| panic!("{what}: {error}; {log}"));
        assert_eq!(said.json()["proven"], json!(true), "{what}: {said:?}");
        assert_eq!(said.json()["status"], json!("done"), "{what}: {said:?}");
        assert_eq!(self.starts(), before + 1, "{what}: {said:?}");
    }
}

/// Why the control socket gave no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nobody listens, or the connection ended.
    Gone,
    /// The daemon said no.
    Refused(Value),
}

/// One request on the control socket, without our client.
pub(crate) fn ask(socket: &Path, verb: &str, data: &Value) -> Result<Value, Unanswered> {
    let gone = |_| Unanswered::Gone;
    let mut stream = UnixStream::connect(socket).map_err(gone)?;
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).map_err(gone)?;
    let line = json!({"id": 1, "verb": verb, "data": data});
    writeln!(stream, "{line}").map_err(gone)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).map_err(gone)?;
        let answer: Value = serde_json::from_str(&line).map_err(|_| Unanswered::Gone)?;
        match answer["status"].as_str() {
            Some("ok") => return Ok(answer["data"].clone()),
            Some("event") => {}
            _ => return Err(Unanswered::Refused(answer["error"].clone())),
        }
    }
}

/// Asks until there is an answer; what is refused or unanswered is asked again.
pub(crate) fn insist(socket: &Path, verb: &str, data: &Value) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ask(socket, verb, data) {
            Ok(answer) => return answer,
            Err(why) => assert!(Instant::now() < deadline, "{verb} {data}: {why:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
