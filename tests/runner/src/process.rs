//! Child processes: every line is kept, none outlives the deadline.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{During, Failure};

/// How long to wait for output once the child itself has ended: a grandchild may hold the pipe.
const DRAIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code 0 and no deadline passed.
    pub(crate) ok: bool,
    /// The deadline passed and the whole process tree was killed.
    pub(crate) timed_out: bool,
    /// Standard output and standard error in the order in which they were written
    /// (standard output only, if they were asked for apart).
    pub(crate) text: String,
    /// Wall-clock time.
    pub(crate) took: Duration,
}

/// Where standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// Into [`Ended::text`] with standard output.
    Merged,
    /// To the sink only, so that [`Ended::text`] is machine-readable.
    Apart,
}

enum Line {
    Text(String),
    SinkOnly(String),
}

/// Runs `command` to its end or to `deadline`, giving each line to `sink` as it comes.
///
/// # Errors
/// When the program cannot be started or waited for.
pub(crate) fn run(
    mut command: Command,
    errors: Errors,
    deadline: Option<Instant>,
    sink: &mut dyn FnMut(&str),
) -> Result<Ended, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = Instant::now();
    let (sender, lines) = mpsc::channel();
    let (reader, writer) = std::io::pipe().during(|| "open a pipe".to_owned())?;
    command.stdin(Stdio::null());
    let mut child = match errors {
        Errors::Merged => {
            let second = writer.try_clone().during(|| "open a pipe".to_owned())?;
            command.stdout(writer).stderr(second);
            let child = command.spawn().during(|| format!("start {program}"))?;
            follow(reader, sender, Line::Text);
            child
        }
        Errors::Apart => {
            command.stdout(Stdio::piped()).stderr(writer);
            let mut child = command.spawn().during(|| format!("start {program}"))?;
            if let Some(output) = child.stdout.take() {
                follow(output, sender.clone(), Line::Text);
            }
            follow(reader, sender, Line::SinkOnly);
            child
        }
    };
    // The command holds the pipe's write ends; without this the readers never see the end.
    drop(command);

    let mut text = String::new();
    let mut timed_out = false;
    let mut ended: Option<(bool, Instant)> = None;
    loop {
        match lines.recv_timeout(POLL) {
            Ok(Line::Text(line)) => {
                sink(&line);
                text.push_str(&line);
                text.push('\n');
            }
            Ok(Line::SinkOnly(line)) => sink(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            let status = child.try_wait().during(|| format!("wait for {program}"))?;
            ended = status.map(|status| (status.success(), Instant::now()));
        }
        if ended.is_some_and(|(_, at)| at.elapsed() > DRAIN) {
            break;
        }
        if !timed_out && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            timed_out = true;
            kill_tree(&mut child);
        }
    }
    let success = match ended {
        Some((success, _)) => success,
        None => child
            .wait()
            .during(|| format!("wait for {program}"))?
            .success(),
    };
    Ok(Ended {
        ok: success && !timed_out,
        timed_out,
        text,
        took: start.elapsed(),
    })
}

fn follow(source: impl Read + Send + 'static, sender: Sender<Line>, wrap: fn(String) -> Line) {
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut bytes = Vec::new();
        while source
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|count| count > 0)
        {
            let line = String::from_utf8_lossy(&bytes);
            if sender
                .send(wrap(line.trim_end_matches(['\n', '\r']).to_owned()))
                .is_err()
            {
                return;
            }
            bytes.clear();
        }
    });
}

/// Kills a child and everything it started, children before they can start more.
fn kill_tree(child: &mut Child) {
    let mut victims = vec![child.id()];
    let mut next = 0;
    while let Some(&parent) = victims.get(next) {
        victims.extend(children_of(parent));
        next += 1;
    }
    let ids = victims.iter().map(u32::to_string);
    // Best effort: what has already ended is reported as an error by `kill`.
    if Command::new("kill")
        .arg("-KILL")
        .args(ids)
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        child.kill().unwrap_or_default();
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| parent_of(*id) == Some(parent))
        .collect()
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses; the fields follow the last.
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    // Guards: cargo's "Running ..." lines come on the other stream than the results they announce;
    // out of order, results would be credited to the wrong test target.
    #[test]
    fn merged_output_keeps_the_order_of_both_streams() {
        let script = "echo one; echo two >&2; echo three; echo four >&2; exit 3";
        let mut seen = Vec::new();
        let ended = run(shell(script), Errors::Merged, None, &mut |line| {
            seen.push(line.to_owned())
        });
        let ended = ended.unwrap();
        assert!(!ended.ok);
        assert_eq!(ended.text, "one\ntwo\nthree\nfour\n");
        assert_eq!(seen, ["one", "two", "three", "four"]);
    }

    // Guards: a warning on standard error that breaks the JSON read from standard output.
    #[test]
    fn errors_apart_stay_out_of_the_text() {
        let ended = run(
            shell("echo json; echo noise >&2"),
            Errors::Apart,
            None,
            &mut |_| (),
        )
        .unwrap();
        assert!(ended.ok);
        assert_eq!(ended.text, "json\n");
    }

    // Guards: a hung test that blocks the lane for ever, and one that leaves its children behind.
    #[test]
    fn deadline_kills_the_whole_tree() {
        let start = Instant::now();
        let deadline = start + Duration::from_millis(300);
        let script = "sh -c 'sleep 60; echo late' & echo $!; wait";
        let ended = run(shell(script), Errors::Merged, Some(deadline), &mut |_| ()).unwrap();
        assert!(ended.timed_out && !ended.ok);
        assert!(start.elapsed() < Duration::from_secs(30));
        let grandchild: u32 = ended.text.trim().parse().unwrap();
        assert_ne!(parent_of(grandchild), Some(std::process::id()));
        let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.trim().chars().next());
        assert!(
            matches!(state, None | Some(Some('Z' | 'X'))),
            "still runs: {stat}"
        );
    }
}
