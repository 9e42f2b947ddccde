//! An attacker who has every file of a paired hub.
//!
//! He speaks the link protocol himself with the stolen keys, to the locks that the hub is paired
//! with and to a new one that is being paired through it. What he tries is what S25 says must not
//! work: act outside the hub's own grant, take ownership at pairing, rewrite or free a lock's log.

mod air;
mod candidate;
mod history;
mod intrude;
mod loot;
mod pairing;
mod peer;
mod replay;
mod report;
mod scene;
mod secrets;
mod unlock;
mod witness;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use loot::Loot;
use report::{Report, not_carried_out};
use scene::Scene;

/// Attacks the locks of a hub with all of the hub's files; every attempt must fail (S25).
///
/// Prints one line per attempt and at last `N passed, N failed`: attempts that the locks defeated,
/// and those that worked or could not be carried out. Exits with 0 only if the latter are none.
/// The bolts of the hub's locks are thrown (that is the hub's right), never drawn.
#[derive(Debug, Parser)]
#[command(name = "attacker", version)]
struct Options {
    /// The hub's files: its state folder, or the folder with drawbridge.toml and state/. They are
    /// copied, not changed; the hub may run or not.
    #[arg(long, value_name = "DIR")]
    hub_dir: PathBuf,

    /// The virtual air of the hub's locks; without it the one in the hub's configuration.
    #[arg(long, value_name = "DIR")]
    air: Option<PathBuf>,

    /// The text of the code on a lock, to see that its secrets are in no file of the hub.
    #[arg(long, value_name = "FILE")]
    qr: Vec<PathBuf>,

    /// Also wait the two minutes that a pairing window takes to end by itself.
    #[arg(long)]
    patient: bool,

    /// One JSON object per attempt.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::new(options.json);
    match Loot::read(&options.hub_dir) {
        Ok(loot) => attack(&options, &loot, &mut report),
        Err(error) => report.attempt("read the hub's files", || {
            Err(not_carried_out(error.to_string()))
        }),
    }
    if report.sum_up() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn attack(options: &Options, loot: &Loot, report: &mut Report) {
    let configured = loot
        .config
        .as_ref()
        .and_then(|config| config.radio.virtual_air.clone());
    match options.air.clone().or(configured) {
        Some(air) => locks(loot, &air, report),
        None => report.attempt("find the locks", || {
            Err(not_carried_out("no air: give --air DIR"))
        }),
    }
    pairing::run(loot, options.patient, report);
    secrets::run(loot, &options.qr, report);
}

/// Every lock that the hub is paired with; a hub without one proves nothing.
fn locks(loot: &Loot, air: &Path, report: &mut Report) {
    let claimed: Vec<_> = loot
        .bindings
        .iter()
        .filter(|binding| binding.is_claimed)
        .collect();
    if claimed.is_empty() {
        report.attempt("find the locks", || {
            Err(not_carried_out("this hub is paired with no lock"))
        });
    }
    for binding in claimed {
        let tag = binding.lock.to_string();
        let mut scene = match Scene::enter(loot, binding, air) {
            Ok(scene) => scene,
            Err(trouble) => {
                report.attempt(&format!("{tag}: join with the hub's keys"), || {
                    Err(trouble.into())
                });
                continue;
            }
        };
        report.attempt(&format!("{tag}: control: the hub may lock"), || {
            scene.control()
        });
        unlock::run(&mut scene, report, &tag);
        replay::run(&mut scene, report, &tag);
        history::run(&mut scene, report, &tag);
        intrude::run(&mut scene, report, &tag);
        report.attempt(
            &format!("{tag}: control: the hub may lock, after all that"),
            || scene.control(),
        );
    }
}
