//! A controller that advertises as ever another device: every second one pretends to be a lock.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use drawbridge_protocol::gatt::SERVICE;

use crate::pace::Pace;

/// HCI commands (Core 5.4, Vol 4, Part E).
const RESET: u16 = 0x0c03;
const SET_RANDOM_ADDRESS: u16 = 0x2005;
const SET_PARAMETERS: u16 = 0x2006;
const SET_DATA: u16 = 0x2008;
const SET_RESPONSE: u16 = 0x2009;
const ENABLE: u16 = 0x200a;
/// The most often that a device may advertise, in 0.625 ms: 20 ms.
const INTERVAL: [u8; 2] = [0x20, 0];
/// What an advert holds.
const DATA: usize = 31;

pub(crate) fn flood(controller: &str, per_second: u32) -> io::Result<()> {
    let mut air = TcpStream::connect(controller)?;
    air.set_nodelay(true)?;
    let mut dice = u64::from(std::process::id()) << 32 | 1;
    command(&mut air, RESET, &[])?;
    let parameters = [
        &INTERVAL[..],
        &INTERVAL,
        // Connectable and scannable, under a random address, to nobody in particular, on all channels.
        &[0, 1, 0],
        &[0; 6],
        &[7, 0],
    ];
    command(&mut air, SET_PARAMETERS, &parameters.concat())?;
    let mut pace = Pace::new(per_second);
    loop {
        let number = pace.next();
        command(&mut air, ENABLE, &[0])?;
        let mut address = random(&mut dice);
        // As one that can be resolved, so that whoever has keys tries them.
        address[5] = address[5] & 0x3f | 0x40;
        command(&mut air, SET_RANDOM_ADDRESS, &address[..6])?;
        let (advert, response) = if number.is_multiple_of(2) {
            lock(&random(&mut dice))
        } else {
            stranger(&random(&mut dice))
        };
        command(&mut air, SET_DATA, &filled(&advert))?;
        command(&mut air, SET_RESPONSE, &filled(&response))?;
        command(&mut air, ENABLE, &[1])?;
        if let Some(sent) = pace.news() {
            println!("{sent} devices");
        }
    }
}

/// What a lock says, with a beacon that is nobody's.
fn lock(beacon: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let service = SERVICE.to_le_bytes();
    let advert = [&[2, 0x01, 0x06, 17, 0x07], &service[..]].concat();
    let response = [&[29, 0x21], &service[..], &beacon[..12]].concat();
    (advert, response)
}

/// What all the others say: a name, and data of their makers.
fn stranger(noise: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let name = format!("thing-{:02x}{:02x}", noise[0], noise[1]);
    let advert = [&[2, 0x01, 0x06, 13, 0xff, 0xff, 0xff], &noise[..10]].concat();
    let response = [&[name.len() as u8 + 1, 0x09], name.as_bytes()].concat();
    (advert, response)
}

fn filled(data: &[u8]) -> Vec<u8> {
    let mut all = vec![data.len() as u8];
    all.extend(data);
    all.resize(1 + DATA, 0);
    all
}

fn random(dice: &mut u64) -> [u8; 16] {
    let mut all = [0; 16];
    for half in all.chunks_mut(8) {
        *dice ^= *dice >> 12;
        *dice ^= *dice << 25;
        *dice ^= *dice >> 27;
        half.copy_from_slice(&dice.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    all
}

/// Sends a command and waits until it is complete, whatever its status: the host of a stranger may fail.
fn command(air: &mut TcpStream, code: u16, parameters: &[u8]) -> io::Result<()> {
    let mut packet = vec![1];
    packet.extend(code.to_le_bytes());
    packet.push(parameters.len() as u8);
    packet.extend(parameters);
    air.write_all(&packet)?;
    loop {
        let mut header = [0; 3];
        air.read_exact(&mut header)?;
        let mut body = vec![0; usize::from(header[2])];
        air.read_exact(&mut body)?;
        // Command Complete of this command.
        if header[..2] == [4, 0x0e] && body.get(1..3) == Some(&code.to_le_bytes()[..]) {
            return Ok(());
        }
    }
}
