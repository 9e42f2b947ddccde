//! The control socket from outside: as real Unix socket clients, honest, hostile and foreign.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drawbridge_daemon::control::client::{Answer, ClientError, ControlClient};
use drawbridge_daemon::control::{
    ControlConfig, ControlError, ControlRequest, ControlSocket, Fault, Response, Status,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(10);

struct Daemon {
    folder: tempfile::TempDir,
    /// Requests that reached the core.
    delivered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Daemon {
    /// A socket with a core that knows `echo`, `count` (streams), `silent` (drops the reply), `hold` (keeps it)
    /// and `flood`.
    fn start(connections: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ControlConfig::new(folder.path().join("run/control.sock"), None);
        config.connections = connections;
        let socket = ControlSocket::bind(config).unwrap();
        let (requests, mut queue) = mpsc::channel::<ControlRequest>(64);
        let delivered = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&delivered);
        let core = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(request) = queue.recv().await {
                counted.fetch_add(1, Ordering::Relaxed);
                match request.verb.as_str() {
                    "echo" => request
                        .reply
                        .done(json!({"data": request.data, "uid": request.peer.uid})),
                    "count" => {
                        for n in 0..3 {
                            request.reply.event(json!(n)).unwrap();
                        }
                        request.reply.done(json!("end"));
                    }
                    "silent" => drop(request.reply),
                    "hold" => held.push(request.reply),
                    "flood" => {
                        let sent = (0..100_000)
                            .take_while(|n| {
                                request.reply.event(json!([n, "x".repeat(1_000)])).is_ok()
                            })
                            .count();
                        assert!(
                            sent < 2_000,
                            "{sent} events of 1 kB were taken for a reader that does not read"
                        );
                    }
                    other => request.reply.refuse(
                        Fault::new("unknown_verb", format!("no verb {other}")).advise("see --help"),
                    ),
                }
            }
        });
        let server = tokio::spawn(socket.serve(requests));
        Self {
            folder,
            delivered,
            tasks: vec![core, server],
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run/control.sock")
    }

    async fn client(&self) -> ControlClient {
        ControlClient::connect(&self.path()).await.unwrap()
    }

    fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Sends raw bytes and reads one line, on a thread of its own as another program would.
async fn raw(path: &Path, bytes: Vec<u8>) -> Option<Response> {
    let path = path.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut half = stream.try_clone().unwrap();
        // The daemon may close while we still send; what it said first is what counts.
        let sender = std::thread::spawn(move || half.write_all(&bytes));
        let mut line = String::new();
        let read = BufReader::new(&mut stream).read_line(&mut line);
        drop(stream.shutdown(std::net::Shutdown::Both));
        drop(sender.join());
        read.ok()
            .filter(|read| *read > 0)
            .map(|_| serde_json::from_str(&line).unwrap())
    });
    asked.await.unwrap()
}

/// Most memory that this process ever had resident.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_streams_and_refusals_reach_their_asker() {
    let daemon = Daemon::start(8);
    let mut client = daemon.client().await;
    let data = client
        .request("echo", json!({"a": [1, "ü"]}), LIMIT)
        .await
        .unwrap();
    assert_eq!(
        data,
        json!({"data": {"a": [1, "ü"]}, "uid": nix::unistd::geteuid().as_raw()})
    );
    let id = client.send("count", json!(null)).await.unwrap();
    for n in 0..3 {
        assert_eq!(client.receive(id).await.unwrap(), Answer::Event(json!(n)));
    }
    assert_eq!(
        client.receive(id).await.unwrap(),
        Answer::Done(json!("end"))
    );
    let refused = client
        .request("nonsense", json!(null), LIMIT)
        .await
        .unwrap_err();
    let ClientError::Refused(fault) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (fault.code.as_str(), fault.advice.as_deref()),
        ("unknown_verb", Some("see --help"))
    );
    assert!(!refused.may_have_succeeded());
    // A core that loses a reply still gives an answer.
    let lost = client
        .request("silent", json!(null), LIMIT)
        .await
        .unwrap_err();
    assert!(
        matches!(&lost, ClientError::Refused(fault) if fault.code == "internal"),
        "{lost:?}"
    );
    assert_eq!(fs::metadata(daemon.path()).unwrap().mode() & 0o777, 0o660);
    assert_eq!(
        fs::metadata(daemon.path().parent().unwrap())
            .unwrap()
            .mode()
            & 0o777,
        0o750
    );
}

/// The inputs that brought other hubs down, as a local program would send them (S22, F18).
#[tokio::test(flavor = "multi_thread")]
async fn s22_hostile_input_gets_an_error() {
    let daemon = Daemon::start(8);
    let expect = [
        (
            "nan",
            br#"{"id":1,"verb":"echo","data":NaN}"#.to_vec(),
            "bad_request",
        ),
        (
            "utf8",
            b"{\"id\":1,\"verb\":\"ec\xffho\"}".to_vec(),
            "bad_request",
        ),
        (
            "duplicate",
            br#"{"id":1,"verb":"echo","verb":"unlock"}"#.to_vec(),
            "bad_request",
        ),
        (
            "unknown field",
            br#"{"id":1,"verb":"echo","sudo":true}"#.to_vec(),
            "bad_request",
        ),
        ("id", br#"{"id":-1,"verb":"echo"}"#.to_vec(), "bad_request"),
        ("verb", br#"{"id":1,"verb":"../../x"}"#.to_vec(), "bad_verb"),
        (
            "verb newline",
            br#"{"id":1,"verb":"a\nb"}"#.to_vec(),
            "bad_verb",
        ),
        (
            "deep",
            [
                br#"{"id":1,"verb":"echo","data":"#.as_slice(),
                "[".repeat(60_000).as_bytes(),
            ]
            .concat(),
            "bad_request",
        ),
        ("empty", Vec::new(), "bad_request"),
        ("binary", (0..=9).chain(11..=255).collect(), "bad_request"),
    ];
    for (name, mut bytes, code) in expect {
        bytes.push(b'\n');
        let answer = raw(&daemon.path(), bytes)
            .await
            .unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, Status::Error, "{name}");
        assert_eq!(
            answer.error.as_ref().unwrap().code,
            code,
            "{name}: {answer:?}"
        );
    }
    let deep = raw(&daemon.path(), vec![b'['; 100_000])
        .await
        .expect("an answer to depth 100,000");
    assert_eq!(deep.error.unwrap().code, "too_long");
    assert_eq!(daemon.delivered(), 0, "nothing of this reached the core");
    assert_eq!(
        daemon
            .client()
            .await
            .request("echo", json!(1), LIMIT)
            .await
            .unwrap()["data"],
        json!(1)
    );
}

/// Connections, requests and events are all bounded (I7): one greedy client does not lock the others out.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_and_slow_readers_are_cut() {
    let daemon = Daemon::start(2);
    let mut slow = daemon.client().await;
    slow.send("flood", json!(null)).await.unwrap();
    let mut other = daemon.client().await;
    assert_eq!(
        other.request("echo", json!(2), LIMIT).await.unwrap()["data"],
        json!(2)
    );
    let mut third = daemon.client().await;
    let busy = third.request("echo", json!(3), LIMIT).await.unwrap_err();
    assert!(
        matches!(&busy, ClientError::Refused(fault) if fault.code == "busy"),
        "{busy:?}"
    );
    assert!(busy.is_temporary());
    drop(other);
    let served = async {
        loop {
            if daemon
                .client()
                .await
                .request("echo", json!(4), LIMIT)
                .await
                .is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, served)
        .await
        .expect("a place that became free is given away");
}

// A line without an end that is kept until it ends is a daemon that any local program can make the kernel
// kill (S22). In a process of its own, because the peak is the whole process's.
#[test]
fn s22_line_of_100_mb_costs_no_memory() {
    const TEST: &str = "control_socket::s22_line_of_100_mb_costs_no_memory";
    if std::env::var_os("CONTROL_PEAK").is_none() {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env("CONTROL_PEAK", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned()
            + &String::from_utf8_lossy(&child.stderr);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = runtime.block_on(async { Daemon::start(8) });
    let (path, piece) = (daemon.path(), vec![b'['; 64 * 1_024]);
    let before = peak_kib();
    for _ in 0..8 {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        // The daemon closes long before the end.
        let sent = (0..1_600).take_while(|_| stream.write_all(&piece).is_ok());
        assert!(sent.count() < 1_600, "100 MB were taken");
        let mut line = String::new();
        if BufReader::new(&mut stream).read_line(&mut line).is_ok() {
            let answer: Response = serde_json::from_str(&line).unwrap();
            assert_eq!(answer.error.unwrap().code, "too_long");
        }
    }
    let grown = peak_kib() - before;
    assert!(grown < 2 * 1_024, "the peak grew by {grown} KiB");
}

// Watchers that were ended with Ctrl-C on a quiet hub kept their places until the next event: soon nobody
// got in any more, not even `status`.
#[tokio::test]
async fn s24_watcher_that_hangs_up_gives_its_place_back() {
    let daemon = Daemon::start(2);
    for _ in 0..2 {
        let mut watcher = UnixStream::connect(daemon.path()).unwrap();
        watcher
            .write_all(b"{\"id\":1,\"verb\":\"hold\",\"data\":{}}\n")
            .unwrap();
    }
    let deadline = std::time::Instant::now() + LIMIT;
    while daemon.delivered() < 2 {
        assert!(std::time::Instant::now() < deadline, "both watch");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    loop {
        let asked = raw(
            &daemon.path(),
            b"{\"id\":2,\"verb\":\"echo\",\"data\":1}\n".to_vec(),
        )
        .await;
        if asked.is_some_and(|answer| answer.status == Status::Ok) {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the places stay taken"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

// One that only says that it will ask no more still gets what it asked for, as with `nc -N`.
#[tokio::test]
async fn half_closed_connection_still_gets_its_answers() {
    let daemon = Daemon::start(2);
    let path = daemon.path();
    let heard = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream
            .write_all(b"{\"id\":1,\"verb\":\"count\",\"data\":{}}\n")
            .unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        BufReader::new(stream).lines().count()
    });
    assert_eq!(heard.await.unwrap(), 4);
}

/// What a foreign user's program would do: connect, ask, print what it is told.
fn ask_as_foreigner(path: &Path) -> String {
    assert!(!nix::unistd::geteuid().is_root(), "still root");
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => return format!("{:?}", error.kind()),
    };
    let mut line = String::new();
    // The daemon may close before it reads; what it said is what counts.
    drop(stream.write_all(b"{\"id\":1,\"verb\":\"echo\"}\n"));
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// Another local user must not get a single request through, even if the modes are wrong (S24).
#[tokio::test(flavor = "multi_thread")]
async fn s24_other_users_are_refused_by_mode_and_by_credentials() {
    if let Some(path) = std::env::var_os("CONTROL_FOREIGNER_SOCKET") {
        println!("\nSAID {}", ask_as_foreigner(Path::new(&path)));
        return;
    }
    assert!(
        nix::unistd::geteuid().is_root(),
        "run this test as root: it must become another user to show the claim"
    );
    let daemon = Daemon::start(8);
    let path = daemon.path();
    fs::set_permissions(daemon.folder.path(), Permissions::from_mode(0o755)).unwrap();
    // The build folder may be closed to others.
    let program = daemon.folder.path().join("foreigner");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let as_nobody = || {
        let (path, program) = (path.clone(), program.clone());
        tokio::task::spawn_blocking(move || {
            let output = Command::new("setpriv")
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(program)
                .args([
                    "--exact",
                    "control_socket::s24_other_users_are_refused_by_mode_and_by_credentials",
                    "--nocapture",
                ])
                .env("CONTROL_FOREIGNER_SOCKET", path)
                .current_dir("/")
                .output()
                .expect("setpriv (util-linux) can be run");
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            let line = said.lines().find_map(|line| line.strip_prefix("SAID "));
            line.unwrap_or_else(|| panic!("the foreigner said nothing: {said}"))
                .to_owned()
        })
    };
    assert_eq!(
        as_nobody().await.unwrap(),
        "PermissionDenied",
        "by the folder's mode"
    );
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        as_nobody().await.unwrap(),
        "PermissionDenied",
        "by the socket's mode"
    );
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let answer: Response = serde_json::from_str(&as_nobody().await.unwrap()).unwrap();
    assert_eq!(answer.error.unwrap().code, "forbidden", "by credentials");
    assert_eq!(daemon.delivered(), 0);
}

/// A crash leaves a socket file; a second daemon must not take over the first one's.
#[tokio::test(flavor = "multi_thread")]
async fn stale_socket_is_replaced_and_a_live_one_is_not() {
    let daemon = Daemon::start(2);
    let second = ControlSocket::bind(ControlConfig::new(daemon.path(), None)).unwrap_err();
    assert!(matches!(second, ControlError::InUse { .. }), "{second:?}");

    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let socket = ControlSocket::bind(ControlConfig::new(&stale, None)).unwrap();
    drop(socket);
    assert!(!stale.exists(), "the socket goes with the daemon");
    fs::write(&stale, b"precious").unwrap();
    assert!(ControlSocket::bind(ControlConfig::new(&stale, None)).is_err());
    assert_eq!(
        fs::read(&stale).unwrap(),
        b"precious",
        "a file that is no socket stays"
    );
    let unreachable = ControlClient::connect(&folder.path().join("none.sock"))
        .await
        .unwrap_err();
    assert!(matches!(unreachable, ClientError::Unreachable { .. }) && unreachable.is_temporary());
    let no_group = ControlSocket::bind(ControlConfig::new(
        folder.path().join("x.sock"),
        Some("no-such-group".into()),
    ));
    assert!(matches!(no_group, Err(ControlError::NoSuchGroup { .. })));
}
