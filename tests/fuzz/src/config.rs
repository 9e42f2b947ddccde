//! The daemon's configuration file.

use std::path::Path;

use drawbridge_daemon::config::Config;
use drawbridge_daemon::error_chain::chain;

/// A configuration is taken or refused with an explanation; the same text always means the same.
///
/// # Panics
/// When that does not hold.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let path = Path::new("/etc/drawbridge/drawbridge.toml");
    match Config::parse(text, path) {
        Ok(config) => {
            assert_eq!(Config::parse(text, path).ok(), Some(config.clone()));
            assert!(config.control_socket().is_absolute());
        }
        Err(error) => assert!(!chain(&error).is_empty()),
    }
}
