//! How long the app's certificate and its CA still last.

use std::time::{Duration, SystemTime};

use super::{Check, Verdict};
use crate::cli::client_config::Broker;
use crate::cli::fault::chain;
use crate::cloud::{CertDates, Trust};

/// Warn from two thirds of a certificate's life (assurance F11).
const LIFE_LEFT: u32 = 3;

pub(super) fn check(broker: Option<&Broker>) -> Vec<Check> {
    let Some(broker) = broker else {
        return vec![Check::new(
            "certificate",
            Verdict::Skip,
            "no broker is configured for this command",
        )];
    };
    match Trust::load(&broker.trust, broker.endpoint.name(), SystemTime::now()) {
        Err(error) => {
            vec![Check::new("certificate", Verdict::Fail, chain(&error)).advise(error.advice())]
        }
        Ok(trust) => {
            let now = SystemTime::now();
            let mut checks = vec![judge("certificate", trust.own(), now)];
            checks.extend(
                trust
                    .anchors()
                    .iter()
                    .map(|anchor| judge("CA", anchor, now)),
            );
            checks
        }
    }
}

fn judge(name: &str, dates: &CertDates, now: SystemTime) -> Check {
    let (begin, end) = (
        dates.not_before.system_time(),
        dates.not_after.system_time(),
    );
    let life = end.duration_since(begin).unwrap_or(Duration::ZERO);
    let left = end.duration_since(now).unwrap_or(Duration::ZERO);
    let days = left.as_secs() / 86_400;
    let detail = format!(
        "'{}' until {} ({days} days left)",
        dates.subject, dates.not_after
    );
    if left.is_zero() {
        Check::new(name, Verdict::Fail, detail)
            .advise("have a new one issued and put it in its place")
    } else if left < life / LIFE_LEFT {
        Check::new(name, Verdict::Warn, detail).advise("have a new one issued soon")
    } else {
        Check::new(name, Verdict::Ok, detail)
    }
}
