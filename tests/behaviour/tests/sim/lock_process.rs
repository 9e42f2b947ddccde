//! `drawbridge-lock-sim` as a child process, and its control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program, built once per run of the tests.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().unwrap().parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "drawbridge-lock-sim"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "build the simulator");
        profile.join("drawbridge-lock-sim")
    })
}

/// A folder for a lock: `air/`, `flash`, `control`, `qr`.
pub(crate) fn place() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("db").tempdir().unwrap()
}

pub(crate) fn command(place: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("--air").arg(place.join("air"));
    command.arg("--flash").arg(place.join("flash"));
    command
}

/// Runs it where it must fail, and gives what it said.
pub(crate) fn fails(mut command: Command) -> String {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    assert!(
        status.is_some_and(|status| !status.success()),
        "{status:?}: {said}"
    );
    said
}

pub(crate) struct LockProcess {
    child: Child,
    control: BufReader<UnixStream>,
}

impl LockProcess {
    /// Starts it in `place` and waits until it answers.
    pub(crate) fn start(place: &Path) -> Self {
        Self::with_motor(place, "20")
    }

    /// The same with a bolt that takes `motor_ms` from end to end.
    pub(crate) fn with_motor(place: &Path, motor_ms: &str) -> Self {
        let control = place.join("control");
        let mut child = command(place)
            .arg("--control")
            .arg(&control)
            .arg("--qr-text")
            .arg(place.join("qr"))
            .args(["--motor-ms", motor_ms, "--name", "front"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match UnixStream::connect(&control) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            assert_eq!(child.try_wait().unwrap(), None, "the lock ended");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut lock = Self {
            child,
            control: BufReader::new(stream),
        };
        assert_eq!(lock.ask(r#"{"do":"hello"}"#)["ok"], true);
        lock
    }

    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.ask_bytes(format!("{line}\n").as_bytes())
    }

    pub(crate) fn ask_bytes(&mut self, bytes: &[u8]) -> Value {
        self.control.get_mut().write_all(bytes).unwrap();
        let mut answer = String::new();
        self.control.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn status(&mut self) -> Value {
        self.ask(r#"{"do":"status"}"#)
    }

    /// Its process stands still for so long (SIGSTOP, SIGCONT).
    pub(crate) fn stand_still(&self, time: Duration) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(time);
        kill_process(pid, Signal::CONT).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives whether it ended well and what it had printed.
    pub(crate) fn terminate(mut self) -> (bool, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut printed = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        (self.child.wait().unwrap().success(), printed)
    }
}

impl Drop for LockProcess {
    fn drop(&mut self) {
        // Ended already, in most tests.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
