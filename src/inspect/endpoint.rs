//! Where it listens, and how much of it strangers can take.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::inspect::registry::Registry;
use crate::inspect::routes::router;

/// Connections at a time. When one more comes, one that has asked for nothing yet goes, or else the oldest.
const CONNECTIONS_MAX: usize = 128;
/// How long a request's head may take to come.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// How large it may be, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long a connection may take, and then to read the last answer.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The same of one that listens to events: a browser comes back by itself.
const LISTENING_WITHIN: Duration = Duration::from_secs(600);
/// Connections that wait to be accepted.
const QUEUED_MAX: i32 = 128;
/// Pause after no connection could be accepted, for want of descriptors say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A port of this machine's own addresses.
    Tcp(SocketAddr),
    /// A socket in the file system, of its user alone.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `127.0.0.1:9464`, `[::1]:0`, or `unix:/path/of/socket`.
impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| format!("`{text}` is neither ADDRESS:PORT nor unix:PATH"))
    }
}

/// A running endpoint; it closes when this is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _file: Option<SocketFile>,
}

impl Endpoint {
    /// Serves `registry` on `address`, in a thread of its own. Port 0 picks a free one. A socket's file that nobody listens on is
    /// replaced.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address that other machines can reach; the address cannot be bound, or no thread or
    /// socket can be had.
    pub fn serve(address: &Address, registry: Registry) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (listener, address) = {
            let _sockets_belong_to_it = runtime.enter();
            Listener::bind(address)?
        };
        let file = match &address {
            Address::Tcp(_) => None,
            Address::Unix(path) => Some(SocketFile { path: path.clone(), identity: identity(path)? }),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(registry);
        let thread = std::thread::Builder::new().name("tidegate-inspect".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, router) => {}
                    _asked_to_stop = stopped => {}
                }
            });
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread), _file: file })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _a_panic_there_was_reported_there = thread.join();
        }
    }
}

/// The file of a socket, removed with this if it is that still.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _gone_already = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// What is read from and written to.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Listener {
    /// Binds, within a runtime; yields where.
    fn bind(address: &Address) -> io::Result<(Self, Address)> {
        match address {
            Address::Tcp(address) => {
                let listener = bind(*address)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(tokio::net::TcpListener::from_std(listener)?), address))
            }
            Address::Unix(path) => {
                let listener = tokio::net::UnixListener::from_std(bind_unix(path)?)?;
                Ok((Self::Unix(listener), address.clone()))
            }
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let why = format!("{address} can be reached from other machines: listen on 127.0.0.1, [::1] or a Unix socket");
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path)?;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before it listens, so that nobody else is in already (unix(7)).
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, QUEUED_MAX)?;
    Ok(socket.into())
}

async fn serve(listener: Listener, router: Router) {
    let mut connections = Connections::default();
    loop {
        match listener.accept().await {
            Ok(stream) => connections.serve(stream, &router),
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Those that are open, oldest first.
#[derive(Default)]
struct Connections {
    open: VecDeque<Connection>,
}

struct Connection {
    task: AbortHandle,
    has_asked: Arc<AtomicBool>,
}

impl Connections {
    fn serve(&mut self, stream: Box<dyn Stream>, router: &Router) {
        self.make_room();
        let has_asked = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(converse(stream, router.clone(), Arc::clone(&has_asked))).abort_handle();
        self.open.push_back(Connection { task, has_asked });
    }

    fn make_room(&mut self) {
        if self.open.len() < CONNECTIONS_MAX {
            return;
        }
        self.open.retain(|connection| !connection.task.is_finished());
        if self.open.len() >= CONNECTIONS_MAX {
            let silent = self.open.iter().position(|connection| !connection.has_asked.load(Relaxed));
            if let Some(connection) = self.open.remove(silent.unwrap_or(0)) {
                connection.task.abort();
            }
        }
    }
}

async fn converse(stream: Box<dyn Stream>, router: Router, has_asked: Arc<AtomicBool>) {
    let listens = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        has_asked.store(true, Relaxed);
        listens.store(request.uri().path() == "/events", Relaxed);
        let mut router = router.clone();
        async move { tower_service::Service::call(&mut router, request).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_BYTES_MAX);
    let conversation = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(conversation);
    tokio::select! {
        _over_or_broken = &mut conversation => return,
        () = tokio::time::sleep(CONNECTION_WITHIN) => {}
    }
    let more = if listens.load(Relaxed) { LISTENING_WITHIN } else { LAST_ANSWER_WITHIN };
    conversation.as_mut().graceful_shutdown();
    let _cut_off_where_it_takes_longer = tokio::time::timeout(more, conversation).await;
}
