//! Real sockets: TCP with the options that a payment link wants.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
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
