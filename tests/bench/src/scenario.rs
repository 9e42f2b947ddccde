//! One boot of a guest with a script in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::archive::Archive;
use crate::error::BenchError;
use crate::full::{Full, Suite};
use crate::guest::{Guest, here, read, strip};
use crate::house;
use crate::machine::{Clock, Machine, qemu};
use crate::report::{Report, file_line};

/// A script of `tests/bench/guest/`, what it is told, and how long it may take.
#[derive(Debug, Clone)]
pub struct Scenario {
    script: String,
    settings: String,
    guest_limit: Duration,
    host_limit: Duration,
    clock: Clock,
    installed: Option<Suite>,
    programs: Vec<(String, PathBuf)>,
    scripts: Vec<(String, String)>,
    has_python: bool,
}

impl Scenario {
    /// The script `guest/NAME.sh`, with 300 s of the guest's time and 600 s of the host's.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            script: format!("{name}.sh"),
            settings: String::new(),
            guest_limit: Duration::from_secs(300),
            host_limit: Duration::from_secs(600),
            clock: Clock::default(),
            installed: None,
            programs: Vec::new(),
            scripts: Vec::new(),
            has_python: false,
        }
    }

    /// Sets a variable that the script reads.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push_str(&format!("{name}='{value}'\n"));
        self
    }

    /// How long the script may take by the guest's clock, and by the host's.
    #[must_use]
    pub fn within(mut self, guest: Duration, host: Duration) -> Self {
        (self.guest_limit, self.host_limit) = (guest, host);
        self
    }

    /// Which clock the guest lives by.
    #[must_use]
    pub fn on(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// In a full guest of this suite, with the hub installed from its package and run by systemd.
    #[must_use]
    pub fn installed_on(mut self, suite: Suite) -> Self {
        self.installed = Some(suite);
        self
    }

    /// With the program at `path`, which the script calls by `name`.
    #[must_use]
    pub fn with_program(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.programs.push((name.to_owned(), path.into()));
        self
    }

    /// With the file `guest/NAME` at `place`, for the script to use.
    #[must_use]
    pub fn with_script(mut self, name: &str, place: &str) -> Self {
        self.scripts.push((name.to_owned(), place.to_owned()));
        self
    }

    /// In the guest that has Python, bleak and paho besides.
    #[must_use]
    pub fn with_python(mut self) -> Self {
        self.has_python = true;
        self
    }

    /// Boots a guest, lets the script run, and waits until the guest has switched off.
    ///
    /// # Errors
    /// [`BenchError`] when the host could not do its part.
    pub fn run(&self) -> Result<Report, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("make a folder", "/tmp"))?;
        let mut report = Report::default();
        // Holds the guest's place while it runs.
        let (_place, command) = match self.installed {
            None => {
                let guest = if self.has_python {
                    Guest::with_python()?
                } else {
                    Guest::small()?
                };
                let root = folder.path().join("root.cpio");
                guest.write_root(&root, self.files()?)?;
                let command = qemu(&guest.kernel, &root, self.clock, "");
                (guest.place, command)
            }
            Some(suite) => {
                let guest = Full::find(suite)?;
                let command = guest.boot(folder.path(), self.files()?, self.clock)?;
                (guest.place, command)
            }
        };
        let live = std::env::var_os("DRAWBRIDGE_BENCH_LIVE").is_some();
        let in_time = Machine::run(command, self.host_limit, |line| {
            if live && file_line(line).is_none() {
                eprintln!("{line}");
            }
            report.take(line);
        })?;
        report.in_time = in_time;
        if let Some(folder) = std::env::var_os("DRAWBRIDGE_BENCH_FILES") {
            report.keep_files(Path::new(&folder))?;
        }
        Ok(report)
    }

    /// What the guest finds besides its own files.
    pub(crate) fn files(&self) -> Result<Archive, BenchError> {
        let mut archive = Archive::default();
        let script = read(&here().join("guest").join(&self.script))?;
        let script = [self.settings.as_bytes(), &script].concat();
        archive.add("/bench/scenario", 0o644, &script);
        let folder = tempfile::tempdir().map_err(BenchError::io("make a folder", "/tmp"))?;
        for (name, path) in &self.programs {
            let place = folder.path().join(name);
            strip(path, &place)?;
            archive.add(&format!("/bench/bin/{name}"), 0o755, &read(&place)?);
        }
        for (name, place) in &self.scripts {
            archive.add(place, 0o644, &read(&here().join("guest").join(name))?);
        }
        let limit = self.guest_limit.as_secs().to_string();
        archive.add("/bench/limit", 0o644, limit.as_bytes());
        if std::env::var_os("DRAWBRIDGE_BENCH_LOGS").is_some() {
            archive.add("/bench/tell", 0o644, b"");
        }
        house::add(&mut archive)?;
        Ok(archive)
    }
}

/// Boots a guest with the house in it and a shell on this terminal; returns when it is switched off.
///
/// # Errors
/// [`BenchError`] when the host could not do its part.
pub fn shell(script: &str) -> Result<(), BenchError> {
    let guest = Guest::small()?;
    let folder = tempfile::tempdir().map_err(BenchError::io("make a folder", "/tmp"))?;
    let root = folder.path().join("root.cpio");
    let mut files = Scenario::new(script).files()?;
    files.add("/bench/shell", 0o644, b"");
    guest.write_root(&root, files)?;
    let mut command = qemu(&guest.kernel, &root, Clock::Real, "");
    // Ctrl-C goes to the guest; Ctrl-A x ends it.
    command.args(["-serial", "mon:stdio"]);
    command.status().map(|_| ()).map_err(BenchError::io(
        "start QEMU (Debian's qemu-system-x86)",
        "qemu-system-x86_64",
    ))
}
