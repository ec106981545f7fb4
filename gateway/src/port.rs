//! A port for clients whom nobody knows: HTTP/1 only, with deadlines and a bounded number of connections. One
//! client cannot take the port from the others by being slow.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::config::ConnectionLimits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use crate::limits::{GatewayLimits, HEAD_BYTES};

/// A port that is about to be served.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) connections: ConnectionLimits,
    pub(crate) limits: GatewayLimits,
}

impl Port {
    /// Serves until `stop` completes. Then it accepts no more connections, and waits until requests have their
    /// responses, for at most [`GatewayLimits::drain_timeout`].
    pub(crate) async fn serve<H, F>(self, handle: H, stop: impl Future<Output = ()>)
    where
        H: Fn(SocketAddr, Request<Body>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Self { mut listener, connections, limits } = self;
        let places = Arc::new(Places { limits: connections, taken: Mutex::default() });
        let mut http = http1::Builder::new();
        // The deadline is also that of the next request on an open connection.
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(HEAD_BYTES)
            .max_header_size(HEAD_BYTES);
        // Each connection has a receiver until it has ended or became a socket.
        let stopping = watch::Sender::new(false);
        let mut stop = pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut stop => break,
                // It logs an error, and tries again a second later.
                accepted = Listener::accept(&mut listener) => accepted,
            };
            let Some(place) = Place::take(&places, peer.ip()) else {
                tracing::debug!(%peer, "too many connections are open");
                continue;
            };
            // Nagle's algorithm would hold back small frames that clients wait for.
            _ = stream.set_nodelay(true);
            let stream = ClientStream { stream, _place: place, timeout: limits.write_timeout, stalled: None };
            let handle = handle.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let response = handle(peer, request.map(Body::new));
                async move { Ok::<_, Infallible>(response.await) }
            });
            let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
            let mut stopping = stopping.subscribe();
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                let stopped = async { _ = stopping.wait_for(|&stopping| stopping).await };
                // An error is the client's: it has left, was too slow or does not speak HTTP/1.
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = stopped => connection.as_mut().graceful_shutdown(),
                }
                _ = connection.await;
            });
        }
        drop(listener);
        stopping.send_replace(true);
        if timeout(limits.drain_timeout, stopping.closed()).await.is_err() {
            tracing::warn!("stopped before all requests had their responses");
        }
    }
}

/// The connections that are open.
struct Places {
    limits: ConnectionLimits,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Each critical section leaves the counts consistent.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, until it is dropped.
struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

impl Place {
    /// Returns `None` if all places are taken, or all of this address.
    fn take(places: &Arc<Places>, address: IpAddr) -> Option<Self> {
        let network = network(address);
        let ConnectionLimits { all: most, of_address: most_of_address } = places.limits;
        let is_full = |taken: usize, most: Option<u32>| most.is_some_and(|most| taken >= most as usize);
        let mut taken = places.taken();
        let of_address = taken.by_network.get(&network).copied().unwrap_or_default();
        if is_full(taken.all, most) || is_full(of_address, most_of_address) {
            return None;
        }
        taken.all += 1;
        taken.by_network.insert(network, of_address + 1);
        drop(taken);
        Some(Self { places: places.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(of_address) = taken.by_network.get_mut(&self.network) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

/// The network of one client: an IPv4 address, or the first 64 bits of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A connection that breaks when its client takes nothing of what is sent to it for too long.
struct ClientStream {
    stream: TcpStream,
    _place: Place,
    timeout: Duration,
    /// The end of the wait, while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), context);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written(context, |stream, context| stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_of_an_ipv6_address_is_one_client() {
        let places = |all, of_address| {
            Arc::new(Places { limits: ConnectionLimits { all, of_address }, taken: Mutex::default() })
        };
        let take = |places: &Arc<Places>, address: &str| Place::take(places, address.parse().unwrap());
        let one_each = places(None, Some(1));
        let first = take(&one_each, "2001:db8::1");
        assert!(first.is_some() && take(&one_each, "2001:db8::2").is_none());
        let others = ["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"].map(|address| take(&one_each, address));
        assert!(others.iter().all(Option::is_some));
        assert!(take(&one_each, "::ffff:192.0.2.1").is_none(), "192.0.2.1 in the form of IPv6");
        drop(first);
        assert!(take(&one_each, "2001:db8::2").is_some());
        assert_eq!(one_each.taken().by_network.len(), 3);

        let one = places(Some(1), None);
        let only = take(&one, "192.0.2.1");
        assert!(only.is_some() && take(&one, "192.0.2.2").is_none());
        let unlimited = places(None, None);
        let many: Vec<_> = (0..2000).map(|_| take(&unlimited, "192.0.2.1")).collect();
        assert!(many.iter().all(Option::is_some));
    }
}
