//! Ways to a Bluetooth controller.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use bt_hci::controller::ExternalController;
use bt_hci_serial::SerialTransport;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_io_adapters::tokio_1::FromTokio;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Commands that may wait for an answer at once.
const SLOTS: usize = 10;

type TcpTransport = SerialTransport<NoopRawMutex, FromTokio<Prompt>, FromTokio<OwnedWriteHalf>>;

/// Reads, and acknowledges at once.
///
/// RootCanal: gives a packet to TCP in two pieces, of which the second waits for the acknowledgement of the first (Nagle's
/// rule), and the kernel delays that for 40 ms. Seen: 1.13, each packet 44 ms late. So: it is not delayed.
pub(super) struct Prompt(OwnedReadHalf);

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(context, into);
        // A kernel that cannot do so is slower, and nothing else.
        let _prompt = self.0.as_ref().set_quickack(true);
        read
    }
}

/// A controller that was reached.
pub(super) enum Open {
    /// Behind a TCP port, H4 framed.
    Tcp(ExternalController<TcpTransport, SLOTS>),
    /// Taken from the kernel.
    User(ExternalController<bt_hci_linux::Transport, SLOTS>),
}

/// Where a controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HciAddress {
    /// `tcp:HOST:PORT`: an H4 stream.
    Tcp(String),
    /// `user:hciN`: an HCI user channel of the kernel; the adapter must be down.
    User(u16),
}

impl FromStr for HciAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "use tcp:HOST:PORT or user:hciN".to_owned();
        match text.split_once(':').ok_or_else(wrong)? {
            ("tcp", peer) => {
                let (host, port) = peer.rsplit_once(':').ok_or_else(wrong)?;
                let port: u16 = port.parse().map_err(|_| wrong())?;
                if host.is_empty() || port == 0 {
                    return Err(wrong());
                }
                Ok(Self::Tcp(peer.to_owned()))
            }
            ("user", name) => {
                let number = name.strip_prefix("hci").ok_or_else(wrong)?;
                Ok(Self::User(number.parse().map_err(|_| wrong())?))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for HciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(peer) => write!(f, "tcp:{peer}"),
            Self::User(number) => write!(f, "user:hci{number}"),
        }
    }
}

/// Reaches the controller.
pub(super) async fn open(address: &HciAddress) -> io::Result<Open> {
    match address {
        HciAddress::Tcp(peer) => {
            let stream = TcpStream::connect(peer).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            let transport =
                SerialTransport::new(FromTokio::new(Prompt(reader)), FromTokio::new(writer));
            Ok(Open::Tcp(ExternalController::new(transport)))
        }
        HciAddress::User(number) => {
            let transport = bt_hci_linux::Transport::new(*number)?;
            Ok(Open::User(ExternalController::new(transport)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards: a lock on a controller that nobody meant.
    #[test]
    fn addresses_read_back_and_others_are_refused() {
        for text in [
            "tcp:127.0.0.1:9001",
            "tcp:[::1]:1",
            "tcp:air:65535",
            "user:hci12",
        ] {
            assert_eq!(text.parse::<HciAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "tcp",
            "tcp:9001",
            "tcp::9001",
            "tcp:a:0",
            "user:1",
            "user:hci",
            "hci0",
        ] {
            assert!(text.parse::<HciAddress>().is_err(), "{text}");
        }
    }
}
