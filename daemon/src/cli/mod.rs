//! The command line `drawbridge`: one file per noun in `cmds`, one per carrier in `carrier`.
//!
//! | file | what |
//! | --- | --- |
//! | `args` | what can be typed, and the help that teaches it |
//! | `exit`, `fault` | how a run ends, and what it says when it did not work |
//! | `client_config`, `context` | files and flags; what every command is given |
//! | `carrier` | how requests and commands travel: control socket or broker |
//! | `doors` | which lock is meant |
//! | `act`, `claiming`, `history` | the three longer conversations: move a bolt, take ownership, read a log |
//! | `checks` | what `doctor` looks at |
//! | `output`, `plain_text`, `ascii_json`, `render` | what is printed, and what never reaches a terminal |
//!
//! **Text from the network reaches a terminal only through `plain_text`, and JSON only as ASCII.**

mod act;
mod args;
mod ascii_json;
mod carrier;
mod checks;
mod claiming;
mod client_config;
mod cmds;
mod context;
mod doors;
mod exit;
mod fault;
mod history;
mod output;
pub mod plain_text;
mod render;
mod result_message;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::ExitCode;

use clap::Parser;

use self::args::Args;
use self::context::Context;
use self::exit::Exit;
use self::output::Output;

/// Runs one command line and says how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match Args::try_parse_from(&args) {
        Ok(parsed) => run_parsed(parsed).into(),
        Err(error) => {
            let wants_json = args.iter().skip(1).any(|arg| arg == "--json");
            usage(&error, wants_json).into()
        }
    }
}

fn run_parsed(args: Args) -> Exit {
    let output = Output::new(args.global.json);
    let result = Context::new(args.global, output).and_then(|mut context| {
        let done = cmds::run(&mut context, args.command);
        context.output.finish_progress();
        done
    });
    match result {
        Ok(exit) => output.settle(exit),
        Err(fault) => output.fault(&fault),
    }
}

/// Help and version are no errors; everything else typed wrongly is.
fn usage(error: &clap::Error, wants_json: bool) -> Exit {
    if !error.use_stderr() {
        return match error.print() {
            Ok(()) => Exit::Done,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
            Err(_) => Exit::Refused,
        };
    }
    if wants_json {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        let fault = fault::Fault::new(Exit::Usage, "usage", message).next("drawbridge --help");
        return Output::new(true).fault(&fault);
    }
    // Nothing is left to tell it to when standard error is closed.
    drop(error.print());
    Exit::Usage
}
