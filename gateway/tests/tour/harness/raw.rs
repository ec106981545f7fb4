use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Tour};

/// What a client library would send, for tests that must see the answer as it is.
pub(crate) const UPGRADE: [&str; 5] = [
    "GET / HTTP/1.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// A connection whose bytes the test writes itself, where a client library would tidy them.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    /// Opens a connection and writes the head of a request, lines joined by CR LF.
    pub(crate) async fn request(tour: &Tour, lines: &[&str]) -> Self {
        let mut stream = TcpStream::connect(tour.address).await.unwrap();
        let head = format!("{}\r\nHost: tour.test\r\n\r\n", lines.join("\r\n"));
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("a line comes").unwrap();
        line.trim_end().to_owned()
    }

    /// The status and the lines of the headers.
    pub(crate) async fn head(&mut self) -> (u16, Vec<String>) {
        let first = self.line().await;
        let status = first.split(' ').nth(1).expect("a status").parse().unwrap();
        let mut headers = Vec::new();
        loop {
            match self.line().await {
                line if line.is_empty() => return (status, headers),
                line => headers.push(line),
            }
        }
    }

    /// Hangs up, and waits until the gateway has noticed.
    pub(crate) async fn leave(mut self) {
        self.0.get_mut().shutdown().await.unwrap();
        assert_eq!(self.rest().await, "");
    }

    /// What comes until the gateway closes the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the end comes").unwrap();
        String::from_utf8(rest).unwrap()
    }
}
