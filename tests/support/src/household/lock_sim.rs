//! A simulated lock as a process, with its knobs.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{HouseholdError, Programs, wait_for};

/// A running `drawbridge-lock-sim`. Dropping it ends the process; its flash stays.
#[derive(Debug)]
pub struct LockSim {
    child: Child,
    program: PathBuf,
    arguments: Vec<String>,
    control: PathBuf,
    log: PathBuf,
    /// What it is called in this test.
    pub name: String,
    /// The text of its code.
    pub code: String,
    /// Its id, 16 hexadecimal digits.
    pub id: String,
}

impl LockSim {
    /// Starts a lock called `name` in `air`, with its files in `folder`.
    ///
    /// # Errors
    /// [`HouseholdError`].
    pub fn start(
        programs: &Programs,
        folder: &Path,
        air: &Path,
        name: &str,
        more: &[&str],
    ) -> Result<Self, HouseholdError> {
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        let (control, code, log) = (file("control"), file("code"), file("log"));
        let mut arguments: Vec<String> = Vec::new();
        let paths = [
            ("--air", air.to_owned()),
            ("--flash", file("flash")),
            ("--control", control.clone()),
            ("--qr-text", code.clone()),
        ];
        for (option, path) in paths {
            arguments.extend([option.to_owned(), path.display().to_string()]);
        }
        arguments.extend(["--name".to_owned(), name.to_owned()]);
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let program = programs.path("drawbridge-lock-sim");
        let child = spawn(&program, &arguments, &log)?;
        let mut lock = Self {
            child,
            program,
            arguments,
            control,
            log,
            name: name.to_owned(),
            code: String::new(),
            id: String::new(),
        };
        let hello = lock.wait_until_it_answers()?;
        lock.id = hello["lock"].as_str().unwrap_or_default().to_owned();
        lock.code = std::fs::read_to_string(&code)
            .map_err(HouseholdError::io("read the code of a lock", &code))?
            .trim()
            .to_owned();
        Ok(lock)
    }

    fn wait_until_it_answers(&self) -> Result<Value, HouseholdError> {
        wait_for("a simulated lock to answer", 20, &self.log, || {
            self.ask(&json!({"do": "hello"})).ok()
        })
    }

    /// Asks one thing of its control socket.
    ///
    /// # Errors
    /// [`HouseholdError::Answer`] when it says no.
    pub fn ask(&self, request: &Value) -> Result<Value, HouseholdError> {
        let io = || HouseholdError::io("ask a simulated lock", &self.control);
        let mut stream = UnixStream::connect(&self.control).map_err(io())?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(io())?;
        writeln!(stream, "{request}").map_err(io())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).map_err(io())?;
        let answer: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if answer["ok"] == json!(true) {
            Ok(answer)
        } else {
            Err(HouseholdError::Answer {
                what: request.to_string(),
                answer: line,
            })
        }
    }

    /// Presses the button inside: the pairing window opens.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn press_button(&self) -> Result<(), HouseholdError> {
        self.ask(&json!({"do": "button", "held_ms": 200}))
            .map(|_| ())
    }

    /// How often the motor was energised since the process started.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn motor_starts(&self) -> Result<u64, HouseholdError> {
        let status = self.ask(&json!({"do": "status"}))?;
        status["motor_actuations"]
            .as_u64()
            .ok_or_else(|| HouseholdError::Answer {
                what: "status".into(),
                answer: status.to_string(),
            })
    }

    /// Where the bolt is: `LOCKED`, `UNLOCKED`, ...
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn bolt(&self) -> Result<String, HouseholdError> {
        let status = self.ask(&json!({"do": "status"}))?;
        Ok(status["bolt"].as_str().unwrap_or_default().to_uppercase())
    }

    /// Ends the process without warning and starts it anew on the same flash.
    ///
    /// # Errors
    /// [`HouseholdError`].
    pub fn kill_and_start(&mut self) -> Result<(), HouseholdError> {
        self.end();
        self.child = spawn(&self.program, &self.arguments, &self.log)?;
        self.wait_until_it_answers().map(|_| ())
    }

    fn end(&mut self) {
        // A process that is gone already is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for LockSim {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(program: &Path, arguments: &[String], log: &Path) -> Result<Child, HouseholdError> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(HouseholdError::io("open the log of a lock", log))?;
    let errors = output
        .try_clone()
        .map_err(HouseholdError::io("open the log of a lock", log))?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(HouseholdError::io("start a simulated lock", program))
}
