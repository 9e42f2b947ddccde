//! Logging: the systemd journal when there is one, else standard error; fields either way.
//!
//! A call names its event in a field (`log::warn!(event = "store_reset", cause = c; "...")`); fields reach the journal with the
//! prefix `DB_`, so `journalctl DB_EVENT=store_reset` finds them and none can pose as a field of the
//! journal's own. **No text from outside can begin a new line or a new field.**

use std::io::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use log::kv::{Error, Key, Source, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::JournalLog;

use crate::strict_json::quotable;

/// Longest message or value on standard error, characters.
const LONGEST: usize = 2_000;
/// What `journalctl -t` finds.
const IDENTIFIER: &str = "drawbridged";

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The systemd journal.
    Journal,
    /// Standard error, one line an event.
    Stderr,
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start logging: a logger is installed already")]
pub struct JournalError;

impl JournalError {
    /// Nothing changed.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        false
    }

    /// A second logger is a mistake in the program.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        false
    }
}

/// Starts logging at this level; says where it goes.
///
/// # Errors
/// [`JournalError`] when called twice.
pub fn start(level: LevelFilter) -> Result<Sink, JournalError> {
    // Under a terminal the journal would hide the log from the person who looks; there standard error is right.
    let journal = if systemd_journal_logger::connected_to_journal() {
        JournalLog::empty().ok()
    } else {
        None
    };
    let (logger, sink): (Box<dyn Log>, Sink) = match journal {
        Some(journal) => (
            Box::new(Prefixed(journal.with_syslog_identifier(IDENTIFIER.into()))),
            Sink::Journal,
        ),
        None => (Box::new(Stderr), Sink::Stderr),
    };
    log::set_boxed_logger(logger).map_err(|_| JournalError)?;
    log::set_max_level(level);
    Ok(sink)
}

/// Wall clock in nanoseconds since 1970, for TRACE lines that are compared with those of other
/// programs on the same machine.
pub(crate) fn unix_ns() -> u64 {
    let past = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(past.as_nanos()).unwrap_or(u64::MAX)
}

/// sled logs each page it reads at TRACE, and its values with them (S23); rumqttc its packets. Ours only, then.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("drawbridge") || metadata.level() <= log::Level::Warn
}

/// Adds the prefix before the journal's own field names can be met.
struct Prefixed(JournalLog);

impl Log for Prefixed {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let fields = Fields::of(record, "DB_");
            self.0.log(&record.to_builder().key_values(&fields).build());
        }
    }

    fn flush(&self) {}
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // One write a line, so that lines of several threads do not mix. With standard error gone there is
            // nowhere left to say so.
            drop(io::stderr().write_all(line(record).as_bytes()));
        }
    }

    fn flush(&self) {}
}

fn line(record: &Record<'_>) -> String {
    let mut line = format!("{:<5} {}: ", record.level(), record.target());
    line.push_str(&quotable(&record.args().to_string(), LONGEST));
    for (key, value) in &Fields::of(record, "").0 {
        let value = quotable(value, LONGEST);
        let quoted = value.contains([' ', '"', '=']) || value.is_empty();
        line.push_str(&if quoted {
            format!(" {key}={value:?}")
        } else {
            format!(" {key}={value}")
        });
    }
    line.push('\n');
    line
}

/// A record's fields, with a prefix.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(record: &Record<'_>, prefix: &str) -> Self {
        struct Collect<'p>(Vec<(String, String)>, &'p str);

        impl<'kvs> VisitSource<'kvs> for Collect<'_> {
            fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
                self.0
                    .push((format!("{}{}", self.1, key.as_str()), value.to_string()));
                Ok(())
            }
        }

        let mut collect = Collect(Vec::new(), prefix);
        // Our visitor never fails; what it has collected is kept whatever the source does.
        drop(record.key_values().visit(&mut collect));
        Self(collect.0)
    }
}

impl Source for Fields {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        for (key, value) in &self.0 {
            visitor.visit_pair(Key::from_str(key), Value::from(value.as_str()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(
        fields: &'a [(&'a str, &'a str)],
        args: std::fmt::Arguments<'a>,
        then: impl FnOnce(&Record<'_>),
    ) {
        then(
            &Record::builder()
                .args(args)
                .level(log::Level::Warn)
                .target("drawbridge_daemon::store")
                .key_values(&fields)
                .build(),
        );
    }

    /// tracing's bridge to the journal drops all fields; ours must carry each, under our own prefix.
    #[test]
    fn fields_reach_the_journal_with_our_prefix() {
        record(
            &[("event", "store_reset"), ("MESSAGE", "forged")],
            format_args!("hello"),
            |record| {
                let fields = Fields::of(record, "DB_");
                assert_eq!(fields.0[0], ("DB_event".into(), "store_reset".into()));
                assert_eq!(
                    fields.0[1].0, "DB_MESSAGE",
                    "a field cannot pose as the journal's own"
                );
                let built = record.to_builder().key_values(&fields).build();
                assert_eq!(
                    built
                        .key_values()
                        .get(Key::from_str("DB_event"))
                        .unwrap()
                        .to_string(),
                    "store_reset"
                );
            },
        );
    }

    /// A lock's name with a newline must not write a line of its own (S26).
    #[test]
    fn s26_stderr_keeps_fields_and_stays_on_one_line() {
        record(
            &[
                ("event", "paired"),
                ("name", "door\nERROR x: \u{202e}forged=1"),
            ],
            format_args!("a\nb"),
            |record| {
                let line = line(record);
                assert_eq!(line.matches('\n').count(), 1, "{line:?}");
                assert!(
                    line.starts_with(
                        "WARN  drawbridge_daemon::store: a\\u{a}b event=paired name=\""
                    ),
                    "{line:?}"
                );
                assert!(!line.contains('\u{202e}'));
            },
        );
    }

    #[test]
    fn dependencies_stay_silent_below_warn() {
        let of =
            |target, level| is_wanted(&Metadata::builder().target(target).level(level).build());
        assert!(!of("sled::pagecache", log::Level::Info));
        assert!(of("sled::pagecache", log::Level::Warn));
        assert!(of("drawbridge_daemon::core", log::Level::Trace));
    }
}
