//! One file per noun.

mod doctor;
mod follow;
mod lock;
mod owner;
mod pair;
mod state;
mod status;
mod turn;

use drawbridge_protocol::command::Action;

use super::args::{Command, LockArgs};
use super::carrier::Stream;
use super::context::Context;
use super::exit::Exit;
use super::fault::Fault;

/// Runs a command.
pub(super) fn run(context: &mut Context, command: Command) -> Result<Exit, Fault> {
    match command {
        Command::Status => status::run(context),
        Command::Lock(LockArgs {
            verb: Some(verb), ..
        }) => lock::run(context, verb),
        Command::Lock(LockArgs { verb: None, act }) => turn::run(context, Action::Lock, &act),
        Command::Unlock(act) => turn::run(context, Action::Unlock, &act),
        Command::State(door) => state::run(context, &door),
        Command::Pair(args) => pair::run(context, &args),
        Command::Events(args) => follow::run(context, Stream::Events, &args),
        Command::Watch(args) => follow::run(context, Stream::Watch, &args),
        Command::Doctor(args) => doctor::run(context, &args),
        Command::Owner(command) => owner::run(context, command),
    }
}
