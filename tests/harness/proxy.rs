use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mysql_async::Opts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Commands of MySQL's client/server protocol that are a round trip of their own. `COM_STMT_PREPARE` is not
/// counted, since a connection prepares a statement once.
const QUERY: u8 = 0x03;
const EXECUTE: u8 = 0x17;
const PREPARE: u8 = 0x16;

/// The prepared statements of one connection.
#[derive(Default)]
struct Prepared {
    by_id: HashMap<[u8; 4], String>,
    last: String,
}

/// Stands between a server and its database, and counts the statements.
#[derive(Clone, Default)]
pub struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    /// Listens on loopback and answers the port.
    pub async fn between(&self, database: &Opts) -> u16 {
        let target = (database.ip_or_hostname().to_owned(), database.tcp_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let statements = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target.clone()).await.unwrap();
                tokio::spawn(statements.clone().forward(client, server));
            }
        });
        port
    }

    /// The statements since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    async fn forward(self, client: TcpStream, server: TcpStream) {
        _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut prepared = Prepared::default();
        // A packet is its length in three bytes, its number in an exchange, and so many bytes.
        let mut header = [0; 4];
        while from_client.read_exact(&mut header).await.is_ok() {
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let mut packet = vec![0; length as usize];
            if from_client.read_exact(&mut packet).await.is_err() {
                return;
            }
            // Number 0 begins an exchange: a command, and no part of a handshake.
            if header[3] == 0
                && let Some((&command, rest)) = packet.split_first()
            {
                self.note(command, rest, &mut prepared);
            }
            if to_server.write_all(&[&header[..], &packet].concat()).await.is_err() {
                return;
            }
        }
    }

    fn note(&self, command: u8, rest: &[u8], prepared: &mut Prepared) {
        let text = || String::from_utf8_lossy(rest).split_whitespace().collect::<Vec<_>>().join(" ");
        match command {
            // Sent once on every new connection.
            QUERY if text().starts_with("SET SESSION") => {}
            QUERY => self.0.lock().unwrap().push(text()),
            PREPARE => prepared.last = text(),
            EXECUTE => {
                let id: [u8; 4] = rest[..4].try_into().unwrap();
                // The client executes what it has just prepared, and so its id is seen here first.
                let text = prepared.by_id.entry(id).or_insert_with(|| prepared.last.clone());
                self.0.lock().unwrap().push(text.clone());
            }
            _ => {}
        }
    }
}
