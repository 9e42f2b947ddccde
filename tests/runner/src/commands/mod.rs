//! The requests that `tests/run` understands, one file each.

pub(crate) mod assurance;
mod figures;
mod lanes;
mod list;
mod mutants;
mod one_claim;
mod planted;

use crate::args::Request;
use crate::failure::Failure;
use crate::tally::Tally;

/// Runs a request and sums it up.
///
/// # Errors
/// When the runner itself cannot do it.
pub(crate) fn dispatch(request: &Request) -> Result<Tally, Failure> {
    match request {
        Request::Help => Ok(Tally::default()),
        Request::Lanes { full, lane } => lanes::run(*full, lane.as_deref()),
        Request::List { json } => list::run(*json),
        Request::Id { id, full } => one_claim::run(id, *full),
        Request::Figures { json, full, write } => figures::run(*json, *full, *write),
        Request::Planted { name } => planted::run(name.as_deref()),
        Request::Mutants { file } => mutants::run(file.as_deref()),
        Request::Assurance { write } => assurance::run(*write),
    }
}
