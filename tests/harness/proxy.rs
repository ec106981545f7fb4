use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
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

/// Stands between a server and its database, counts the statements, and loses answers.
#[derive(Clone, Default)]
pub struct Statements {
    seen: Arc<Mutex<Vec<String>>>,
    /// How the statement begins whose answer is lost.
    lost: Arc<Mutex<Option<String>>>,
}

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
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Carries the next statement that begins so to the database, which does it; but where its answer
    /// should come, the connection ends.
    pub fn lose_the_answer_to(&self, statement: &str) {
        *self.lost.lock().unwrap() = Some(statement.to_owned());
    }

    /// Whether the answer that was to be lost has been.
    pub fn has_lost(&self) -> bool {
        self.lost.lock().unwrap().is_none()
    }

    async fn forward(self, client: TcpStream, server: TcpStream) {
        _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = is_cut.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await
                && !cut.load(SeqCst)
                && to_client.write_all(&bytes[..count]).await.is_ok()
            {}
        });
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
                is_cut.store(self.note(command, rest, &mut prepared), SeqCst);
            }
            if to_server.write_all(&[&header[..], &packet].concat()).await.is_err() {
                return;
            }
        }
    }

    /// Counts a command, and answers whether it is the one whose answer is lost.
    fn note(&self, command: u8, rest: &[u8], prepared: &mut Prepared) -> bool {
        let text = || String::from_utf8_lossy(rest).split_whitespace().collect::<Vec<_>>().join(" ");
        let statement = match command {
            QUERY => text(),
            PREPARE => {
                prepared.last = text();
                return false;
            }
            EXECUTE => {
                let id: [u8; 4] = rest[..4].try_into().unwrap();
                // The client executes what it has just prepared, and so its id is seen here first.
                prepared.by_id.entry(id).or_insert_with(|| prepared.last.clone()).clone()
            }
            _ => return false,
        };
        // Sent once on every new connection.
        if statement.starts_with("SET SESSION") {
            return false;
        }
        let is_lost =
            self.lost.lock().unwrap().take_if(|lost| statement.starts_with(lost.as_str())).is_some();
        self.seen.lock().unwrap().push(statement);
        is_lost
    }
}
