//! P05: what hub and lock say to each other from the moment a link is up until a waiting command leaves, and how often
//! one of them waits for the other's answer meanwhile.
//!
//! Counted on the virtual air, where the messages are those of every bearer. A round trip is a message of the hub's
//! that the lock answers before the command has left; that the lock speaks first, as soon as a link is up, is none.

use std::time::Duration;

use drawbridge_protocol::link_message::{MAX_PLAINTEXT, RECORD_HEADER};
use drawbridge_protocol::tunnel::HubToLock;
use serde_json::json;

use crate::Failure;
use crate::app;
use crate::conversation::{By, Conversation, Heard, RECORD};
use crate::figure::Figure;
use crate::house::{Ground, HUB, House};

/// Links of each kind.
const LINKS: usize = 20;
/// What a record's message has besides its plaintext: the type byte, the header, the tag.
const AROUND: usize = 1 + RECORD_HEADER + 16;
/// How much later each packet of a link arrives, each way, in ms: what the hub sends without waiting for an answer is
/// then on the air before any answer is, and is not counted as if it had waited.
const DELAY_MS: u64 = 150;
/// For the hub to have taken a command in.
const TAKEN: Duration = Duration::from_millis(300);

/// How a link begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The hub has started anew and knows no session.
    Cold,
    /// Only the link was lost.
    Resumed,
}

/// What was said on a link before the command's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    round_trips: usize,
    /// Messages of the hub, the command among them.
    hub: usize,
    /// Messages of the lock before the command left.
    lock: usize,
}

/// Measures both.
pub(crate) fn measure() -> Result<(), Failure> {
    let mut ground = Ground::new()?;
    let index = ground.add_lock()?;
    let air = ground.folder("tapped")?;
    let tap = Conversation::before_lock(&air, &ground.air)?;
    let port = ground.broker.port();
    let mut house = House::new(ground, port, &air)?;
    house.pair(index)?;
    house.wait_until_online()?;
    let slow = json!({"do": "delay", "ms": DELAY_MS});
    house.ground.locks.get(index).ok_or("no lock")?.ask(&slow)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for (start, goal) in [(Start::Cold, 1.0), (Start::Resumed, 0.0)] {
        let mut counts = Vec::new();
        for turn in 0..LINKS {
            let action = if turn.is_multiple_of(2) {
                "unlock"
            } else {
                "lock"
            };
            let counted = runtime.block_on(one(&mut house, &tap, start, action))?;
            counts.push(counted);
        }
        print(start, goal, &counts)?;
    }
    Ok(())
}

/// A command waits for a link, the link comes up, the command is done.
async fn one(
    house: &mut House,
    tap: &Conversation,
    start: Start,
    action: &str,
) -> Result<Count, Failure> {
    let mut link = app::connect(house).await?;
    let lock = house.ground.locks.first().ok_or("no lock")?;
    let (id, name) = (lock.id.clone(), lock.name.clone());
    link.subscribe(&format!("drawbridge/{HUB}/lock/{id}/result"))
        .await?;
    let command = app::sign(house, &name, action)?;
    tap.set_open(false);
    match start {
        Start::Cold => house.restart_at("info")?,
        Start::Resumed => {
            let lost = json!({"do": "link_loss"});
            house.ground.locks.first().ok_or("no lock")?.ask(&lost)?;
        }
    }
    tokio::time::sleep(TAKEN).await;
    app::publish(&mut link, HUB, &id, &command).await?;
    tokio::time::sleep(TAKEN).await;
    tap.take();
    tap.set_open(true);
    app::until_done(&mut link, &command).await?;
    let heard = tap.take();
    link.close().await;
    house.wait_until_online()?;
    let mut room = [0; MAX_PLAINTEXT];
    let statement = command.as_slice();
    let plain = HubToLock::Command { statement }.encode(&mut room)?;
    count(&heard, AROUND + plain.len()).ok_or_else(|| format!("no command in {heard:?}").into())
}

/// Counts on the link that carried the command, which is the first of the hub's records of this length.
fn count(heard: &[Heard], length: usize) -> Option<Count> {
    let command = Heard::Message {
        by: By::Hub,
        kind: RECORD,
        length,
    };
    let end = heard.iter().position(|one| *one == command)?;
    let before = heard.get(..end)?;
    let begin = before.iter().rposition(|one| *one == Heard::LinkUp)? + 1;
    let mut count = Count {
        hub: 1,
        ..Count::default()
    };
    let mut is_asked = false;
    for one in before.get(begin..)? {
        match one {
            Heard::Message { by: By::Hub, .. } => {
                count.hub += 1;
                is_asked = true;
            }
            Heard::Message { by: By::Lock, .. } => {
                count.lock += 1;
                count.round_trips += usize::from(std::mem::take(&mut is_asked));
            }
            Heard::LinkUp => return None,
        }
    }
    Some(count)
}

fn print(start: Start, goal: f64, counts: &[Count]) -> Result<(), Failure> {
    let worst = counts.iter().max_by_key(|count| count.round_trips);
    let worst = worst.ok_or("no link")?;
    let (part, beside) = match start {
        Start::Cold => ("new session", "Aliro 2 round trips"),
        Start::Resumed => ("resumed session", "Aliro 1 round trip"),
    };
    let trips = worst.round_trips as f64;
    Figure::at_most("P05", part, trips, "round trips", goal, counts.len())
        .beside(beside)
        .with("messages_of_hub", worst.hub)
        .with("messages_of_lock", worst.lock)
        .with("delay_ms", DELAY_MS)
        .with("counted", "from link-up until the command leaves, the most")
        .print();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(by: By, kind: u8, length: usize) -> Heard {
        Heard::Message { by, kind, length }
    }

    /// Guards: a count that is 1 and 0 whatever was said, or that takes another link's messages for this one's.
    #[test]
    fn p05_round_trips_are_answers_before_the_command_left() {
        let hello = said(By::Lock, 1, 40);
        let command = said(By::Hub, RECORD, 350);
        let resumed = [Heard::LinkUp, hello, command, said(By::Lock, RECORD, 60)];
        let counted = count(&resumed, 350).unwrap();
        assert_eq!((counted.round_trips, counted.hub, counted.lock), (0, 1, 1));
        let shaken = [
            Heard::LinkUp,
            hello,
            said(By::Hub, 2, 8),
            said(By::Hub, 3, 100),
            said(By::Lock, 4, 50),
        ];
        let cold = [shaken.as_slice(), &[command]].concat();
        let counted = count(&cold, 350).unwrap();
        assert_eq!((counted.round_trips, counted.hub, counted.lock), (1, 3, 2));
        // One who asks the lock something first, and waits.
        let asked = [said(By::Hub, RECORD, 400), said(By::Lock, RECORD, 220)];
        let slow = [shaken.as_slice(), &asked, &[command]].concat();
        assert_eq!(count(&slow, 350).unwrap().round_trips, 2);
        // A link before it that carried no command.
        let second = [shaken.as_slice(), &resumed].concat();
        assert_eq!(count(&second, 350).unwrap().round_trips, 0);
        assert!(count(&shaken, 350).is_none());
    }
}
