//! The lock on a board: the real core, driven by inputs from a serial line.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use drawbridge_lock::{Factory, LinkId, Lock, Motor, Output, Sensors, Settings};
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::report::{Door, Position};
use drawbridge_protocol::secret::SetupSecret;
use drawbridge_size_image::nor::Nor;
use drawbridge_size_image::serve::{self, Input, Pool, Subject};
use panic_halt as _;
use static_cell::StaticCell;

/// Kinds of inputs and outputs; `tests/chip` speaks them too.
mod kind {
    pub(crate) const BOOT: u8 = 1;
    pub(crate) const LINK_UP: u8 = 2;
    pub(crate) const PACKET: u8 = 3;
    pub(crate) const LINK_DOWN: u8 = 4;
    pub(crate) const BUTTON: u8 = 5;
    pub(crate) const SENSORS: u8 = 6;
    pub(crate) const TIME: u8 = 7;
    pub(crate) const DISCONNECT: u8 = 8;
    pub(crate) const MOTOR: u8 = 9;
    pub(crate) const REFUSED: u8 = 10;
    pub(crate) const BEACON: u8 = 11;
    pub(crate) const DEADLINE: u8 = 12;
}

/// Where the lock lives, as it would in a firmware: counted as bss, not hidden on the stack.
static LOCK: StaticCell<Lock<Nor>> = StaticCell::new();

#[derive(Default)]
struct Board {
    lock: Option<&'static mut Lock<Nor>>,
    /// Said once, before what the lock has to say.
    first: Option<(u8, [u8; 32])>,
}

#[entry]
fn main() -> ! {
    serve::serve(&mut Board::default())
}

impl Board {
    // Not inlined: the lock on its way into its place must not weigh on every later input.
    #[inline(never)]
    fn boot(&mut self, body: &[u8], pool: &mut Pool, flash: Nor) {
        let Some(factory) = factory(body) else {
            self.first = Some((kind::REFUSED, [1; 32]));
            return;
        };
        match Lock::boot(
            flash,
            factory,
            Settings::default(),
            sensors(&[1, 1, 0, 90]),
            pool,
        ) {
            Ok(lock) => self.lock = Some(LOCK.init(lock)),
            Err(_) => self.first = Some((kind::REFUSED, [2; 32])),
        }
    }
}

impl Subject for Board {
    // Not inlined: its frame must lie below the meter's mark.
    #[inline(never)]
    fn take(&mut self, input: &Input<'_>, pool: &mut Pool, flash: Nor) {
        let (link, now_ms) = (LinkId(input.link), input.now_ms);
        let Some(lock) = self.lock.as_deref_mut() else {
            if input.kind == kind::BOOT {
                self.boot(input.body, pool, flash);
            }
            return;
        };
        match input.kind {
            kind::LINK_UP => {
                let [low, high] = *input.body else { return };
                let packet = usize::from(u16::from_le_bytes([low, high]));
                if !lock.link_up(link, packet, now_ms, pool) {
                    self.first = Some((kind::REFUSED, [3; 32]));
                }
            }
            kind::PACKET => lock.handle_packet(link, input.body, now_ms, pool),
            kind::LINK_DOWN => lock.link_down(link, now_ms),
            kind::BUTTON => lock.press_button(number(input.body), now_ms, pool),
            kind::SENSORS => lock.handle_sensors(sensors(input.body), now_ms),
            kind::TIME => {
                lock.handle_time(now_ms);
                let mut deadline = [0xff; 32];
                if let Some(at) = lock.next_deadline() {
                    let (start, _) = deadline.split_at_mut(8);
                    start.copy_from_slice(&at.to_le_bytes());
                }
                self.first = Some((kind::DEADLINE, deadline));
            }
            kind::BEACON => {
                let mut advert = [0; 32];
                for (to, from) in advert.iter_mut().zip(lock.beacon(pool).0) {
                    *to = from;
                }
                self.first = Some((kind::BEACON, advert));
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn next<'b>(
        &mut self,
        now_ms: u64,
        pool: &mut Pool,
        buffer: &'b mut [u8],
    ) -> Option<serve::Output<'b>> {
        if let Some((kind, bytes)) = self.first.take() {
            let body = buffer.get_mut(..bytes.len())?;
            body.copy_from_slice(&bytes);
            return Some(serve::Output {
                kind,
                link: 0,
                body,
            });
        }
        let output = self
            .lock
            .as_deref_mut()?
            .poll_output(buffer, now_ms, pool)?;
        Some(match output {
            Output::Packet { link, bytes } => serve::Output {
                kind: kind::PACKET,
                link: link.0,
                body: bytes,
            },
            Output::Disconnect { link } => serve::Output {
                kind: kind::DISCONNECT,
                link: link.0,
                body: &[],
            },
            Output::Motor(order) => serve::Output {
                kind: kind::MOTOR,
                link: match order {
                    Motor::Stop => 0,
                    Motor::Throw => 1,
                    Motor::Draw => 2,
                },
                body: &[],
            },
        })
    }

    fn size(&self) -> u32 {
        size_of::<Lock<Nor>>() as u32
    }
}

/// The record that a factory would have written: id 16, link key 32, identity 32, setup secret.
fn factory(body: &[u8]) -> Option<Factory> {
    let (lock, rest) = body.split_first_chunk()?;
    let (link, rest) = rest.split_first_chunk()?;
    let (identity, rest) = rest.split_first_chunk()?;
    let (setup, _) = rest.split_first_chunk()?;
    Some(Factory {
        lock: LockId(*lock),
        model: 7,
        link: LinkSecret::from_bytes(*link),
        identity: IdentitySecret::from_bytes(identity),
        setup: SetupSecret::new(*setup),
    })
}

fn number(body: &[u8]) -> u32 {
    body.first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Bolt, door, tamper, battery: one byte each.
fn sensors(body: &[u8]) -> Sensors {
    let byte = |at: usize| body.get(at).copied().unwrap_or(0);
    Sensors {
        position: match byte(0) {
            1 => Position::Locked,
            2 => Position::Unlocked,
            3 => Position::Moving,
            4 => Position::Jammed,
            _ => Position::Unknown,
        },
        door: match byte(1) {
            1 => Door::Closed,
            2 => Door::Open,
            _ => Door::Unknown,
        },
        tamper: byte(2) != 0,
        battery: byte(3),
    }
}
