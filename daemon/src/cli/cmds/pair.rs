//! `drawbridge pair`: the code scanned on the hub itself.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::args::{CodeArgs, PairArgs};
use crate::cli::carrier::Carrier;
use crate::cli::claiming::{Claiming, answer, check_expected, read_code};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::fault::Fault;
use crate::owner::keys::Kernel;

pub(super) fn run(context: &Context, args: &PairArgs) -> Result<Exit, Fault> {
    context.output.note(
        "you are giving the lock's code to this hub: it is trusted for this moment. A hub that was broken\n      into before could keep the code and take the lock over. 'drawbridge owner claim' on your own\n      machine does not show it the code.",
    );
    claim(context, &args.code, Context::local_carrier, true)
}

/// The same conversation for `pair` and for `owner claim`.
pub(super) fn claim(
    context: &Context,
    args: &CodeArgs,
    connect: impl FnOnce(&Context) -> Result<Box<dyn Carrier>, Fault>,
    hub_saw_code: bool,
) -> Result<Exit, Fault> {
    let usage = |error: &dyn std::error::Error| {
        Fault::from_error(Exit::Usage, "name", error).next("choose another --name")
    };
    crate::owner::lock_record::check_name(&args.name).map_err(|error| usage(&error))?;
    let file = context.key_file();
    // A missing key file is told before the code is asked for, and a bad code before any connection.
    drop(context.book()?);
    let code = read_code(args.code_file.as_deref(), context.output)?;
    check_expected(&code, args.expect.as_deref())?;
    let mut carrier = connect(context)?;
    let made_at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let claiming = Claiming {
        carrier: carrier.as_mut(),
        file: &file,
        output: context.output,
        name: &args.name,
        made_at,
        accept_new_hub_keys: args.accept_new_hub_keys,
    };
    let claimed = claiming.run(&code, &mut Kernel)?;
    let (mut value, text) = answer(&claimed, &args.name, &file);
    value["hub_saw_code"] = hub_saw_code.into();
    context.output.answer(&value, || text);
    Ok(Exit::Done)
}
