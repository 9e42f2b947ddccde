//! The configuration file: read strictly, explained kindly.
//!
//! [`Config::load`] reads and checks values; [`Config::check_files`] then looks at the files it names, so that `config check` can
//! tell a typo from a missing certificate. **An unknown key is an error that names its line and the nearest key**, never ignored.

mod error;
mod explain;
mod sections;
mod validate;

use std::path::Path;

use serde::Deserialize;

pub use self::error::{ConfigError, Problem};
pub use self::sections::{Broker, Control, Hub, Level, Log, Radio};

/// Largest file taken, bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[hub]`
    pub hub: Hub,
    /// `[broker]`; without it the hub serves its locks locally only.
    pub broker: Option<Broker>,
    /// `[radio]`
    #[serde(default)]
    pub radio: Radio,
    /// `[control]`
    #[serde(default)]
    pub control: Control,
    /// `[log]`
    #[serde(default)]
    pub log: Log,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let about = std::fs::metadata(path).map_err(read)?;
        if !about.is_file() {
            // A pipe without a writer would never end, and /dev/zero neither.
            return Err(read(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "it is no ordinary file",
            )));
        }
        if about.len() > MAX_FILE {
            return Err(read(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                "it is over 256 KiB",
            )));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            read(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                error.utf8_error(),
            ))
        })?;
        Self::parse(&text, path)
    }

    /// Checks text that came from `path`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|error| explain::explain(&error, text, path))?;
        let problems = validate::values(&config, text);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid {
                path: path.to_owned(),
                problems,
            })
        }
    }

    /// Looks at the files and folders that the configuration names.
    #[must_use]
    pub fn check_files(&self) -> Vec<Problem> {
        validate::files(self)
    }
}

#[cfg(test)]
mod tests;
