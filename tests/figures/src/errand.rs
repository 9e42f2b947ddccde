//! What runs inside the guest: signed commands through the broker to a lock, and what came of them when.
//!
//! All times are of the guest's clock. The lock says on its terminal when its motor starts; that line comes with the
//! time in front of it, in whole milliseconds, and is taken as that of the next one.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use drawbridge_daemon::cloud::TrustPaths;
use drawbridge_daemon::cloud::app::AppLink;
use serde_json::{Value, json};

use crate::Failure;
use crate::air_tap::unix_ns;
use crate::app;

/// The hub's id in the guest.
pub(crate) const HUB: &str = "h1";
/// The broker's port in the guest.
pub(crate) const PORT: u16 = 8883;
/// Errands before the first one that counts.
const WARM_UP: usize = 3;
/// Between two errands, at least, and at most as much more.
const REST: Duration = Duration::from_millis(250);
/// For a change of the link to be told.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the lock's terminal.
const TERMINAL: Duration = Duration::from_secs(5);

/// One kind of errand, many times.
#[derive(Debug, Args)]
pub(crate) struct Errand {
    /// What is done.
    kind: Kind,
    /// How often.
    count: usize,
    /// What the lock is called.
    #[arg(long)]
    name: String,
    /// The lock's id.
    #[arg(long)]
    id: String,
    /// The lock's knobs.
    #[arg(long)]
    control: PathBuf,
    /// What the lock says on its terminal, each line with its time.
    #[arg(long)]
    terminal: PathBuf,
    /// Certificate, key and CA are a3.pem, a3.key and ca.pem here.
    #[arg(long)]
    house: PathBuf,
    /// Before the names of the values.
    #[arg(long, default_value = "")]
    label: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A command over a link that is up.
    Warm,
    /// A command as soon as the hub has told that the link is down.
    Cold,
    /// No command: the link is lost, and is there again.
    Loss,
}

/// Times of all errands, in µs.
#[derive(Default)]
struct Times {
    motor: Vec<u64>,
    done: Vec<u64>,
    back: Vec<u64>,
}

impl Errand {
    /// Runs all and prints their times as the guest's values.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let times = runtime.block_on(self.all())?;
        for (name, times) in [
            ("motor", times.motor),
            ("done", times.done),
            ("back", times.back),
        ] {
            if !times.is_empty() {
                let words: Vec<String> = times.iter().map(u64::to_string).collect();
                println!("VALUE {}{name}_us {}", self.label, words.join(" "));
            }
        }
        Ok(())
    }

    async fn all(&self) -> Result<Times, Failure> {
        let trust = TrustPaths {
            ca: self.house.join("ca.pem"),
            cert: self.house.join("a3.pem"),
            key: self.house.join("a3.key"),
            crl: None,
        };
        let mut link = app::link(PORT, trust, "/run".into()).await?;
        for what in ["result", "link"] {
            link.subscribe(&format!("drawbridge/{HUB}/lock/{}/{what}", self.id))
                .await?;
        }
        let mut times = Times::default();
        for turn in 0..WARM_UP + self.count {
            let mut one = Times::default();
            match self.kind {
                Kind::Loss => self.lose(&mut link, &mut one).await?,
                _ => self.command(&mut link, turn, &mut one).await?,
            }
            if turn >= WARM_UP {
                times.motor.extend(one.motor);
                times.done.extend(one.done);
                times.back.extend(one.back);
            }
            // Adverts and windows of listening come at intervals: no errand is to begin always at the same point of them.
            let more = REST.as_nanos() as u64;
            tokio::time::sleep(REST + Duration::from_nanos(unix_ns() * 7 % more)).await;
        }
        Ok(times)
    }

    async fn command(
        &self,
        link: &mut AppLink,
        turn: usize,
        times: &mut Times,
    ) -> Result<(), Failure> {
        let action = if turn.is_multiple_of(2) {
            "unlock"
        } else {
            "lock"
        };
        let command = sign(&self.name, action)?;
        if self.kind == Kind::Cold {
            self.ask(&json!({"do": "link_loss"}))?;
            until_link(link, "down").await?;
        }
        let runs = self.motor_runs()?;
        let sent = unix_ns();
        app::publish(link, HUB, &self.id, &command).await?;
        app::until_done(link, &command).await?;
        let done = unix_ns();
        let motor = self.motor_started(runs + 1)?;
        times.motor.push(micros(sent, motor));
        times.done.push(micros(sent, done));
        Ok(())
    }

    async fn lose(&self, link: &mut AppLink, times: &mut Times) -> Result<(), Failure> {
        let lost = unix_ns();
        self.ask(&json!({"do": "link_loss"}))?;
        until_link(link, "down").await?;
        until_link(link, "up").await?;
        times.back.push(micros(lost, unix_ns()));
        Ok(())
    }

    fn ask(&self, request: &Value) -> Result<Value, Failure> {
        let mut stream = UnixStream::connect(&self.control)?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)?;
        if answer["ok"] == json!(true) {
            Ok(answer)
        } else {
            Err(format!("{request}: {line}").into())
        }
    }

    fn motor_runs(&self) -> Result<u64, Failure> {
        let status = self.ask(&json!({"do": "status"}))?;
        let runs = status["motor_actuations"].as_u64();
        Ok(runs.ok_or("the lock does not tell of its motor")?)
    }

    /// When the lock said that its motor runs for this time, ns since 1970.
    fn motor_started(&self, run: u64) -> Result<u64, Failure> {
        let deadline = std::time::Instant::now() + TERMINAL;
        loop {
            let said = std::fs::read_to_string(&self.terminal)?;
            if let Some(ms) = motor_time(&said, run) {
                return Ok((ms + 1) * 1_000_000);
            }
            if std::time::Instant::now() > deadline {
                return Err(format!("run {run} of the motor was not told").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A command for the lock called `name`, signed by the owner of this guest.
pub(crate) fn sign(name: &str, action: &str) -> Result<Vec<u8>, Failure> {
    let out = Path::new("/run/errand.cose");
    let path = out.display().to_string();
    if out.exists() {
        std::fs::remove_file(out)?;
    }
    let signed = Command::new("drawbridge")
        .args(["owner", "sign", "--lock", name, "--action", action])
        .args(["--ttl", "60", "--out", &path, "--local"])
        .output()?;
    if !signed.status.success() {
        return Err(String::from_utf8_lossy(&signed.stderr).into());
    }
    Ok(std::fs::read(out)?)
}

/// Waits until the hub says that the link is in this state.
async fn until_link(link: &mut AppLink, state: &str) -> Result<(), Failure> {
    loop {
        let message = link.next(PATIENCE).await?;
        let message = message.ok_or_else(|| format!("the link was never {state}"))?;
        if message.topic.ends_with("/link") && !message.retain {
            let told: Value = serde_json::from_slice(&message.payload)?;
            if told["state"] == json!(state) {
                return Ok(());
            }
        }
    }
}

/// The time, in ms since 1970, of the first line that tells of the motor's run of this number.
fn motor_time(said: &str, run: u64) -> Option<u64> {
    let mark = format!("motor runs: {run}");
    let is_it = |line: &&str| {
        let rest = line.split_once(&mark).map(|(_, rest)| rest);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
    };
    let line = said.lines().find(is_it)?;
    line.split(' ').next()?.parse().ok()
}

fn micros(from: u64, to: u64) -> u64 {
    to.saturating_sub(from) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: the bolt's arrival, or run 12 when run 1 is asked for, taken for the motor's start.
    #[test]
    fn p03_motor_starts_with_the_first_line_of_its_run() {
        let said = "100 Front: bolt LOCKED   motor runs: 0\n120 Front: bolt UNKNOWN  motor runs: 12\n\
                    170 Front: bolt UNLOCKED motor runs: 12, door OPEN\n180 Front: bolt UNKNOWN  motor runs: 13\n";
        assert_eq!(motor_time(said, 12), Some(120));
        assert_eq!(motor_time(said, 1), None);
        assert_eq!(motor_time(said, 13), Some(180));
    }
}
