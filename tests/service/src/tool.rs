//! Debian's own tools, run and listened to. **A missing one fails the test that needs it.**

use std::process::{Command, Stdio};

/// What a tool said.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output of a tool that ended with 0.
    ///
    /// # Panics
    /// With everything it said when it did not.
    #[must_use]
    pub fn done(self) -> String {
        assert!(self.ok, "{}\n{}", self.out, self.err);
        self.out
    }
}

/// Runs it to its end, with nothing to read and English to say.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn run(command: &mut Command) -> Ran {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs what is missing"));
    Ran {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// For tests that act as several users, or install packages.
///
/// # Panics
/// When this is not root: nothing can be shown then.
pub fn need_root() {
    let id = run(Command::new("id").arg("-u")).done();
    assert_eq!(
        id.trim(),
        "0",
        "this test acts as several users: run it as root"
    );
}
