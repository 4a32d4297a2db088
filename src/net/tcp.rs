//! Real sockets: TCP with the options that a payment link wants.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Accept, Connected, Dial, Dialling, Stream, peer};

/// How long one attempt to connect may take, the look-up of the name included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that the kernel holds for us while we are busy. Linux cuts it to `somaxconn` (4096 today).
const BACKLOG: i32 = 4096;

/// A silent connection is probed after this time …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// … then at this interval …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and given up after so many probes without an answer.
const KEEPALIVE_PROBES: u32 = 3;

impl Stream for TcpStream {
    fn unacknowledged(&self) -> io::Result<usize> {
        peer::unacknowledged(self)
    }

    fn has_failed(&self) -> bool {
        matches!(peer::connection(self), Ok(peer::Connection::Gone)) || !matches!(self.take_error(), Ok(None))
    }

    fn abort_on_close(&self) {
        // A socket that is already dead refuses the option; there is nothing to abort then.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    fn poll_recv<'b>(
        &mut self,
        cx: &mut Context<'_>,
        room: &'b mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<&'b mut [u8]>> {
        let mut came = None;
        let tried = self.try_io(Interest::READABLE, || {
            let ((bytes, left), _) = recv(&*self, room, RecvFlags::empty())?;
            let is_all = !bytes.is_empty() && !left.is_empty();
            came = Some(bytes);
            until(is_all)
        });
        if came.is_none() && is_blocked(&tried) {
            ready!(self.poll_read_ready(cx))?;
            // Some have come in between.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(came.map_or_else(|| tried.map(|()| &mut [][..]), Ok))
    }

    fn may_have_come(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut sent = None;
        let tried = self.try_io(Interest::WRITABLE, || {
            let count = send(&*self, bytes, SendFlags::NOSIGNAL)?;
            sent = Some(count);
            until(0 < count && count < bytes.len())
        });
        if sent.is_none() && is_blocked(&tried) {
            ready!(self.poll_write_ready(cx))?;
            // There is room since then.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(sent.map_or_else(|| tried.map(|()| 0), Ok))
    }
}

/// What tokio is to think of the socket. Where a call did less than it might have (`is_all`), the next would do nothing:
/// that is known without making it, and the kernel tells when there is more to do.
fn until(is_all: bool) -> io::Result<()> {
    if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
}

fn is_blocked(tried: &io::Result<()>) -> bool {
    tried.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Connects to a host by name or address, and port.
pub struct Dialler {
    host: String,
    port: u16,
    user_timeout: Option<Duration>,
}

impl Dialler {
    /// For one host. With `user_timeout` the kernel fails a connection whose peer acknowledges nothing for so long. Without
    /// it, a host that has vanished is written to for a quarter of an hour (Linux only).
    pub fn new(host: impl Into<String>, port: u16, user_timeout: Option<Duration>) -> Dialler {
        Dialler { host: host.into(), port, user_timeout }
    }
}

impl Dial for Dialler {
    type Stream = TcpStream;

    fn dial(&mut self) -> Dialling<TcpStream> {
        let (host, port, user_timeout) = (self.host.clone(), self.port, self.user_timeout);
        Box::pin(async move {
            timeout(CONNECT_TIMEOUT, connect(&host, port, user_timeout))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// Tries the addresses of `host` in turn, and gives the last error when none answers.
async fn connect(host: &str, port: u16, user_timeout: Option<Duration>) -> Connected<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                set_options(&SockRef::from(&stream), user_timeout)?;
                return Ok((stream, address));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A bound listening socket that takes connections in.
///
/// The options are set on the listening socket: Linux and the BSDs hand them down to what is accepted, which saves six
/// system calls a connection.
pub struct Acceptor {
    listener: TcpListener,
}

impl Acceptor {
    /// Binds `host`:`port` (0: any port). With `user_timeout` the kernel fails a connection whose peer acknowledges
    /// nothing for so long; that is how a vanished peer is noticed (Linux only).
    ///
    /// # Errors
    /// The address cannot be found or bound, e.g. it is in use.
    pub async fn bind(host: &str, port: u16, user_timeout: Option<Duration>) -> io::Result<Acceptor> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((host, port)).await? {
            match listen(address, user_timeout) {
                Ok(listener) => return Ok(Acceptor { listener }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where it listens; the port is the real one if 0 was asked for.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Accept for Acceptor {
    type Stream = TcpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connected<TcpStream>> {
        self.listener.poll_accept(cx)
    }
}

fn listen(address: SocketAddr, user_timeout: Option<Duration>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the TIME_WAIT of the connections before it. On Linux and macOS this does not let two
    // sockets listen on one port.
    socket.set_reuse_address(true)?;
    set_options(&SockRef::from(&socket), user_timeout)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Small messages leave at once, and a dead peer is noticed.
fn set_options(socket: &SockRef<'_>, user_timeout: Option<Duration>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(user_timeout)?;
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_has_the_options_of_its_listener() {
        let user_timeout = Some(Duration::from_secs(8));
        let mut acceptor = Acceptor::bind("127.0.0.1", 0, user_timeout).await.unwrap();
        let port = acceptor.local_addr().unwrap().port();
        let (ours, theirs) = tokio::join!(
            poll_fn(|cx| acceptor.poll_accept(cx)),
            Dialler::new("localhost", port, user_timeout).dial(),
        );
        for stream in [ours.unwrap().0, theirs.unwrap().0] {
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            #[cfg(target_os = "linux")]
            {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
                assert_eq!(socket.tcp_user_timeout().unwrap(), user_timeout);
            }
        }
    }

    /// Both ends of a connection.
    async fn connected() -> (TcpStream, TcpStream) {
        let mut acceptor = Acceptor::bind("127.0.0.1", 0, None).await.unwrap();
        let port = acceptor.local_addr().unwrap().port();
        let mut dialler = Dialler::new("127.0.0.1", port, None);
        let (ours, theirs) = tokio::join!(poll_fn(|cx| acceptor.poll_accept(cx)), dialler.dial());
        (ours.unwrap().0, theirs.unwrap().0)
    }

    async fn received(stream: &mut TcpStream, room: usize) -> Vec<u8> {
        let mut room = vec![MaybeUninit::uninit(); room];
        poll_fn(|cx| stream.poll_recv(cx, &mut room).map_ok(|bytes| bytes.to_vec())).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_sent_is_received_whatever_room_there_is_and_then_the_end() {
        let (mut ours, mut theirs) = connected().await;
        for room in [1, 2, 3, 4, 5, 100] {
            // The second only after the first was read: with nothing left, and with a socket that was read empty.
            for text in [&b"0200"[..], b"0210"] {
                let sent = poll_fn(|cx| theirs.poll_send(cx, text)).await.unwrap();
                assert_eq!(sent, text.len());
                let mut all = Vec::new();
                while all.len() < text.len() {
                    all.extend(received(&mut ours, room).await);
                }
                assert_eq!(all, text, "{room}");
            }
            let mut nothing = [MaybeUninit::uninit(); 8];
            let pending = poll_fn(|cx| Poll::Ready(ours.poll_recv(cx, &mut nothing).is_pending())).await;
            assert!(pending && !ours.may_have_come(), "{room}");
        }
        drop(theirs);
        ours.readable().await.unwrap();
        assert!(ours.may_have_come());
        assert_eq!(received(&mut ours, 8).await, b"");
        let failed = async { while poll_fn(|cx| ours.poll_send(cx, b"0200")).await.is_ok() {} };
        timeout(Duration::from_secs(10), failed).await.unwrap();
    }

    #[tokio::test]
    async fn who_can_not_send_goes_on_when_the_other_side_has_read() {
        let (mut ours, mut theirs) = connected().await;
        let chunk = [7; 64 * 1024];
        let mut sent = 0;
        while let Some(more) = poll_fn(|cx| match ours.poll_send(cx, &chunk) {
            Poll::Ready(sent) => Poll::Ready(Some(sent.unwrap())),
            Poll::Pending => Poll::Ready(None),
        })
        .await
        {
            sent += more;
        }
        let receive = async {
            let mut count = 0;
            while count < sent + chunk.len() {
                count += received(&mut theirs, 8192).await.len();
            }
        };
        let send = async {
            let mut left = &chunk[..];
            while !left.is_empty() {
                left = &left[poll_fn(|cx| ours.poll_send(cx, left)).await.unwrap()..];
            }
        };
        timeout(Duration::from_secs(10), async { tokio::join!(send, receive) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_and_so_is_a_host_that_refuses() {
        let acceptor = Acceptor::bind("127.0.0.1", 0, None).await.unwrap();
        let port = acceptor.local_addr().unwrap().port();
        let again = Acceptor::bind("127.0.0.1", port, None).await.err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        drop(acceptor);
        let refused = Dialler::new("127.0.0.1", port, None).dial().await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
