//! Sends what nobody asked for, so often a second, until it is killed:
//!
//! - `flood adverts HOST:PORT PER_SECOND`: ever another device advertises, from a controller that is reached by TCP
//! - `flood bus SOCKET PER_SECOND`: signals and calls of BlueZ on a D-Bus socket, as whoever runs it
//! - `flood lines PER_SECOND`: garbage on standard output, a line each, for another program to send
//!
//! Once a second `adverts` and `bus` say how many it has been so far.

mod adverts;
mod bus;
mod lines;
mod pace;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["adverts", controller, per_second] => adverts::flood(controller, per_second.parse()?)?,
        ["bus", socket, per_second] => bus::flood(socket, per_second.parse()?)?,
        ["lines", per_second] => lines::flood(per_second.parse()?)?,
        _ => {
            return Err("say adverts HOST:PORT, bus SOCKET or lines, and how many a second".into());
        }
    }
    Ok(())
}
