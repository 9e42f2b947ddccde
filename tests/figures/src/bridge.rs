//! The Python bridge that our latency is shown beside.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use drawbridge_support::pki::{Identity, Pki};

use crate::Failure;

const SCRIPT: &str = include_str!("../bridge.py");
/// The MQTT library that the field's bridges use.
const PAHO: &str = "paho-mqtt==2.1.0";

/// A running bridge. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Bridge(Child);

impl Bridge {
    /// Starts it and waits until it has subscribed.
    ///
    /// # Errors
    /// No Python, no package, no connection: the comparison is then left out.
    pub(crate) fn start(
        folder: &Path,
        pki: &Pki,
        identity: &Identity,
        port: u16,
        names: (&str, &str),
        air: &Path,
    ) -> Result<Self, Failure> {
        let python = python()?;
        let script = folder.join("bridge.py");
        std::fs::write(&script, SCRIPT)?;
        let mut child = Command::new(python)
            .arg(&script)
            .arg(port.to_string())
            .args([pki.ca_file(), &identity.cert, &identity.key])
            .args([names.0, names.1])
            .arg(air)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take();
        let bridge = Self(child);
        let mut line = String::new();
        BufReader::new(said.ok_or("no output")?).read_line(&mut line)?;
        if line.trim() == "ready" {
            Ok(bridge)
        } else {
            Err("the Python bridge did not come up".into())
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Ended already is what was wanted.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// A Python with paho in a folder of its own under the target folder.
fn python() -> Result<PathBuf, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .ok_or("no workspace")?;
    let venv = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("figures-venv");
    let python = venv.join("bin/python");
    let has_paho = |python: &Path| {
        let tried = Command::new(python)
            .args(["-c", "import paho.mqtt.client"])
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|ended| ended.success())
    };
    if !has_paho(&python) {
        ran(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        ran(Command::new(&python).args(["-m", "pip", "install", "--quiet", PAHO]))?;
    }
    Ok(python)
}

fn ran(command: &mut Command) -> Result<(), Failure> {
    let ended = command.stdout(Stdio::null()).status()?;
    if ended.success() {
        Ok(())
    } else {
        Err(format!("{command:?} failed").into())
    }
}
