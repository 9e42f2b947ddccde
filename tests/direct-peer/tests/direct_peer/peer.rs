//! Runs a check of `peer/` against a lock of this process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::qr::QrCode;
use tempfile::TempDir;

/// A lock, and the port on which it looks for its controller.
pub(crate) struct Peer {
    lock: Running,
    port: u16,
    place: TempDir,
    /// How long an address is on the air, in seconds.
    address_every: u32,
}

impl Peer {
    /// Starts a lock; the check brings the controller.
    pub(crate) fn new(name: &str) -> Self {
        let address_every = if name.starts_with("address_") { 5 } else { 900 };
        let place = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut options = Options::new(&place.path().join("air"), &place.path().join("flash"));
        options.air = None;
        options.hci = Some(format!("tcp:127.0.0.1:{port}").parse().unwrap());
        options.address_every = address_every;
        // Nobody here speaks for a hub, so the links that last are those of a lock that asks nobody who he is.
        options.echo = name.ends_with("_whose_link_lasts_is_no_stranger");
        options.control = Some(place.path().join("control"));
        let lock = Running::start(options).unwrap();
        Self {
            lock,
            port,
            place,
            address_every,
        }
    }

    /// Runs the check of this name; the lock must be alive afterwards.
    pub(crate) fn check(self, name: &str) {
        let code = QrCode::from_text(self.lock.qr_text()).unwrap();
        let keys = code.keys();
        let beacon_key: String = keys.beacon_key.danger_as_bytes().iter().map(hex).collect();
        let output = Command::new(python())
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/direct_peer/peer/main.py"
            ))
            .arg(name)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LOCK_PORT", self.port.to_string())
            .env("LOCK_PASSKEY", keys.passkey.to_string())
            .env("LOCK_BEACON_KEY", beacon_key)
            .env("LOCK_ADDRESS_EVERY", self.address_every.to_string())
            .env("LOCK_CONTROL", self.place.path().join("control"))
            .env("LOCK_BONDS", self.place.path().join("flash.bonds"))
            .output()
            .unwrap_or_else(|error| panic!("start {}: {error}; {HOW}", python().display()));
        assert!(succeeded(&output, name), "{}", text(&output));
        let status = self.lock.control(r#"{"do":"status"}"#).unwrap();
        assert_eq!(status["power"], "on", "{status}");
        assert_eq!(status["motor_actuations"], 0, "{status}");
        self.lock.stop().unwrap();
    }
}

const HOW: &str = "`tests/run` installs Bumble, or set DRAWBRIDGE_BUMBLE to a Python that has it";

/// Only a check that ran to its end says so: an exit code alone could be another program's.
fn succeeded(output: &Output, name: &str) -> bool {
    let said = String::from_utf8_lossy(&output.stdout);
    output.status.success() && said.lines().any(|line| line == format!("PASSED {name}"))
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

/// The Python with Bumble: `DRAWBRIDGE_BUMBLE`, else where `tests/run` puts it.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("DRAWBRIDGE_BUMBLE") {
        return python.into();
    }
    let tools = std::env::var_os("DRAWBRIDGE_TOOLS").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| {
        let cache = cache.unwrap_or_else(|| home.unwrap_or_default().join(".cache"));
        cache.join("drawbridge/tools")
    });
    tools.join("bumble/bin/python")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
