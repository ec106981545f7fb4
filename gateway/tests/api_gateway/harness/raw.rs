//! A client that writes bytes itself.

use std::net::IpAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{TIMEOUT, TestGateway};

/// The handshake that a client library would send, for tests that need the unmodified response.
pub(crate) const UPGRADE: [&str; 5] = [
    "GET / HTTP/1.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A connection to which the test writes bytes itself, because a client library would change them.
pub(crate) struct RawConnection(BufReader<TcpStream>);

impl RawConnection {
    /// Opens a connection and writes these lines, a `Host` header and the end of the head.
    pub(crate) async fn request(gateway: &TestGateway, lines: &[&str]) -> Self {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!("{}\r\nHost: gateway.test\r\n\r\n", lines.join("\r\n"));
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// Opens a connection from this address of the machine.
    pub(crate) async fn from(gateway: &TestGateway, address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address.parse::<IpAddr>().unwrap(), 0).into()).unwrap();
        Self(BufReader::new(socket.connect(gateway.address).await.unwrap()))
    }

    /// Writes bytes, and ignores an error, because the gateway may close the connection meanwhile.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        _ = self.0.write_all(bytes).await;
    }

    /// The next line, or `None` at the end.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(TIMEOUT, self.0.read_line(&mut line)).await.expect("a line comes, or the end");
        read.ok().filter(|&bytes| bytes > 0).map(|_| line.trim_end().to_owned())
    }

    /// Reads the status and the header lines of the response, if one comes.
    pub(crate) async fn try_head(&mut self) -> Option<(u16, Vec<String>)> {
        let first = self.line().await?;
        let status = first.split(' ').nth(1).expect("a status").parse().unwrap();
        let mut headers = Vec::new();
        loop {
            match self.line().await? {
                line if line.is_empty() => return Some((status, headers)),
                line => headers.push(line),
            }
        }
    }

    /// Reads the status and the header lines of the response.
    pub(crate) async fn head(&mut self) -> (u16, Vec<String>) {
        self.try_head().await.expect("a response comes")
    }

    /// Closes the connection and waits until the gateway has noticed.
    pub(crate) async fn leave(mut self) {
        self.0.get_mut().shutdown().await.unwrap();
        assert_eq!(self.rest().await, "");
    }

    /// Reads until the gateway closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        String::from_utf8(self.ends().await).unwrap()
    }

    /// Reads bytes until the gateway closes the connection, in whatever way.
    pub(crate) async fn ends(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        _ = timeout(TIMEOUT, self.0.read_to_end(&mut rest)).await.expect("the end comes");
        rest
    }
}
