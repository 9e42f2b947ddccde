//! Runs the binary in a home of its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub(crate) struct Home {
    folder: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn owner_key(&self) -> PathBuf {
        self.path(".config/drawbridge/owner.json")
    }

    pub(crate) fn run(&self, args: &str) -> Ran {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &str, input: &str) -> Ran {
        self.run_into(args, input, Stdio::piped())
    }

    /// With standard output somewhere else: what is written there is not in the answer.
    pub(crate) fn run_into(&self, args: &str, input: &str, out: Stdio) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(args.split_whitespace())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A run that does not read its input has closed it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            exit: output.status.code().expect("ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The one JSON document on standard output.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one document: {self:?}");
        assert!(
            self.out
                .bytes()
                .all(|b| b == b'\n' || (b' '..=b'~').contains(&b)),
            "ASCII: {self:?}"
        );
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Everything that could reach a terminal.
    pub(crate) fn shown(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A standard output that nobody reads any more.
pub(crate) fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// The path as one word of a command line.
pub(crate) fn word(path: &Path) -> &str {
    let text = path.to_str().unwrap();
    assert!(!text.contains(char::is_whitespace));
    text
}
