//! What the kernel knows about the peer of a TCP connection: what it has acknowledged, and whether it is still there.
//!
//! An acknowledgement means that the peer's TCP has the bytes, not that anybody read them: of a peer that is alive but
//! reads nothing, as much is acknowledged as its receive buffer holds.
//!
//! The only file with unsafe code: neither figure can be had from the crates in use.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use std::os::fd::AsRawFd;

/// How far a TCP connection has got in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The peer may still send; we may have closed our sending side.
    Open,
    /// The peer has closed its sending side (FIN). It may still read.
    PeerFinished,
    /// Reset, timed out, or closed by both.
    Gone,
}

/// How many bytes written to the TCP socket `socket` its peer's TCP has not acknowledged: those under way and those that
/// the kernel has not sent yet. The answer is also given after the connection has failed: what was not acknowledged
/// by then never will be.
///
/// Linux counts a FIN of ours (a closed sending side) as one more byte.
///
/// # Errors
/// Those of the system call, e.g. `ENOTCONN` or `EINVAL` for a listening socket; [`io::ErrorKind::Unsupported`] where
/// the system has no such call (other than Linux and macOS).
pub fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut bytes: libc::c_int = 0;
        // tcp(7) calls it SIOCOUTQ; linux/sockios.h defines it as TIOCOUTQ.
        // SAFETY: the descriptor is borrowed, hence open, for the whole call; the request writes one `int` through the
        // pointer, which points to one that lives longer than the call.
        let result = unsafe {
            libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, std::ptr::from_mut(&mut bytes))
        };
        succeeded(result)?;
        count(bytes)
    }
    #[cfg(target_vendor = "apple")]
    {
        let mut bytes: libc::c_int = 0;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is borrowed, hence open, for the whole call; the option writes at most `len` bytes, the
        // size of an `int`, through the first pointer, which points to one; both outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NWRITE,
                std::ptr::from_mut(&mut bytes).cast(),
                &mut len,
            )
        };
        succeeded(result)?;
        count(bytes)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = socket.as_fd();
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How far the connection of the TCP socket `socket` has got, without reading from it: a FIN or reset is seen though
/// bytes before it have not been read.
///
/// # Errors
/// Those of the system call, e.g. for a socket that is not TCP; [`io::ErrorKind::Unsupported`] elsewhere than on Linux.
pub fn connection(socket: impl AsFd) -> io::Result<Connection> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // `tcpi_state` is the first byte of `struct tcp_info` (linux/tcp.h); the kernel cuts its answer to what is
        // asked for. The numbers are those of the enumeration in net/tcp_states.h.
        const FIN_WAIT1: u8 = 4;
        const FIN_WAIT2: u8 = 5;
        const CLOSE: u8 = 7;
        const ESTABLISHED_TO_SYN_RECEIVED: std::ops::RangeInclusive<u8> = 1..=3;
        let mut state: u8 = 0;
        let mut len: libc::socklen_t = 1;
        // SAFETY: the descriptor is borrowed, hence open, for the whole call; the option writes at most `len` bytes, one,
        // through the first pointer, which points to one; both outlive the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                std::ptr::from_mut(&mut state).cast(),
                &mut len,
            )
        };
        succeeded(result)?;
        Ok(match state {
            FIN_WAIT1 | FIN_WAIT2 => Connection::Open,
            CLOSE => Connection::Gone,
            state if ESTABLISHED_TO_SYN_RECEIVED.contains(&state) => Connection::Open,
            // TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING: all behind the peer's FIN.
            _ => Connection::PeerFinished,
        })
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = socket.as_fd();
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn count(bytes: libc::c_int) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use socket2::SockRef;

    use super::*;

    /// Far more than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        (ours, theirs)
    }

    /// Asks until `wanted` is the answer: an acknowledgement has no event of its own.
    fn becomes<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl FnMut() -> io::Result<T>) {
        let start = Instant::now();
        loop {
            let answer = ask().unwrap();
            if answer == wanted {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "still {answer:?}, not {wanted:?}");
            std::thread::yield_now();
        }
    }

    /// Writes until the peer's receive window and our send buffer are full.
    fn fill(mut socket: &TcpStream) -> usize {
        socket.set_nonblocking(true).unwrap();
        let mut written = 0;
        loop {
            match socket.write(&[b'x'; 65_536]) {
                Ok(len) => written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        socket.set_nonblocking(false).unwrap();
        written
    }

    #[test]
    fn what_the_peers_kernel_took_is_acknowledged_though_nobody_reads_it() {
        let (mut ours, _theirs) = pair();
        assert_eq!(unacknowledged(&ours).unwrap(), 0);
        ours.write_all(b"0810").unwrap();
        becomes(0, || unacknowledged(&ours));
    }

    #[test]
    fn what_does_not_fit_into_the_peers_window_is_unacknowledged_until_it_is_read() {
        let (ours, mut theirs) = pair();
        let written = fill(&ours);
        let waiting = unacknowledged(&ours).unwrap();
        assert!((1..=written).contains(&waiting), "{waiting} of {written}");
        let mut read = 0;
        let mut chunk = vec![0; 65_536];
        while read < written {
            read += theirs.read(&mut chunk).unwrap();
        }
        becomes(0, || unacknowledged(&ours));
    }

    #[test]
    fn what_a_reset_cut_off_stays_unacknowledged() {
        let (mut ours, theirs) = pair();
        fill(&ours);
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(unacknowledged(&ours).unwrap() > 0);
    }

    #[test]
    fn what_was_written_after_the_peer_had_gone_stays_unacknowledged() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 1]).unwrap(), 0);
        // The write succeeds: our kernel only knows of a FIN. The peer's answers with a reset.
        ours.write_all(b"0810").unwrap();
        #[cfg(target_os = "linux")]
        becomes(Connection::Gone, || connection(&ours));
        assert_eq!(unacknowledged(&ours).unwrap(), 4);
    }

    #[test]
    fn bytes_after_the_peers_fin_are_acknowledged_when_its_socket_still_lives() {
        let (mut ours, theirs) = pair();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ours.read(&mut [0; 1]).unwrap(), 0);
        ours.write_all(b"0810").unwrap();
        becomes(0, || unacknowledged(&ours));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fin_and_a_reset_are_seen_without_reading() {
        let (ours, mut theirs) = pair();
        assert_eq!(connection(&ours).unwrap(), Connection::Open);
        theirs.write_all(b"unread").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        becomes(Connection::PeerFinished, || connection(&ours));
        // Our own half-close says nothing about the peer.
        let (ours, _theirs) = pair();
        ours.shutdown(Shutdown::Write).unwrap();
        becomes(Connection::Open, || connection(&ours));
        let (ours, theirs) = pair();
        SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
        drop(theirs);
        becomes(Connection::Gone, || connection(&ours));
    }

    #[test]
    fn what_is_no_connection_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(unacknowledged(&listener).is_err());
        let file = std::fs::File::open("Cargo.toml").unwrap();
        assert!(connection(&file).is_err());
    }
}
