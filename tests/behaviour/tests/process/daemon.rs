//! `drawbridged` started by the test itself, under the conditions of the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use drawbridge_support::household::Programs;

/// How a daemon is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    /// Variables besides those of the test.
    pub(crate) env: Vec<(String, String)>,
    /// A program and its arguments that become the daemon: `prlimit ... --`, `nice ... --`.
    pub(crate) through: Vec<String>,
}

impl Launch {
    pub(crate) fn through(words: &[&str]) -> Self {
        Self {
            through: words.iter().map(|&word| word.to_owned()).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running daemon. Dropping it kills the process; its state stays.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where its own lines begin in the log.
    pub(crate) from: usize,
    pub(crate) started: Instant,
}

impl Daemon {
    /// Starts it on `config`, its log at the end of `log`.
    pub(crate) fn start(config: &Path, log: &Path, launch: &Launch) -> Self {
        let output = File::options().create(true).append(true).open(log).unwrap();
        let from = output.metadata().unwrap().len() as usize;
        let errors = output.try_clone().unwrap();
        let program = Programs::shared().path("drawbridged");
        let mut words = launch.through.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&program);
                command
            }
            None => Command::new(&program),
        };
        let started = Instant::now();
        let child = command
            .arg("--config")
            .arg(config)
            .envs(launch.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap();
        Self {
            child,
            log: log.to_owned(),
            from,
            started,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGKILL: no last word, no flush.
    pub(crate) fn kill(&mut self) {
        // A process that is gone already is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits until it has: unlike a kill, nothing that it saves is left half way.
    pub(crate) fn stop(&mut self, limit: Duration) {
        self.signal(Signal::TERM);
        self.wait_for_end(limit);
    }

    /// Whether it still runs; how it ended if not.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "it runs on: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything that it has said since it was started.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read(&self.log).unwrap();
        String::from_utf8_lossy(log.get(self.from..).unwrap_or_default()).into_owned()
    }

    /// Waits for a line with all of `words`.
    pub(crate) fn wait_for(&mut self, words: &[&str], limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        loop {
            let said = self.said();
            let found = said
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return line.to_owned();
            }
            let ended = self.ended();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no {words:?} (ended: {ended:?}): {said}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it takes commands.
    pub(crate) fn wait_until_ready(&mut self) -> Duration {
        self.wait_for(&["event=ready"], Duration::from_secs(30));
        self.started.elapsed()
    }

    /// One number of `/proc/<pid>/status`, in its own unit.
    pub(crate) fn status_number(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(field));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Processor time that it has used, in clock ticks of 10 ms (proc(5)).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap();
        number(11) + number(12)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
