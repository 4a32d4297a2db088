//! The sockets: statistics, admin over TCP, admin over the Unix socket.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use futures::future::join_all;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use slog::{Logger, debug, warn};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::routes::{self, App};
use super::socket::AdminSocket;
use super::sources::Sources;
use crate::access::Gate;
use crate::net::TimeSource;

/// Connections at a time, on each socket; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// Time for a request's headers, and between two requests of one connection.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's headers.
const HEADERS_LEN_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// The longest that a connection lasts: nobody keeps a place by reading one byte an hour.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Time for one line of the statistics, and for its reader to close.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a reader of the statistics may send: nothing is expected, and so much of it is thrown away.
const DISCARD_MAX: u64 = 64 * 1024;
/// After an error of `accept`: out of descriptors does not go away by asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The bound sockets, those of TCP with whom they let in; none is a process that is not looked at.
#[derive(Debug, Default)]
pub struct Doors {
    /// `statServerPort`.
    pub statistics: Option<(TcpListener, Arc<Gate>)>,
    /// `adminPort`.
    pub admin: Option<(TcpListener, Arc<Gate>)>,
    /// `adminSocket`.
    pub socket: Option<AdminSocket>,
}

/// Who is at the other end of the Unix socket, as the kernel says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) uid: Option<u32>,
    pub(super) pid: Option<i32>,
}

impl Doors {
    /// Whether there is anything to serve.
    pub fn is_empty(&self) -> bool {
        self.statistics.is_none() && self.admin.is_none() && self.socket.is_none()
    }
}

/// Serves until `stop`. The sockets must not block.
///
/// # Errors
/// A socket cannot be used by the runtime.
pub async fn serve(
    mut doors: Doors,
    sources: Sources,
    log: Logger,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let app = App { sources: Arc::new(sources), log: log.clone() };
    let mut open: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
    if let Some((listener, gate)) = doors.statistics.take() {
        let (listener, sources) = (Listener::new(listener, gate, &app)?, app.sources.clone());
        open.push(Box::pin(accept_tcp(listener, move |stream| tell_statistics(stream, sources.clone()))));
    }
    if let Some((listener, gate)) = doors.admin.take() {
        let (listener, router) = (Listener::new(listener, gate, &app)?, routes::read_only(app.clone()));
        open.push(Box::pin(accept_tcp(listener, move |stream| answer(stream, router.clone()))));
    }
    if let Some(listener) = doors.socket.as_mut().and_then(AdminSocket::take) {
        let listener = UnixListener::from_std(listener)?;
        let router = routes::with_commands(app);
        open.push(Box::pin(accept_unix(listener, log.clone(), router)));
    }
    tokio::select! {
        _ = join_all(open) => {}
        () = stop => {}
    }
    Ok(())
}

/// A TCP socket, and whom it lets in.
struct Listener {
    listener: tokio::net::TcpListener,
    gate: Arc<Gate>,
    clock: TimeSource,
    log: Logger,
}

impl Listener {
    fn new(listener: TcpListener, gate: Arc<Gate>, app: &App) -> io::Result<Listener> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Listener { listener, gate, clock: app.sources.clock.clone(), log: app.log.clone() })
    }
}

/// Accepts for as long as it is polled, and spawns what `serve` makes of each connection.
async fn accept_tcp<F>(door: Listener, serve: impl Fn(TcpStream) -> F + Send)
where
    F: Future<Output = ()> + Send + 'static,
{
    let Listener { listener, gate, clock, log } = door;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((_, peer)) if !gate.lets_in(peer, &clock, &log) => {}
            Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let served = serve(stream);
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(_) => debug!(log, "admin connection closed: too many are open"; "peer" => %peer),
            },
            Err(error) => not_accepted(&log, &error).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, log: Logger, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let router = router.clone().layer(Extension(peer_of(&stream)));
                tokio::spawn(async move {
                    answer(stream, router).await;
                    drop(place);
                });
            }
            Err(error) => not_accepted(&log, &error).await,
        }
    }
}

fn peer_of(stream: &UnixStream) -> Peer {
    match stream.peer_cred() {
        Ok(credentials) => Peer { uid: Some(credentials.uid()), pid: credentials.pid() },
        Err(_) => Peer::default(),
    }
}

async fn not_accepted(log: &Logger, error: &io::Error) {
    warn!(log, "no admin connection could be accepted"; "reason" => %error);
    sleep(ACCEPT_PAUSE).await;
}

/// One line, and the end. The reader's close is waited for a little: closing with unread bytes would be a reset, which
/// can destroy the line on its way.
async fn tell_statistics(mut stream: TcpStream, sources: Arc<Sources>) {
    let told = async {
        let Some(line) = sources.statistics().await else { return };
        if stream.write_all(line.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = stream.take(DISCARD_MAX);
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    };
    let _ = timeout(LINE_TIMEOUT, told).await;
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whatever is wrong with a connection is its peer's affair.
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}
