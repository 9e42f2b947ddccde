//! One connection: lines in, lines out, all bounded.

use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::access::Peer;
use super::frame::{Fault, MAX_LINE, Request, Response};
use super::reply::{ControlRequest, Reply};
use crate::strict_json;

/// Answers and events that may wait for a slow reader.
const OUTGOING: usize = 256;
/// Time to take one line from us.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Time from a line's first byte to its last.
const LINE_LIMIT: Duration = Duration::from_secs(10);
/// How often a peer that will ask no more is looked at: has it hung up, or does it still listen?
const LOOK: Duration = Duration::from_secs(2);
/// Requests a second; faster askers wait for their turn, the socket's own buffer holding them back.
const RATE: f64 = 50.0;
/// Requests at once before the rate applies.
const BURST: f64 = 100.0;

/// Tokens that refill with time (a leaky bucket seen from the other side).
struct Rate {
    tokens: f64,
    at: Instant,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            at: now,
        }
    }

    /// Takes one token; says when the request may go on.
    fn take(&mut self, now: Instant) -> Instant {
        self.tokens =
            (self.tokens + now.duration_since(self.at).as_secs_f64() * RATE).min(BURST) - 1.0;
        self.at = now;
        if self.tokens >= 0.0 {
            now
        } else {
            now + Duration::from_secs_f64(-self.tokens / RATE)
        }
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    TooSlow,
    End,
}

/// Reads one line without ever holding more than [`MAX_LINE`] bytes of it.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Line> {
    let mut line = Vec::new();
    let mut deadline = None;
    loop {
        let filled = match deadline {
            None => reader.fill_buf().await?,
            Some(deadline) => match tokio::time::timeout_at(deadline, reader.fill_buf()).await {
                Ok(filled) => filled?,
                Err(_) => return Ok(Line::TooSlow),
            },
        };
        if filled.is_empty() {
            return Ok(Line::End);
        }
        deadline.get_or_insert_with(|| Instant::now() + LINE_LIMIT);
        let newline = filled.iter().position(|byte| *byte == b'\n');
        let taken = newline.unwrap_or(filled.len());
        if line.len() + taken > MAX_LINE {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&filled[..taken]);
        reader.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(Line::Whole(line));
        }
    }
}

/// Serves a peer that was admitted, until it goes or misbehaves.
pub(super) async fn serve(stream: UnixStream, peer: Peer, core: mpsc::Sender<ControlRequest>) {
    let (read, write) = stream.into_split();
    let (outgoing, queue) = mpsc::channel(OUTGOING);
    let (still_asking, no_more) = oneshot::channel();
    let writer = tokio::spawn(write_lines(write, queue, no_more));
    let mut reader = BufReader::new(read);
    let mut rate = Rate::new(Instant::now());
    // When the writer has given up, reading on would only keep a dead connection's place taken.
    tokio::select! {
        () = read_requests(&mut reader, peer, &core, &outgoing, &mut rate) => {}
        () = outgoing.closed() => {}
    }
    drop((outgoing, still_asking));
    // Requests under way hold senders of their own: their answers are still written.
    if writer.await.is_err() {
        log::warn!(event = "control_writer_failed", uid = peer.uid; "a control connection's writer ended badly");
    }
}

async fn read_requests(
    reader: &mut (impl AsyncBufRead + Unpin),
    peer: Peer,
    core: &mpsc::Sender<ControlRequest>,
    outgoing: &mpsc::Sender<Response>,
    rate: &mut Rate,
) {
    loop {
        let fault = match read_line(reader).await {
            Ok(Line::Whole(line)) => {
                sleep_until(rate.take(Instant::now())).await;
                if admit(&line, peer, core, outgoing).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(Line::TooLong) => {
                Fault::new("too_long", format!("a line may hold {MAX_LINE} bytes"))
                    .advise("send less in one request")
            }
            Ok(Line::TooSlow) => Fault::new("too_slow", "the line did not end in time"),
            Ok(Line::End) | Err(_) => return,
        };
        // The line's end is not known any more: say why, and close.
        drop(outgoing.send(Response::error(None, fault)).await);
        return;
    }
}

/// The connection cannot go on.
struct Closed;

async fn admit(
    line: &[u8],
    peer: Peer,
    core: &mpsc::Sender<ControlRequest>,
    outgoing: &mpsc::Sender<Response>,
) -> Result<(), Closed> {
    let answer = outgoing.clone().reserve_owned().await.map_err(|_| Closed)?;
    let request: Request = match strict_json::decode(line, MAX_LINE) {
        Ok(request) => request,
        Err(error) => {
            let advice = r#"send one object a line: {"id":1,"verb":"status","data":{}}"#;
            answer.send(Response::error(
                None,
                Fault::new("bad_request", error.to_string()).advise(advice),
            ));
            return Ok(());
        }
    };
    if !request.has_sound_verb() {
        let fault = Fault::new(
            "bad_verb",
            "a verb is 1 to 64 of a-z, 0-9, dot and underscore",
        );
        answer.send(Response::error(Some(request.id), fault));
        return Ok(());
    }
    let reply = Reply::new(request.id, outgoing.clone(), answer);
    let request = ControlRequest {
        verb: request.verb,
        data: request.data,
        peer,
        reply,
    };
    if let Err(unsent) = core.send(request).await {
        unsent.0.reply.refuse(
            Fault::new("stopping", "the daemon is stopping").advise("try again in a moment"),
        );
        return Err(Closed);
    }
    Ok(())
}

/// Ends when nothing more can come, or nobody listens: a watcher that hung up would otherwise keep
/// its place until the next event, which on a quiet hub is hours away.
async fn write_lines(
    mut write: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Response>,
    mut no_more: oneshot::Receiver<()>,
) {
    let mut asks = true;
    loop {
        let response = tokio::select! {
            response = queue.recv() => response,
            _ = &mut no_more, if asks => {
                asks = false;
                if has_hung_up(&write).await {
                    return;
                }
                continue;
            }
            () = sleep(LOOK), if !asks => {
                if has_hung_up(&write).await {
                    return;
                }
                continue;
            }
        };
        let Some(response) = response else {
            return;
        };
        match timeout(WRITE_LIMIT, write.write_all(&response.line())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// Whether the peer has closed both ways; one that only asks no more still gets its answers.
async fn has_hung_up(write: &OwnedWriteHalf) -> bool {
    let ready = timeout(Duration::ZERO, write.ready(Interest::WRITABLE)).await;
    matches!(ready, Ok(Ok(ready)) if ready.is_write_closed())
}

/// Says one thing to a peer that is not served, and closes.
pub(super) async fn turn_away(mut stream: UnixStream, fault: Fault) {
    // Whether it still listens is its own affair.
    drop(
        timeout(
            WRITE_LIMIT,
            stream.write_all(&Response::error(None, fault).line()),
        )
        .await,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_lets_a_burst_through_and_then_spaces_requests() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let times: Vec<_> = (0..150).map(|_| rate.take(start)).collect();
        assert!(times[..100].iter().all(|at| *at == start));
        let last = times[149].duration_since(start);
        assert!(
            (last.as_secs_f64() - 1.0).abs() < 0.01,
            "50 over the burst take a second: {last:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn line_that_never_ends_is_cut_by_time_and_by_length() {
        use tokio::io::AsyncWriteExt as _;
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(b"{\"id\":").await.unwrap();
        let mut far = BufReader::new(far);
        assert!(matches!(read_line(&mut far).await.unwrap(), Line::TooSlow));

        let long = vec![b'a'; MAX_LINE + 1];
        assert!(matches!(
            read_line(&mut long.as_slice()).await.unwrap(),
            Line::TooLong
        ));
        let mut fits = vec![b'a'; MAX_LINE];
        fits.push(b'\n');
        assert!(
            matches!(read_line(&mut fits.as_slice()).await.unwrap(), Line::Whole(line) if line.len() == MAX_LINE)
        );
    }
}
