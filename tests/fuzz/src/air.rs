//! The wire of the virtual air, read by the hub and by the simulated lock, and the latter's knobs.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use drawbridge_daemon::radio::virtual_air::frame::{FromLock, ToLock};
use drawbridge_lock_sim::air_frame::{AirFrame, MAX_BODY};
use drawbridge_lock_sim::control::Request;

use crate::input::Input;

/// Both ends read the same bytes as the same frames; a stream is read frame by frame without ever
/// going past a declared length; a knob is understood or refused with advice.
///
/// # Panics
/// When one of that does not hold.
pub fn air(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 3 {
        0 => body(bytes),
        1 => stream(bytes),
        _ => {
            if let Ok(line) = std::str::from_utf8(bytes)
                && let Err(error) = Request::parse(line)
            {
                assert!(!error.advice().is_empty());
            }
        }
    }
}

fn body(bytes: &[u8]) {
    let (hub, lock) = (FromLock::decode(bytes), AirFrame::decode(bytes));
    let as_hub = match &lock {
        Ok(AirFrame::Advert(beacon)) => Some(FromLock::Advert(*beacon)),
        Ok(AirFrame::Connected(size)) => Some(FromLock::Connected(*size)),
        Ok(AirFrame::Busy) => Some(FromLock::Busy),
        Ok(AirFrame::Packet(packet)) => Some(FromLock::Packet(packet.clone())),
        // A lock never asks for a link.
        _ => None,
    };
    assert_eq!(hub.ok(), as_hub);
    let Ok(frame) = lock else { return };
    let written = frame.encode().expect("it has been a body");
    assert_eq!(written[2..], *bytes);
    let as_lock = match frame {
        AirFrame::Connect(size) => ToLock::Connect(size),
        AirFrame::Packet(packet) => ToLock::Packet(packet),
        _ => return,
    };
    assert_eq!(as_lock.encode().expect("it has been a body"), written);
}

fn stream(bytes: &[u8]) {
    let mut declared = Input::new(bytes);
    let (mut hub, mut lock) = (bytes, bytes);
    loop {
        let read = ready(AirFrame::read(&mut lock));
        let length = usize::from(declared.short());
        let body = declared.take(if length <= MAX_BODY { length } else { 0 });
        match read {
            Ok(frame) => assert_eq!(frame.encode().expect("it was read")[2..], *body),
            Err(_) => break,
        }
    }
    while ready(FromLock::read(&mut hub)).is_ok() {}
}

/// The value of a future that never waits: a slice is always ready.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a slice made somebody wait"),
    }
}
