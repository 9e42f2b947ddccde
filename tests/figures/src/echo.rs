//! P02, inside the guest: round trips to the echo of a simulated lock, as the hub makes them and as a plain client does.
//!
//! The hub's way is its own radio, session records and fragments. The plain client waits on a socket of the kernel, or on
//! BlueZ's file descriptors for a characteristic, and sends as many bytes as the hub has on the air. The lock's end is the
//! same program with the same host; the first packet of a link says which of the two it is to be.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bluer::gatt::remote::Characteristic;
use bluer::l2cap::{Security, SecurityLevel, SeqPacket, Socket, SocketAddr};
use bluer::{Adapter, AddressType, Uuid};
use clap::Args;
use drawbridge_daemon::config::Radio;
use drawbridge_daemon::radio::bluez::Bluez;
use drawbridge_daemon::radio::{Address, LinkId, Passkey, RadioAction, RadioEvent};
use drawbridge_protocol::frame::{Fragmenter, Reassembler};
use drawbridge_protocol::gatt;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::SharedSecret;
use drawbridge_protocol::link_message::{MAX_PLAINTEXT, MAX_RECORD};
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::session::{Label, Role, Session};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{MsgFlags, recv, send};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Failure;

/// Plaintext of a round trip, bytes: with the record around it one packet.
const TEXT: usize = 128;
/// Round trips before the first one that counts.
const WARM_UP: usize = 20;
/// For the lock to be heard and connected to, and for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the bond that the hub makes meanwhile.
const SETTLE: Duration = Duration::from_secs(5);

/// Round trips.
#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// How many each way.
    count: usize,
    /// Over GATT and not over a channel.
    #[arg(long)]
    gatt: bool,
    /// The file with the text of the lock's code, for its passkey.
    #[arg(long)]
    code: PathBuf,
    /// Before the names of the values.
    #[arg(long, default_value = "")]
    label: String,
}

impl Echo {
    /// Makes all round trips and prints their times as the guest's values.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (sealed, size, address) = self.sealed().await?;
            self.tell("sealed", &sealed);
            tokio::time::sleep(SETTLE).await;
            let plain = if self.gatt {
                over_attributes(&address, size, self.count).await?
            } else {
                over_channel(&address, size, self.count).await?
            };
            self.tell("plain", &plain);
            println!("VALUE {}bytes {size}", self.label);
            Ok(())
        })
    }

    fn tell(&self, name: &str, times: &[Duration]) {
        let words: Vec<String> = times
            .iter()
            .map(|time| time.as_micros().to_string())
            .collect();
        println!("VALUE {}{name}_us {}", self.label, words.join(" "));
    }

    /// As the hub does it. Answers the size of a packet, too, and where the lock is.
    async fn sealed(&self) -> Result<(Vec<Duration>, usize, Address), Failure> {
        let config = Radio {
            gatt_only: self.gatt,
            ..Radio::default()
        };
        let code = std::fs::read_to_string(&self.code)?;
        let passkey = QrCode::from_text(code.trim())?.keys().passkey;
        let state = Path::new("/run/echo");
        std::fs::create_dir_all(state)?;
        let (actions, queue) = mpsc::channel(64);
        let (tell, mut events) = mpsc::channel(1_024);
        let radio = tokio::spawn(Bluez::new(&config, state).run(queue, tell));
        actions.send(RadioAction::Scan { on: true }).await?;
        let address = loop {
            if let RadioEvent::Seen { address, .. } = next(&mut events).await? {
                break address;
            }
        };
        actions.send(RadioAction::Scan { on: false }).await?;
        let link = LinkId(1);
        actions
            .send(RadioAction::Connect {
                link,
                address: address.clone(),
                lock: LockId([1; 8]),
                passkey: Passkey::new(passkey),
            })
            .await?;
        let packet_size = loop {
            match next(&mut events).await? {
                RadioEvent::LinkUp { packet_size, .. } => break packet_size,
                RadioEvent::ConnectFailed { reason, .. } => {
                    return Err(format!("no link: {reason:?}").into());
                }
                _ => {}
            }
        };
        packet(&mut events).await?;
        let ask = RadioAction::Send {
            link,
            packet: b"sealed".to_vec(),
        };
        actions.send(ask).await?;
        tokio::time::sleep(SETTLE).await;
        let mut peer = Peer::new(packet_size);
        let (mut times, mut size) = (Vec::new(), 0);
        for turn in 0..WARM_UP + self.count {
            let text = [turn as u8; TEXT];
            let began = Instant::now();
            let packets = peer.seal(&text)?;
            size = packets.iter().map(Vec::len).sum();
            for packet in packets {
                actions.send(RadioAction::Send { link, packet }).await?;
            }
            let answer = loop {
                let packet = packet(&mut events).await?;
                if let Some(answer) = peer.open(&packet)? {
                    break answer;
                }
            };
            let took = began.elapsed();
            if answer != text {
                return Err("another text came back".into());
            }
            if turn >= WARM_UP {
                times.push(took);
            }
        }
        actions.send(RadioAction::Disconnect { link }).await?;
        while !matches!(next(&mut events).await?, RadioEvent::LinkDown { .. }) {}
        drop(actions);
        radio.await?;
        Ok((times, size, address))
    }
}

async fn next(events: &mut mpsc::Receiver<RadioEvent>) -> Result<RadioEvent, Failure> {
    let event = timeout(PATIENCE, events.recv()).await?;
    Ok(event.ok_or("the radio ended")?)
}

async fn packet(events: &mut mpsc::Receiver<RadioEvent>) -> Result<Vec<u8>, Failure> {
    loop {
        match next(events).await? {
            RadioEvent::Packet { bytes, .. } => return Ok(bytes),
            RadioEvent::LinkDown { reason, .. } => {
                return Err(format!("the link ended: {reason:?}").into());
            }
            _ => {}
        }
    }
}

/// The hub's end of the session that the echo has, whose keys everybody knows.
struct Peer {
    session: Session,
    whole: Reassembler,
    fragments: Fragmenter,
    packet: usize,
}

impl Peer {
    fn new(packet: usize) -> Self {
        let label = Label {
            id: [3; 8],
            to_lock: 0,
            to_peer: 0,
        };
        let (to_lock, to_peer) = (SharedSecret::new([1; 32]), SharedSecret::new([2; 32]));
        Self {
            session: Session::new(Role::Peer, to_lock, to_peer, label, label),
            whole: Reassembler::new(),
            fragments: Fragmenter::new(),
            packet,
        }
    }

    fn seal(&mut self, text: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let (mut record, mut scratch) = ([0; MAX_RECORD], vec![0; self.packet]);
        let record = self.session.seal(text, &mut record)?;
        let mut packets = Vec::new();
        let send = |fragment: &[u8]| packets.push(fragment.to_vec());
        self.fragments
            .cut(record, &mut scratch, self.packet, send)?;
        Ok(packets)
    }

    fn open(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let Some(record) = self.whole.push(packet)? else {
            return Ok(None);
        };
        let mut room = [0; MAX_PLAINTEXT];
        Ok(Some(
            self.session.open(record, &mut room)?.plaintext.to_vec(),
        ))
    }
}

/// `ADAPTER/LOCK/r`, as the hub's radio names a place.
fn place(address: &Address) -> Result<(bluer::Address, bluer::Address), Failure> {
    let mut parts = address.as_str().split('/');
    let adapter = parts.next().ok_or("no adapter")?.parse()?;
    Ok((adapter, parts.next().ok_or("no lock")?.parse()?))
}

async fn adapter() -> Result<Adapter, Failure> {
    Ok(bluer::Session::new().await?.default_adapter().await?)
}

/// Listens until BlueZ has heard the lock again, which it forgets when nobody uses it.
async fn heard(adapter: &Adapter, lock: bluer::Address) -> Result<(), Failure> {
    use futures_util::StreamExt;
    let mut found = Box::pin(adapter.discover_devices().await?);
    let heard = async {
        while let Some(event) = found.next().await {
            if matches!(event, bluer::AdapterEvent::DeviceAdded(device) if device == lock) {
                return;
            }
        }
    };
    Ok(timeout(PATIENCE, heard).await?)
}

/// A socket of the kernel, and nothing else.
async fn over_channel(
    address: &Address,
    size: usize,
    count: usize,
) -> Result<Vec<Duration>, Failure> {
    let (from, lock) = place(address)?;
    let adapter = adapter().await?;
    heard(&adapter, lock).await?;
    // Under this the kernel knows a lock that is bonded.
    let device = adapter.device(lock)?;
    let (lock, kind) = (device.remote_address().await?, device.address_type().await?);
    // A lock takes one channel of a connection: that of the link before must be over.
    let over = async {
        while device.is_connected().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bluer::Result::Ok(())
    };
    timeout(PATIENCE, over).await??;
    let socket: Socket<SeqPacket> = Socket::new_seq_packet()?;
    socket.bind(SocketAddr::new(from, AddressType::LePublic, 0))?;
    socket.set_security(Security {
        level: SecurityLevel::Low,
        key_size: 0,
    })?;
    socket.set_recv_mtu(gatt::MAX_PACKET)?;
    let lock = SocketAddr::new(lock, kind, gatt::PSM);
    let socket = timeout(PATIENCE, socket.connect(lock)).await??;
    let fd = socket.as_raw_fd();
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    let mut room = [0; 512];
    // It speaks first.
    recv(fd, &mut room, MsgFlags::empty())?;
    send(fd, b"plain", MsgFlags::empty())?;
    std::thread::sleep(SETTLE);
    let mut times = Vec::new();
    for turn in 0..WARM_UP + count {
        let text = vec![turn as u8; size];
        let began = Instant::now();
        send(fd, &text, MsgFlags::empty())?;
        let length = recv(fd, &mut room, MsgFlags::empty())?;
        let took = began.elapsed();
        if room.get(..length) != Some(text.as_slice()) {
            return Err("other bytes came back".into());
        }
        if turn >= WARM_UP {
            times.push(took);
        }
    }
    Ok(times)
}

/// BlueZ's file descriptors for the two characteristics.
async fn over_attributes(
    address: &Address,
    size: usize,
    count: usize,
) -> Result<Vec<Duration>, Failure> {
    let (_, lock) = place(address)?;
    let adapter = adapter().await?;
    heard(&adapter, lock).await?;
    let device = adapter.device(lock)?;
    timeout(PATIENCE, device.connect()).await??;
    let (mut inbox, mut outbox) = (None, None);
    for service in timeout(PATIENCE, device.services()).await?? {
        if service.uuid().await? == Uuid::from_u128(gatt::SERVICE) {
            for one in service.characteristics().await? {
                match one.uuid().await?.as_u128() {
                    gatt::INBOX => inbox = Some(one),
                    gatt::OUTBOX => outbox = Some(one),
                    _ => {}
                }
            }
        }
    }
    let found: Option<(Characteristic, Characteristic)> = inbox.zip(outbox);
    let (inbox, outbox) = found.ok_or("the lock has no service")?;
    let from_lock = outbox.notify_io().await?;
    let to_lock = inbox.write_io().await?;
    timeout(PATIENCE, from_lock.recv()).await??;
    to_lock.send(b"plain").await?;
    tokio::time::sleep(SETTLE).await;
    let mut times = Vec::new();
    for turn in 0..WARM_UP + count {
        let text = vec![turn as u8; size];
        let began = Instant::now();
        to_lock.send(&text).await?;
        let answer = timeout(PATIENCE, from_lock.recv()).await??;
        let took = began.elapsed();
        if answer != text {
            return Err("other bytes came back".into());
        }
        if turn >= WARM_UP {
            times.push(took);
        }
    }
    Ok(times)
}
