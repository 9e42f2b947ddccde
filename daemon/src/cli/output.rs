//! Standard output, standard error, and the line of progress between them.
//!
//! A reader that is gone (`| head`) hears no more, without a word. **It never changes how the run
//! ends**: what a lock did, or did not, is as true when nobody reads it.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::ascii_json;
use super::exit::Exit;
use super::fault::Fault;

thread_local! {
    /// One process, one terminal, one line of progress.
    static PROGRESS: RefCell<Option<ProgressBar>> = const { RefCell::new(None) };
    /// Why an answer was not written, the first time.
    static UNWRITTEN: RefCell<Option<io::Error>> = const { RefCell::new(None) };
}

/// Where answers go, and in what form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
    colour: bool,
    progress: bool,
}

impl Output {
    /// For people, or with `json` for programs. Colour only on a terminal and without `NO_COLOR`
    /// (no-color.org); progress only on a terminal.
    pub(super) fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: !json && !no_colour && io::stdout().is_terminal(),
            progress: !json && io::stderr().is_terminal(),
        }
    }

    /// Whether programs read it.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// The answer: `value` for programs, `text` for people. One document.
    pub(super) fn answer(self, value: &Value, text: impl FnOnce() -> String) {
        if let Err(error) = self.show(value, text) {
            self.missed(error);
        }
    }

    /// An answer was not written; [`Output::settle`] decides what that means.
    pub(super) fn missed(self, error: io::Error) {
        UNWRITTEN.with_borrow_mut(|first| {
            first.get_or_insert(error);
        });
    }

    /// The same, or one line of a stream, for whoever goes on only when it is written and flushed.
    pub(super) fn show(self, value: &Value, text: impl FnOnce() -> String) -> io::Result<()> {
        let text = if self.json {
            ascii_json::line(value)
        } else {
            text()
        };
        self.finish_progress();
        if text.is_empty() {
            return Ok(());
        }
        put(&mut io::stdout().lock(), &text)
    }

    /// How a run ends that would end with `exit`, when its answer could not be written: a success
    /// that nobody was told of is none that a script can rely on.
    pub(super) fn settle(self, exit: Exit) -> Exit {
        match UNWRITTEN.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let fault = unwritten(Exit::Unknown, &error);
                // Nothing is left to tell it to when standard error is closed, too.
                drop(put(&mut io::stderr().lock(), &fault.text()));
                if exit == Exit::Done {
                    Exit::Unknown
                } else {
                    exit
                }
            }
            _ => exit,
        }
    }

    /// Something people should know besides the answer; programs find it in the answer.
    pub(super) fn note(self, text: &str) {
        if !self.json {
            let line = format!("note: {text}");
            let told = PROGRESS.with_borrow(|bar| match bar {
                Some(bar) => bar.suspend(|| put(&mut io::stderr().lock(), &line)),
                None => put(&mut io::stderr().lock(), &line),
            });
            // Whoever closed standard error wants no notes.
            drop(told);
        }
    }

    /// What is being waited for, on a terminal only.
    pub(super) fn progress(self, text: &str) {
        if !self.progress {
            return;
        }
        PROGRESS.with_borrow_mut(|bar| {
            let bar = bar.get_or_insert_with(|| {
                let bar = ProgressBar::new_spinner();
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                    bar.set_style(style);
                }
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_message(text.to_owned());
        });
    }

    /// Takes the line of progress away.
    pub(super) fn finish_progress(self) {
        PROGRESS.with_borrow_mut(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }

    /// Says what went wrong; returns how the run ends.
    pub(super) fn fault(self, fault: &Fault) -> Exit {
        self.finish_progress();
        let told = if self.json {
            let value = json!({
                "error": {"code": fault.code, "message": fault.message, "next": fault.next},
                "exit": fault.exit.code(),
            });
            put(&mut io::stdout().lock(), &ascii_json::line(&value))
        } else {
            put(&mut io::stderr().lock(), &fault.text())
        };
        // The exit code says it, too.
        drop(told);
        fault.exit
    }

    /// The text in a colour of the terminal, if it has any: 31 red, 32 green, 33 yellow, 1 bold.
    pub(super) fn paint(self, code: u8, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// What a failure to write an answer comes to.
pub(super) fn unwritten(exit: Exit, error: &io::Error) -> Fault {
    Fault::from_error(exit, "unwritten", error)
        .during("write the answer")
        .next("make room where standard output goes, look at what is, and repeat what is not")
}

/// Writes a line.
fn put(to: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(to, "{text}").and_then(|()| to.flush())
}
