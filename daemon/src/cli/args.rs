//! What can be typed, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

const ROOT_HELP: &str = "\
First steps
  drawbridge status                               is the hub well?
  drawbridge owner init                           make your keys, once
  drawbridge owner claim --name Front             scan a lock's code and own it
  drawbridge unlock Front                         sign and send; waits for the lock's own answer
  drawbridge doctor                               what is wrong, and what to do about it

How it travels
  Through the broker of ~/.config/drawbridge/client.toml (or --host ...); with --local, or when no
  broker is configured, through the control socket of the hub on this machine. Locks obey your
  signature, whichever way it came: neither hub nor broker can make one.

Exit codes
  0  done (for a lock: proven by its signature)
  1  refused or failed; known not to be done (for a lock: by its signature)
  2  wrong command line or file; nothing was tried
  3  sent, and the outcome is not proven, whatever hub or broker say of it: look before you repeat
  4  daemon or broker unreachable; nothing was done";

/// Looks after the locks of a home hub, and signs for whoever owns them.
#[derive(Debug, Parser)]
#[command(name = "drawbridge", version, after_help = ROOT_HELP, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// Print JSON: one document, or one object a line for streams.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Use the hub on this machine, through its control socket.
    #[arg(long, global = true)]
    pub(super) local: bool,
    /// The control socket [default: /run/drawbridge/control.sock].
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// The owner key file [default: ~/.config/drawbridge/owner.json].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) owner_key: Option<PathBuf>,
    /// The client's file [default: ~/.config/drawbridge/client.toml].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) client_config: Option<PathBuf>,
    /// The hub's id, as in topics.
    #[arg(long, global = true, value_name = "ID")]
    pub(super) hub: Option<String>,
    /// The broker's host name.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) host: Option<String>,
    /// The broker's port [default: 8883].
    #[arg(long, global = true, value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// The CA that the broker's certificate must come from (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// This app's certificate (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show how the hub is doing.
    #[command(after_help = "Examples\n  drawbridge status\n  drawbridge status --local --json")]
    Status,
    /// Lock a door; or list, show, rename or remove locks.
    #[command(
        args_conflicts_with_subcommands = true,
        arg_required_else_help = true,
        after_help = LOCK_HELP
    )]
    Lock(LockArgs),
    /// Unlock a door.
    #[command(
        arg_required_else_help = true,
        after_help = "Examples\n  drawbridge unlock Front\n  drawbridge unlock 0011223344556677 --wait 20\n  drawbridge unlock Front --local          works with the broker down\n\nNeeds the owner key file. Exit 0 only when the lock itself signed that the bolt is drawn."
    )]
    Unlock(ActArgs),
    /// Show where a bolt is, by the lock's own signature.
    #[command(
        arg_required_else_help = true,
        after_help = "Examples\n  drawbridge state Front\n\nExit 0: the lock's report is current. Exit 3: it is the last one known, the lock did not confirm it."
    )]
    State(DoorArgs),
    /// Pair a lock with the hub on this machine and own it, with the code scanned here.
    #[command(after_help = PAIR_HELP)]
    Pair(PairArgs),
    /// Follow what happens: one line per event.
    #[command(
        after_help = "Examples\n  drawbridge events --count 10\n  drawbridge events --json | jq ."
    )]
    Events(StreamArgs),
    /// Follow the state of every lock: one line per change.
    #[command(after_help = "Examples\n  drawbridge watch\n  drawbridge watch --seconds 60 --json")]
    Watch(StreamArgs),
    /// Check store, broker, clock, air and certificates; say what to do.
    #[command(
        after_help = "Examples\n  drawbridge doctor\n  drawbridge doctor --json\n\nExit 0: no check failed (there may be warnings). Exit 1: one did."
    )]
    Doctor(DoctorArgs),
    /// Your keys: make them, show them, claim locks, sign commands.
    #[command(subcommand)]
    Owner(OwnerCommand),
}

/// Words after `lock` that are never the name of a door.
pub(super) const RESERVED: [&str; 6] = ["list", "show", "remove", "rename", "log", "help"];

const LOCK_HELP: &str = "\
Examples
  drawbridge lock Front             throw the bolt of the door called Front
  drawbridge lock list              which locks the hub has
  drawbridge lock rename Front Gate
  drawbridge lock log Front --local its signed history, checked
  drawbridge lock --lock list       throw the bolt of a door that is called 'list'

list, show, remove, rename, log and help after 'lock' are commands. A door of such a name is given by --lock.";

const LOG_HELP: &str = "\
Exit 0: whole, from the last record that you freed (or the one of the lock's receipt) to the head that
the lock signed. Exit 1: gaps or changed records. With --free the lock may then forget the records that
you have seen, once they are written: keep this command's output. (With --json a second object says so.)

Records are missing for good when the lock was full and wrote over them (its log says 'overwritten'), or
when you freed them with another copy of your keys. Only then, and after a look through another hub:
  drawbridge lock log Front --local --free --give-up 340";

const PAIR_HELP: &str = "\
Examples
  drawbridge pair --name Front                    asks for the code
  drawbridge pair --name Front --code-file code.txt
  some-scanner | drawbridge pair --name Front --code-file -

The code on the lock makes an owner. Scanning it here trusts this hub for that moment: a hub that
was broken into beforehand could keep it and take the lock over. 'drawbridge owner claim' on your
own machine gives the hub less. Either way the lock is yours only once its signed receipt verified;
check it from another device with 'drawbridge owner show'.";

/// `lock DOOR`, or a noun's verbs.
#[derive(Debug, ClapArgs)]
pub(super) struct LockArgs {
    #[command(subcommand)]
    pub(super) verb: Option<LockVerb>,
    #[command(flatten)]
    pub(super) act: ActArgs,
}

/// A door and how long to wait for it.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct ActArgs {
    #[command(flatten)]
    pub(super) door: DoorArgs,
    /// How long the signed command may live, in seconds (1 to 60). A lock never obeys it later.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(super) ttl: u64,
    /// How long to wait for the lock's signed answer, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) wait: u64,
}

/// A door by name or id.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct DoorArgs {
    /// The door: its name, or its id of 16 hexadecimal digits.
    #[arg(
        value_name = "DOOR",
        required_unless_present = "by_flag",
        conflicts_with = "by_flag"
    )]
    door: Option<String>,
    /// The same, for doors whose name is a command.
    #[arg(id = "by_flag", long = "lock", value_name = "DOOR")]
    by_flag: Option<String>,
}

impl DoorArgs {
    /// What was typed for the door.
    pub(super) fn typed(&self) -> &str {
        self.by_flag
            .as_deref()
            .or(self.door.as_deref())
            .unwrap_or_default()
    }
}

/// What can be done with the hub's list of locks.
#[derive(Debug, Subcommand)]
pub(super) enum LockVerb {
    /// List the hub's locks.
    List,
    /// Show what the hub knows of a lock.
    Show {
        /// The lock: its name, or its id.
        #[arg(value_name = "LOCK")]
        door: String,
    },
    /// Make the hub forget a lock. The lock keeps its owner.
    Remove {
        /// The lock: its name, or its id.
        #[arg(value_name = "LOCK")]
        door: String,
        /// Yes: pairing it again needs the owner and the button inside.
        #[arg(long)]
        yes: bool,
        /// Even with commands whose outcome is not known: then it never will be.
        #[arg(long)]
        force: bool,
    },
    /// Give a lock another name.
    Rename {
        /// The lock: its name, or its id.
        #[arg(value_name = "LOCK")]
        door: String,
        /// The new name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show a lock's signed history and check that nothing of it is missing or changed.
    #[command(
        after_help = LOG_HELP
    )]
    Log {
        /// The lock: its name, or its id.
        #[arg(value_name = "LOCK")]
        door: String,
        /// From the oldest record that the lock holds, not from where --free ended last.
        #[arg(long)]
        all: bool,
        /// Sign leave for the lock to free what was shown, if it is whole.
        #[arg(long, conflicts_with = "all")]
        free: bool,
        /// Do without missing records up to this number: you decide that they are lost, nothing proves it.
        #[arg(long, value_name = "NUMBER")]
        give_up: Option<u64>,
    },
}

/// How a lock's code comes in.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct CodeArgs {
    /// Read the code from this file; '-' is standard input. Without it you are asked.
    #[arg(long, value_name = "FILE")]
    pub(super) code_file: Option<PathBuf>,
    /// What to call the lock.
    #[arg(long, value_name = "NAME")]
    pub(super) name: String,
    /// The id that the lock must have, when you know it.
    #[arg(long, value_name = "ID")]
    pub(super) expect: Option<String>,
    /// Believe a hub that shows other keys than when it was first met.
    #[arg(long)]
    pub(super) accept_new_hub_keys: bool,
}

/// `pair`.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct PairArgs {
    #[command(flatten)]
    pub(super) code: CodeArgs,
}

/// `events`, `watch`.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct StreamArgs {
    /// End after so many lines.
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(super) seconds: Option<u64>,
}

/// `doctor`.
#[derive(Debug, Clone, ClapArgs)]
pub(super) struct DoctorArgs {
    /// Where the daemon keeps its state.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/drawbridge")]
    pub(super) state_dir: PathBuf,
}

/// `owner ...`.
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Make your keys. Once; keep a copy of the file where nobody else finds it.
    #[command(
        after_help = "Examples\n  drawbridge owner init\n  drawbridge owner init --owner-key /media/stick/owner.json"
    )]
    Init {
        /// Replace a file that is there (it is kept beside the new one).
        #[arg(long)]
        force: bool,
    },
    /// Show your public keys, your locks and what proves that they are yours. Never a secret.
    Show,
    /// Take ownership of a lock with the code on it, through a hub that never sees that code.
    #[command(
        after_help = "Examples\n  drawbridge owner claim --name Front\n  drawbridge owner claim --name Front --code-file code.txt --json\n\nPress the button inside the lock first: it listens for 120 s. Interrupted? Repeat it: nothing is lost."
    )]
    Claim {
        #[command(flatten)]
        code: CodeArgs,
    },
    /// Sign a command into a file that any MQTT client can publish.
    #[command(
        after_help = "Examples\n  drawbridge owner sign --lock Front --action unlock --out unlock.cose\n  mosquitto_pub -V 5 -q 1 -t drawbridge/h1/lock/0011223344556677/command -f unlock.cose ...\n\nPublish the bytes as they are, never retained, before they expire."
    )]
    Sign {
        /// The door: its name, or its id.
        #[arg(long, value_name = "DOOR")]
        lock: String,
        /// What the lock is to do.
        #[arg(long, value_name = "ACTION", value_parser = ["lock", "unlock"])]
        action: String,
        /// How long it may live, in seconds (1 to 60).
        #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60))]
        ttl: u64,
        /// Where to put it; nothing that is there is written over.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    // Guards: "lock list" that throws the bolt of a door called "list", or a door called "show" that
    // nobody can lock any more.
    #[test]
    fn reserved_words_are_commands_and_their_doors_need_the_flag() {
        let lock = Args::command().find_subcommand("lock").cloned().unwrap();
        let mut verbs: Vec<_> = lock
            .get_subcommands()
            .map(|verb| verb.get_name().to_owned())
            .collect();
        verbs.push("help".to_owned());
        verbs.sort();
        let mut reserved = RESERVED.map(str::to_owned);
        reserved.sort();
        assert_eq!(
            verbs, reserved,
            "every verb of `lock` is reserved, and nothing else"
        );

        let act = |line: &str| match parse(line).unwrap().command {
            Command::Lock(LockArgs { verb: None, act }) => act.door.typed().to_owned(),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(act("drawbridge lock Front"), "Front");
        assert_eq!(act("drawbridge lock lists"), "lists");
        assert_eq!(act("drawbridge --json lock Front --local"), "Front");
        for word in RESERVED {
            assert_eq!(act(&format!("drawbridge lock --lock {word}")), word);
            if let Ok(parsed) = parse(&format!("drawbridge lock {word}")) {
                assert!(
                    matches!(
                        parsed.command,
                        Command::Lock(LockArgs { verb: Some(_), .. })
                    ),
                    "{word}"
                );
            }
        }
        assert!(
            parse("drawbridge lock Front --lock Back").is_err(),
            "two doors are none"
        );
        assert!(parse("drawbridge lock").is_err());
        assert!(parse("drawbridge unlock").is_err());
    }

    #[test]
    fn options_of_every_command_go_before_or_after_it() {
        for line in [
            "drawbridge --local --json lock list",
            "drawbridge lock list --local --json",
            "drawbridge lock --local list --json",
        ] {
            let parsed = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(parsed.global.local && parsed.global.json, "{line}");
        }
    }

    #[test]
    fn a_command_lives_one_to_sixty_seconds() {
        for bad in ["0", "61", "-1", "x"] {
            assert!(
                parse(&format!("drawbridge unlock Front --ttl {bad}")).is_err(),
                "{bad}"
            );
        }
        assert!(parse("drawbridge unlock Front --ttl 60").is_ok());
    }
}
