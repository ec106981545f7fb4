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
use axum::http::{Request, Response, StatusCode};
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

use crate::integration::error_response;
use crate::limits::{GatewayLimits, HEAD_BYTES};
use crate::proxies::{Client, Proxies};
use crate::tls::Tls;

/// A port that is about to be served.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Tls>,
    pub(crate) proxies: Proxies,
    pub(crate) connections: ConnectionLimits,
    pub(crate) limits: GatewayLimits,
}

impl Port {
    /// Serves until `stop` completes. Then it accepts no more connections, and waits until requests have their
    /// responses, for at most [`GatewayLimits::drain_timeout`].
    pub(crate) async fn serve<H, F>(self, handle: H, stop: impl Future<Output = ()>)
    where
        H: Fn(Client, Request<Body>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let Self { mut listener, tls, proxies, connections, limits } = self;
        let places = Arc::new(Places { limits: connections, taken: Mutex::default() });
        let mut http = http1::Builder::new();
        // The deadline is also that of the next request on an open connection.
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(HEAD_BYTES)
            .max_header_size(HEAD_BYTES);
        let serving = Serving { http, proxies: Arc::new(proxies), places, handle };
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
            // A proxy has one address for many clients.
            let is_proxy = serving.proxies.has(peer.ip());
            let Some(place) = Place::take(&serving.places, true, (!is_proxy).then_some(peer.ip())) else {
                tracing::debug!(%peer, "too many connections are open");
                continue;
            };
            // Nagle's algorithm would hold back small frames that clients wait for.
            _ = stream.set_nodelay(true);
            let client = is_proxy.then(Arc::default);
            let stream = ClientStream {
                stream,
                _place: place,
                _client: client.clone(),
                timeout: limits.write_timeout,
                stalled: None,
            };
            let (serving, stopping, tls) = (serving.clone(), stopping.subscribe(), tls.clone());
            tokio::spawn(async move {
                let Some(tls) = tls else {
                    return serving.connection(stream, false, peer, client, stopping).await;
                };
                // An error is the client's: it has left, was too slow or does not speak TLS.
                if let Ok(Ok(stream)) = timeout(limits.head_timeout, tls.accept(stream)).await {
                    serving.connection(stream, true, peer, client, stopping).await;
                }
            });
        }
        drop(listener);
        stopping.send_replace(true);
        if timeout(limits.drain_timeout, stopping.closed()).await.is_err() {
            tracing::warn!("stopped before all requests had their responses");
        }
    }
}

/// The place of the client whose request a proxy sends over a connection.
type ClientPlace = Arc<Mutex<Option<Place>>>;

/// What all connections of a port share.
#[derive(Clone)]
struct Serving<H> {
    http: http1::Builder,
    proxies: Arc<Proxies>,
    places: Arc<Places>,
    handle: H,
}

impl<H, F> Serving<H>
where
    H: Fn(Client, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    async fn connection(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_https: bool,
        peer: SocketAddr,
        client_place: Option<ClientPlace>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let http = self.http.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            let client = self.proxies.client(peer, is_https, request.headers_mut());
            let response = self.answer(client, request, client_place.clone());
            async move { Ok::<_, Infallible>(response.await) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let stopped = async { _ = stopping.wait_for(|&stopping| stopping).await };
        // An error is the client's: it has left, was too slow or does not speak HTTP/1.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stopped => connection.as_mut().graceful_shutdown(),
        }
        _ = connection.await;
    }

    /// Answers a request. The client of a proxy has a place until the response, or for as long as its socket is open.
    fn answer(
        &self,
        client: Client,
        request: Request<Body>,
        client_place: Option<ClientPlace>,
    ) -> impl Future<Output = Response<Body>> + use<H, F> {
        let place_of = |client_place: ClientPlace| {
            let place = Place::take(&self.places, false, Some(client.address));
            let is_taken = place.is_some();
            *client_place.lock().unwrap_or_else(PoisonError::into_inner) = place;
            is_taken.then_some(client_place)
        };
        let response = match client_place.map(place_of) {
            Some(None) => Err(error_response(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")),
            Some(Some(client_place)) => Ok((Some(client_place), (self.handle)(client, request))),
            None => Ok((None, (self.handle)(client, request))),
        };
        async move {
            match response {
                Err(refusal) => refusal,
                Ok((client_place, response)) => {
                    let response = response.await;
                    if let Some(client_place) = client_place
                        && response.status() != StatusCode::SWITCHING_PROTOCOLS
                    {
                        *client_place.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    }
                    response
                }
            }
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

/// The place of one connection, or of a proxy's client, until it is dropped.
struct Place {
    places: Arc<Places>,
    is_connection: bool,
    network: Option<IpAddr>,
}

impl Place {
    /// Returns `None` if all places are taken, or all of this address. Of a proxy's connection no address counts, and
    /// of its clients no connections.
    fn take(places: &Arc<Places>, is_connection: bool, address: Option<IpAddr>) -> Option<Self> {
        let network = address.map(network);
        let ConnectionLimits { all: most, of_address: most_of_address } = places.limits;
        let is_full = |taken: usize, most: Option<u32>| most.is_some_and(|most| taken >= most as usize);
        let mut taken = places.taken();
        if is_connection && is_full(taken.all, most) {
            return None;
        }
        if let Some(network) = network {
            let of_address = taken.by_network.get(&network).copied().unwrap_or_default();
            if is_full(of_address, most_of_address) {
                return None;
            }
            taken.by_network.insert(network, of_address + 1);
        }
        taken.all += usize::from(is_connection);
        drop(taken);
        Some(Self { places: places.clone(), is_connection, network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= usize::from(self.is_connection);
        if let Some(network) = self.network
            && let Some(of_address) = taken.by_network.get_mut(&network)
        {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_network.remove(&network);
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
    _client: Option<ClientPlace>,
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
        let take =
            |places: &Arc<Places>, address: &str| Place::take(places, true, Some(address.parse().unwrap()));
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
