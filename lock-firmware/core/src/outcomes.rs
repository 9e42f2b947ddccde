//! How the reason in an outcome record reads as a verdict.

use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;

use crate::intents::Ending;

/// The ending of a command whose intent was written and whose outcome record gives `reason`.
pub(crate) const fn ending_of(reason: Reason) -> Ending {
    let verdict = match reason {
        Reason::None => Verdict::Done,
        _ => Verdict::Failed,
    };
    Ending { verdict, reason }
}
