//! Standard output, standard error, and the line of progress between them.

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

    /// The answer: `value` for programs, `text` for people. One document, or one line of a stream.
    pub(super) fn answer(self, value: &Value, text: impl FnOnce() -> String) {
        let text = if self.json {
            ascii_json::line(value)
        } else {
            text()
        };
        self.finish_progress();
        if !text.is_empty() {
            put(&mut io::stdout().lock(), &text);
        }
    }

    /// Something people should know besides the answer; programs find it in the answer.
    pub(super) fn note(self, text: &str) {
        if !self.json {
            let line = format!("note: {text}");
            PROGRESS.with_borrow(|bar| match bar {
                Some(bar) => bar.suspend(|| put(&mut io::stderr().lock(), &line)),
                None => put(&mut io::stderr().lock(), &line),
            });
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
        if self.json {
            let value = json!({
                "error": {"code": fault.code, "message": fault.message, "next": fault.next},
                "exit": fault.exit.code(),
            });
            put(&mut io::stdout().lock(), &ascii_json::line(&value));
        } else {
            put(&mut io::stderr().lock(), &fault.text());
        }
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

/// Writes a line. A reader that is gone (`| head`) ends the run without a word, as it does elsewhere.
fn put(to: &mut impl Write, text: &str) {
    if let Err(error) = writeln!(to, "{text}").and_then(|()| to.flush()) {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        std::process::exit(if quiet {
            0
        } else {
            i32::from(Exit::Refused.code())
        });
    }
}
