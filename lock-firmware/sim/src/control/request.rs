//! What can be asked of a simulated lock.

use drawbridge_lock::flash::model::Tear;
use drawbridge_protocol::report::{Door, Position};

use super::fields::{Fields, RequestError};
use crate::lane::Drops;

/// The requests, for `--help`.
pub const HELP: &str = r#"Requests on the control socket, one JSON object a line, one answer a line:
  {"do":"hello"}                               name, lock id, address, the text of its code
  {"do":"status"}                              power, bolt, motor_actuations, log, boot, owned, ...
  {"do":"button","held_ms":200}                inside button: pairing window; 10000 or more: factory reset
  {"do":"jam","on":true}                       something blocks the bolt halfway
  {"do":"battery","percent":20}                slow below 30, no motor at 0
  {"do":"door","state":"open"}                 open, closed, unknown
  {"do":"tamper","on":true}                    the case is open
  {"do":"by_hand","to":"unlocked"}             somebody turns the bolt: locked, unlocked
  {"do":"reboot"}                              power off and on again
  {"do":"power_loss"}                          power off now, until power_on
  {"do":"power_loss","at_write":3,"model":"torn","seed":1}
                                               power off in the 3rd write or erase of flash from now;
                                               models: before, torn, erase
  {"do":"power_on"}                            takes at_write, model and seed too: cut again while booting
  {"do":"link_loss","after_packets":5}         all links go down after 5 more packets; without: now
  {"do":"hang_up","after_messages":5}          all links go down when 5 more messages have passed whole, either
                                               way; what the lock says to the last is lost. 0: take it back
  {"do":"delay","ms":50}                       each packet of a link arrives that much later, each way
  {"do":"drop","to_hub":1,"to_lock":0,"at_least":0,"close":false}
                                               lose the next session records of at least that many bytes
                                               (an outcome has about 250, session facts 220, others less);
                                               close: the link goes down with each, as on the real air
Example: echo '{"do":"button","held_ms":200}' | socat - UNIX-CONNECT:PATH"#;

/// When and how the power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// In which write or erase from now; 1 is the next.
    pub at_write: u64,
    /// What that operation leaves in the cells.
    pub tear: Tear,
    /// Chooses the bits that are torn.
    pub seed: u64,
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Who are you?
    Hello,
    /// How are you?
    Status,
    /// Hold the inside button.
    Button {
        /// For how long, in milliseconds.
        held_ms: u32,
    },
    /// Block the bolt, or free it.
    Jam {
        /// Whether it is blocked.
        on: bool,
    },
    /// Set the charge.
    Battery {
        /// Percent.
        percent: u8,
    },
    /// Move the door.
    Door {
        /// What its contact says.
        state: Door,
    },
    /// Open or shut the case.
    Tamper {
        /// Whether it is open.
        on: bool,
    },
    /// Turn the bolt by hand.
    ByHand {
        /// To which end.
        to: Position,
    },
    /// Power off and on.
    Reboot,
    /// Power off.
    PowerLoss {
        /// Later and in flash; `None` = now.
        cut: Option<Cut>,
    },
    /// Power on.
    PowerOn {
        /// Cut it again while booting or later.
        cut: Option<Cut>,
    },
    /// Take all links down.
    LinkLoss {
        /// After so many packets, either way; 0 = now.
        after_packets: u32,
    },
    /// Take all links down between two messages.
    HangUp {
        /// When so many have passed whole, either way; 0 = never.
        after_messages: u32,
    },
    /// Slow the links down.
    Delay {
        /// Milliseconds, each way.
        ms: u32,
    },
    /// Lose messages.
    Drop {
        /// From the lock.
        to_hub: Drops,
        /// To the lock.
        to_lock: Drops,
    },
}

#[derive(Clone, Copy)]
enum Verb {
    Hello,
    Status,
    Button,
    Jam,
    Battery,
    Door,
    Tamper,
    ByHand,
    Reboot,
    PowerLoss,
    PowerOn,
    LinkLoss,
    HangUp,
    Delay,
    Drop,
}

const VERBS: [(&str, Verb); 15] = [
    ("hello", Verb::Hello),
    ("status", Verb::Status),
    ("button", Verb::Button),
    ("jam", Verb::Jam),
    ("battery", Verb::Battery),
    ("door", Verb::Door),
    ("tamper", Verb::Tamper),
    ("by_hand", Verb::ByHand),
    ("reboot", Verb::Reboot),
    ("power_loss", Verb::PowerLoss),
    ("power_on", Verb::PowerOn),
    ("link_loss", Verb::LinkLoss),
    ("hang_up", Verb::HangUp),
    ("delay", Verb::Delay),
    ("drop", Verb::Drop),
];

const DOORS: [(&str, Door); 3] = [
    ("open", Door::Open),
    ("closed", Door::Closed),
    ("unknown", Door::Unknown),
];

const ENDS: [(&str, Position); 2] = [
    ("locked", Position::Locked),
    ("unlocked", Position::Unlocked),
];

const TEARS: [(&str, Tear); 3] = [
    ("before", Tear::Before),
    ("torn", Tear::RandomTornBits),
    ("erase", Tear::PartialErase),
];

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// [`RequestError`]; nothing is done then.
    pub fn parse(line: &str) -> Result<Self, RequestError> {
        let mut fields = Fields::parse(line)?;
        let verb = fields
            .word("do", &VERBS)?
            .ok_or(RequestError::Missing("do"))?;
        let request = Self::read(verb, &mut fields)?;
        fields.finish()?;
        Ok(request)
    }

    fn read(verb: Verb, fields: &mut Fields) -> Result<Self, RequestError> {
        Ok(match verb {
            Verb::Hello => Self::Hello,
            Verb::Status => Self::Status,
            Verb::Button => Self::Button {
                held_ms: required(fields, "held_ms", 600_000)? as u32,
            },
            Verb::Jam => Self::Jam {
                on: required_flag(fields)?,
            },
            Verb::Battery => Self::Battery {
                percent: required(fields, "percent", 100)? as u8,
            },
            Verb::Door => Self::Door {
                state: fields
                    .word("state", &DOORS)?
                    .ok_or(RequestError::Missing("state"))?,
            },
            Verb::Tamper => Self::Tamper {
                on: required_flag(fields)?,
            },
            Verb::ByHand => Self::ByHand {
                to: fields
                    .word("to", &ENDS)?
                    .ok_or(RequestError::Missing("to"))?,
            },
            Verb::Reboot => Self::Reboot,
            Verb::PowerLoss => Self::PowerLoss { cut: cut(fields)? },
            Verb::PowerOn => Self::PowerOn { cut: cut(fields)? },
            Verb::LinkLoss => Self::LinkLoss {
                after_packets: fields.number("after_packets", 0..=1_000_000)?.unwrap_or(0) as u32,
            },
            Verb::HangUp => Self::HangUp {
                after_messages: required(fields, "after_messages", 1_000_000)? as u32,
            },
            Verb::Delay => Self::Delay {
                ms: required(fields, "ms", 600_000)? as u32,
            },
            Verb::Drop => drops(fields)?,
        })
    }
}

fn required(fields: &mut Fields, field: &'static str, most: u64) -> Result<u64, RequestError> {
    fields
        .number(field, 0..=most)?
        .ok_or(RequestError::Missing(field))
}

fn required_flag(fields: &mut Fields) -> Result<bool, RequestError> {
    fields.flag("on")?.ok_or(RequestError::Missing("on"))
}

fn cut(fields: &mut Fields) -> Result<Option<Cut>, RequestError> {
    let at_write = fields.number("at_write", 1..=1_000_000)?;
    let tear = fields.word("model", &TEARS)?;
    let seed = fields.number("seed", 0..=u64::MAX)?;
    match at_write {
        None if tear.is_some() || seed.is_some() => Err(RequestError::Missing("at_write")),
        None => Ok(None),
        Some(at_write) => Ok(Some(Cut {
            at_write,
            tear: tear.unwrap_or(Tear::Before),
            seed: seed.unwrap_or(0),
        })),
    }
}

fn drops(fields: &mut Fields) -> Result<Request, RequestError> {
    let to_hub = fields.number("to_hub", 0..=1_000_000)?;
    let to_lock = fields.number("to_lock", 0..=1_000_000)?;
    let at_least = fields
        .number("at_least", 0..=u64::from(u16::MAX))?
        .unwrap_or(0) as u16;
    let close = fields.flag("close")?.unwrap_or(false);
    if to_hub.is_none() && to_lock.is_none() {
        return Err(RequestError::Missing("to_hub"));
    }
    let drops = |count: Option<u64>| Drops {
        count: count.unwrap_or(0) as u32,
        at_least,
        close,
    };
    Ok(Request::Drop {
        to_hub: drops(to_hub),
        to_lock: drops(to_lock),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_line_of_the_help_is_a_request() {
        let lines = HELP.lines().filter(|line| line.starts_with("  {"));
        let parsed: Vec<Request> = lines
            .map(|line| {
                let end = line.find('}').unwrap();
                Request::parse(line[..=end].trim()).unwrap()
            })
            .collect();
        assert_eq!(parsed.len(), VERBS.len() + 1);
        let cut = Request::PowerLoss {
            cut: Some(Cut {
                at_write: 3,
                tear: Tear::RandomTornBits,
                seed: 1,
            }),
        };
        assert!(parsed.contains(&cut));
    }

    /// Guards: a knob with a typo that is taken for its default, so that a test tests nothing.
    #[test]
    fn typos_are_refused_with_a_suggestion() {
        let table = [
            (r#"{"do":"buton","held_ms":1}"#, "did you mean \"button\"?"),
            (
                r#"{"do":"button","hold_ms":1}"#,
                "add \"held_ms\"; see --help",
            ),
            (
                r#"{"do":"link_loss","after_packet":1}"#,
                "did you mean \"after_packets\"?",
            ),
            (
                r#"{"do":"power_loss","at_write":1,"model":"turn"}"#,
                "did you mean \"torn\"?",
            ),
            (
                r#"{"do":"power_loss","model":"torn"}"#,
                "add \"at_write\"; see --help",
            ),
            (
                r#"{"do":"status","zzzzzzzz":1}"#,
                "leave it out; see --help",
            ),
            (
                r#"{"do":"door","state":"wide"}"#,
                "one of: open, closed, unknown",
            ),
            (r#"{"do":"jam","on":1}"#, "it must be true or false"),
            (
                r#"{"do":"battery","percent":101}"#,
                "it must be a number from 0 to 100",
            ),
            (
                r#"{"do":"battery","percent":-1}"#,
                "it must be a number from 0 to 100",
            ),
            (
                r#"{"do":"button","held_ms":1.5}"#,
                "it must be a number from 0 to 600000",
            ),
            (r#"{"do":"status","do":"status"}"#, "give each field once"),
            (r#"["status"]"#, "send for example {\"do\":\"status\"}"),
            ("", "send for example {\"do\":\"status\"}"),
        ];
        for (line, advice) in table {
            assert_eq!(Request::parse(line).unwrap_err().advice(), advice, "{line}");
        }
    }

    proptest! {
        /// S22 for this socket: whatever comes, an error or a request, and nothing else.
        #[test]
        fn s22_any_line_is_answered(line in ".{0,200}") {
            let _either = Request::parse(&line).map_err(|error| error.advice());
        }
    }

    #[test]
    fn s22_a_deep_line_is_refused() {
        let deep = format!(r#"{{"do":{}1{}}}"#, "[".repeat(2_000), "]".repeat(2_000));
        assert_eq!(Request::parse(&deep), Err(RequestError::NotAnObject));
    }
}
