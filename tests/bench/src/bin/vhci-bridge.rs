//! Makes a controller that is reached by a socket (HCI packets in H4 form) one of the kernel's own.
//!
//! `vhci-bridge HOST:PORT` or `vhci-bridge /PATH` of a Unix socket. When the other side ends, this ends, and the controller
//! is gone.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::set_tcp_quickack;

/// Asks for a controller with everything by default; the kernel answers with a packet of the same kind.
const CREATE: [u8; 2] = [0xff, 0x00];

/// No H4 packet is larger: four bytes of header and what two bytes of length can say.
const LARGEST: usize = 5 + 65_535;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("say where the controller is: HOST:PORT or /PATH")?;
    if address.starts_with('/') {
        let air = UnixStream::connect(&address)?;
        bridge(air.try_clone()?, air)?;
    } else {
        let air = TcpStream::connect(&address)?;
        air.set_nodelay(true)?;
        bridge(Prompt(air.try_clone()?), air)?;
    }
    Ok(())
}

/// Passes packets both ways until one side ends.
fn bridge(from_air: impl Read, to_air: impl Write + Send + 'static) -> io::Result<()> {
    let mut kernel = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/vhci")?;
    kernel.write_all(&CREATE)?;
    let from_kernel = kernel.try_clone()?;
    std::thread::spawn(move || {
        if let Err(error) = to_controller(from_kernel, to_air) {
            eprintln!("vhci-bridge: pass packets to the controller: {error}");
        }
        std::process::exit(1);
    });
    to_kernel(from_air, &kernel)
}

/// Reads, and acknowledges at once.
///
/// RootCanal: gives a packet to TCP in two pieces, of which the second waits for the acknowledgement of the first (Nagle's
/// rule), and the kernel delays that for 40 ms. Seen: 1.13, each packet 44 ms late. So: it is not delayed.
struct Prompt(TcpStream);

impl Read for Prompt {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        set_tcp_quickack(&self.0, true)?;
        Ok(read)
    }
}

/// One read of the kernel is one packet.
fn to_controller(mut kernel: File, mut air: impl Write) -> io::Result<()> {
    let mut packet = vec![0; LARGEST];
    loop {
        let size = kernel.read(&mut packet)?;
        match packet.get(..size) {
            None | Some([]) => return Ok(()),
            Some([0xff, ..]) => {}
            Some(packet) => air.write_all(packet)?,
        }
    }
}

/// The stream has no borders: a packet's header says how much follows, and the kernel wants it in one write.
fn to_kernel(mut air: impl Read, mut kernel: &File) -> io::Result<()> {
    loop {
        let mut kind = [0];
        if air.read(&mut kind)? == 0 {
            return Ok(());
        }
        let mut packet = kind.to_vec();
        let header = match kind[0] {
            // ACL and ISO: handle and length of two bytes each; SCO: handle, length of one; event: code, length of one.
            2 | 5 => 4,
            3 => 3,
            4 => 2,
            other => {
                let text = format!("a packet of kind {other} from a controller");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        };
        packet.resize(1 + header, 0);
        air.read_exact(&mut packet[1..])?;
        let length = match *packet.as_slice() {
            [4, _, length] | [3, _, _, length] => usize::from(length),
            [5, _, _, low, high] => usize::from(u16::from_le_bytes([low, high]) & 0x3fff),
            [_, _, _, low, high] => usize::from(u16::from_le_bytes([low, high])),
            _ => 0,
        };
        packet.resize(1 + header + length, 0);
        air.read_exact(&mut packet[1 + header..])?;
        kernel.write_all(&packet)?;
    }
}
