//! A gateway and a bank of our own in this process, over loopback: something to measure when no target is given.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use slog::{Discard, Logger, o};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::access::AllowList;
use crate::bank::{self, Faults};
use crate::dialect::Dialect;
use crate::framing::{FRAME_LEN_CAP, Framing};
use crate::iso8583::mask::MaskStyle;
use crate::listener::tcp;
use crate::net::TimeSource;
use crate::net::tcp::{Acceptor, Dialler};
use crate::upstream::{self, Driver, Endpoint, Parts, Source};

/// Why there is no gateway of our own.
#[derive(Debug, thiserror::Error)]
pub enum OurselvesError {
    /// A framing of the dialect that is none.
    #[error(transparent)]
    Framing(#[from] crate::framing::FramingSpecError),
    /// The settings do not make a gateway.
    #[error("{0}")]
    Settings(String),
    /// Sockets, threads.
    #[error("cannot start gateway and bank")]
    Shell(#[from] io::Error),
}

/// A running gateway with its bank, each on a thread of its own as in the product; both end when it is dropped.
pub struct Ourselves {
    /// Where clients connect.
    pub address: SocketAddr,
    stop: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Ourselves {
    /// Starts a bank whose accounts never run dry, and a gateway before it. `settings` makes the gateway's from the
    /// bank's port; journal, log and further listeners are left out.
    ///
    /// # Errors
    /// Settings that make no gateway; no sockets.
    pub fn start(
        dialect: &Arc<Dialect>,
        clock: &TimeSource,
        settings: impl FnOnce(u16) -> Result<(upstream::Settings, tcp::Settings), String>,
    ) -> Result<Ourselves, OurselvesError> {
        let bank = bank::Settings {
            host: "127.0.0.1".to_owned(),
            port: 0,
            framing: Framing::parse(&dialect.framing)?,
            frame_len_max: FRAME_LEN_CAP,
            unlimited: true,
            magic: false,
            ledger: None,
            allowed: AllowList::default(),
            faults: Faults::default(),
            seed: 0,
        };
        let mut ourselves = Ourselves {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            stop: Vec::new(),
            threads: Vec::new(),
        };
        let bank_address = ourselves.start_bank(bank, dialect.clone(), clock.clone())?;
        let (upstream, tcp) = settings(bank_address.port()).map_err(OurselvesError::Settings)?;
        ourselves.address = ourselves.start_gateway(upstream, tcp, dialect.clone(), clock.clone())?;
        Ok(ourselves)
    }

    fn start_bank(
        &mut self,
        settings: bank::Settings,
        dialect: Arc<Dialect>,
        clock: TimeSource,
    ) -> io::Result<SocketAddr> {
        self.spawn("bank", move |runtime, ready, stopped| {
            runtime.block_on(async {
                let listener = bank::bind(&settings).await?;
                let _ = ready.send(listener.local_addr());
                let stopped = async { stopped.await.unwrap_or_default() };
                // Without a ledger there is nothing that could fail.
                let _ = bank::serve(listener, settings, dialect, clock, stopped).await;
                Ok(())
            })
        })
    }

    fn start_gateway(
        &mut self,
        upstream: upstream::Settings,
        tcp: tcp::Settings,
        dialect: Arc<Dialect>,
        clock: TimeSource,
    ) -> io::Result<SocketAddr> {
        let Endpoint::Connect { host, port } = upstream.endpoint.clone() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        self.spawn("gateway", move |runtime, ready, stopped| {
            runtime.block_on(async {
                let acceptor = Acceptor::bind(&tcp.host, tcp.port, None).await?;
                let _ = ready.send(acceptor.local_addr());
                let log = Logger::root(Discard, o!());
                let stall = Some(upstream.write_stall);
                let parts = Parts {
                    dialect: dialect.clone(),
                    source: Source::Dial(Box::new(Dialler::new(host, port, stall))),
                    clock: clock.clone(),
                    journal: None,
                    log: log.clone(),
                    mask: MaskStyle::default(),
                    seed: 0,
                };
                let (driver, handle) = Driver::new(upstream, parts);
                tokio::spawn(driver.run());
                let listener = tcp::Listener::new(tcp, dialect, clock, log, MaskStyle::default());
                tokio::spawn(tcp::serve(acceptor, listener, handle));
                stopped.await.unwrap_or_default();
                Ok(())
            })
        })
    }

    /// Runs `work` on a thread with a runtime of its own; where it listens.
    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce(Runtime, mpsc::Sender<io::Result<SocketAddr>>, oneshot::Receiver<()>) -> io::Result<()>
        + Send
        + 'static,
    ) -> io::Result<SocketAddr> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (ready, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let failed = ready.clone();
            if let Err(error) = work(runtime, ready, stopped) {
                let _ = failed.send(Err(error));
            }
        })?;
        self.stop.push(stop);
        self.threads.push(thread);
        address.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }
}

impl Drop for Ourselves {
    fn drop(&mut self) {
        // The gateway first, which was started last.
        while let (Some(stop), Some(thread)) = (self.stop.pop(), self.threads.pop()) {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}
