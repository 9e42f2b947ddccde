//! What is told to whoever watches, as text or as JSON lines.

use std::fmt::Display;
use std::time::Instant;

use serde_json::{Map, Value, json};

/// Why a step failed: the whole chain, as text.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// What a step shows beside "ok".
pub(crate) type Shown = Vec<(&'static str, Value)>;

/// Counts and tells steps.
pub(crate) struct Report {
    json: bool,
    passed: u32,
    failed: u32,
}

impl Report {
    pub(crate) const fn new(json: bool) -> Self {
        Self {
            json,
            passed: 0,
            failed: 0,
        }
    }

    /// Runs a step that yields something the next steps need.
    pub(crate) fn run<T>(
        &mut self,
        step: &str,
        what: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Option<T> {
        let started = Instant::now();
        let (value, error) = match work() {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        self.tell(step, what, started, Vec::new(), error);
        value
    }

    /// Runs a step that shows something.
    pub(crate) fn show(
        &mut self,
        step: &str,
        what: &str,
        work: impl FnOnce() -> Result<Shown, Failure>,
    ) {
        let started = Instant::now();
        match work() {
            Ok(shown) => self.tell(step, what, started, shown, None),
            Err(error) => self.tell(step, what, started, Vec::new(), Some(error)),
        }
    }

    fn tell(
        &mut self,
        step: &str,
        what: &str,
        started: Instant,
        shown: Shown,
        error: Option<Failure>,
    ) {
        let milliseconds = started.elapsed().as_millis() as u64;
        let ok = error.is_none();
        *(if ok {
            &mut self.passed
        } else {
            &mut self.failed
        }) += 1;
        let error = error.map(|error| chain(error.as_ref()));
        if self.json {
            let mut line = Map::new();
            line.insert("step".into(), json!(step));
            line.insert("ok".into(), json!(ok));
            line.insert("what".into(), json!(what));
            line.insert("ms".into(), json!(milliseconds));
            line.extend(
                shown
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value)),
            );
            line.extend(error.map(|error| ("error".to_owned(), json!(error))));
            println!("{}", Value::Object(line));
            return;
        }
        let mark = if ok { "ok  " } else { "FAIL" };
        println!("{mark} {what} ({milliseconds} ms)");
        for (name, value) in shown {
            println!("       {name}: {}", plain(&value));
        }
        if let Some(error) = error {
            println!("       {error}");
        }
    }

    /// The last line; whether everything passed.
    pub(crate) fn sum_up(&self) -> bool {
        let (passed, failed) = (self.passed, self.failed);
        if self.json {
            println!(
                "{}",
                json!({"step": "summary", "passed": passed, "failed": failed})
            );
        } else {
            println!("{passed} passed, {failed} failed");
        }
        failed == 0
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A failure with this text.
pub(crate) fn failure(text: impl Display) -> Failure {
    text.to_string().into()
}

/// Fails unless `holds`.
pub(crate) fn require(holds: bool, text: impl Display) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(failure(text)) }
}
