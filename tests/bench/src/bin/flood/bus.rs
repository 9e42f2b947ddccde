//! A user of the bus who sends what the bus lets anybody send.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use crate::pace::Pace;

/// Kinds of message (D-Bus specification, "Message Format").
const CALL: u8 = 1;
const SIGNAL: u8 = 4;
/// Header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const DESTINATION: u8 = 6;

struct Message {
    kind: u8,
    path: &'static str,
    interface: &'static str,
    member: &'static str,
    destination: Option<&'static str>,
}

const HELLO: Message = Message {
    kind: CALL,
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    destination: Some("org.freedesktop.DBus"),
};

/// A signal of its own, two that look like BlueZ's, a call of the bus and the dearest one of BlueZ.
const FLOOD: [Message; 5] = [
    Message {
        kind: SIGNAL,
        path: "/flood",
        interface: "org.example.Flood",
        member: "Flood",
        destination: None,
    },
    Message {
        kind: SIGNAL,
        path: "/org/bluez/hci0",
        interface: "org.freedesktop.DBus.Properties",
        member: "PropertiesChanged",
        destination: None,
    },
    Message {
        kind: SIGNAL,
        path: "/",
        interface: "org.freedesktop.DBus.ObjectManager",
        member: "InterfacesRemoved",
        destination: None,
    },
    Message {
        kind: CALL,
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "ListNames",
        destination: Some("org.freedesktop.DBus"),
    },
    Message {
        kind: CALL,
        path: "/",
        interface: "org.freedesktop.DBus.ObjectManager",
        member: "GetManagedObjects",
        destination: Some("org.bluez"),
    },
];

pub(crate) fn flood(socket: &str, per_second: u32) -> io::Result<()> {
    let mut bus = UnixStream::connect(socket)?;
    let mut answers = BufReader::new(bus.try_clone()?);
    let user = std::fs::metadata("/proc/self")?.uid().to_string();
    let user: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
    write!(bus, "\0AUTH EXTERNAL {user}\r\n")?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    if !answer.starts_with("OK ") {
        return Err(io::Error::other(format!("the bus said {answer}")));
    }
    bus.write_all(b"BEGIN\r\n")?;
    bus.write_all(&HELLO.bytes(1))?;
    std::thread::spawn(move || {
        // What the bus answers is read, or it would send no more.
        let mut bytes = [0; 65_536];
        while answers.read(&mut bytes).is_ok_and(|read| read > 0) {}
        eprintln!("flood: the bus hung up");
        std::process::exit(1);
    });
    let mut pace = Pace::new(per_second);
    for message in FLOOD.iter().cycle() {
        let serial = pace.next() + 2;
        bus.write_all(&message.bytes(serial))?;
        if let Some(sent) = pace.news() {
            println!("{sent} messages");
        }
    }
    Ok(())
}

impl Message {
    /// As it is on the wire, without a body.
    fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut fields = Vec::new();
        let mut field = |code: u8, kind: u8, value: &str| {
            fields.resize(fields.len().next_multiple_of(8), 0);
            fields.extend([code, 1, kind, 0]);
            fields.extend((value.len() as u32).to_le_bytes());
            fields.extend(value.as_bytes());
            fields.push(0);
        };
        field(PATH, b'o', self.path);
        field(INTERFACE, b's', self.interface);
        field(MEMBER, b's', self.member);
        if let Some(destination) = self.destination {
            field(DESTINATION, b's', destination);
        }
        let mut bytes = vec![b'l', self.kind, 0, 1];
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(serial.to_le_bytes());
        bytes.extend((fields.len() as u32).to_le_bytes());
        // The fields begin at a multiple of 8, as they must.
        bytes.extend(fields);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}
