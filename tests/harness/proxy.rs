use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use mysql_async::Opts;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Commands of MySQL's client/server protocol. `COM_STMT_PREPARE` is not counted, since a connection prepares each
/// statement only once.
const QUERY: u8 = 0x03;
const EXECUTE: u8 = 0x17;
const PREPARE: u8 = 0x16;

/// The prepared statements of one connection.
#[derive(Default)]
struct Prepared {
    by_id: HashMap<[u8; 4], String>,
    last: String,
}

/// A proxy between a server and its database, which records the statements and can lose a response.
#[derive(Clone, Default)]
pub struct Statements {
    seen: Arc<Mutex<Vec<String>>>,
    /// The beginning of the statement whose response is to be lost.
    lost: Arc<Mutex<Option<String>>>,
    /// The statements that are to fail.
    failing: Arc<Mutex<Option<Failing>>>,
    /// A part of the next text that has it, and what replaces it.
    replaced: Arc<Mutex<Option<(&'static str, &'static str)>>>,
    /// How many connections were opened.
    opened: Arc<AtomicUsize>,
    /// How many of them, from the first on, lead to a read-only server.
    read_only: Arc<AtomicUsize>,
    /// Whether the server says nothing.
    silent: watch::Sender<bool>,
}

/// An error as the server answers it, as the first packet of an answer.
fn error(code: u16, state: &str) -> Vec<u8> {
    let message = format!("#{state}This is the error {code}, which a test made");
    let payload = [&[0xff][..], &code.to_le_bytes(), message.as_bytes()].concat();
    [&(payload.len() as u32).to_le_bytes()[..3], &[1], &payload].concat()
}

/// The errors that the server is to answer: to how many more of the statements with this beginning, and which.
struct Failing {
    statement: String,
    left: usize,
    code: u16,
    state: &'static str,
}

impl Statements {
    /// Listens on loopback for connections to this database, and returns the port.
    pub async fn between(&self, database: &Opts) -> u16 {
        let target = (database.ip_or_hostname().to_owned(), database.tcp_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let statements = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(target.clone()).await.unwrap();
                let number = statements.opened.fetch_add(1, SeqCst);
                tokio::spawn(statements.clone().forward(number, client, server));
            }
        });
        port
    }

    /// Takes the statements since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// Lets the database run the next statement with this beginning, but closes the connection instead of returning
    /// its response.
    pub fn lose_the_response_to(&self, statement: &str) {
        *self.lost.lock().unwrap() = Some(statement.to_owned());
    }

    /// Whether the response has been lost.
    pub fn has_lost(&self) -> bool {
        self.lost.lock().unwrap().is_none()
    }

    /// Lets the next `times` statements with this beginning fail with an error of the server, and not run.
    pub fn fail(&self, statement: &str, times: usize, (code, state): (u16, &'static str)) {
        let failing = Failing { statement: statement.to_owned(), left: times, code, state };
        *self.failing.lock().unwrap() = Some(failing);
    }

    /// Replaces a part of the next text that has it, by another of the same length: one of several statements can so fail.
    pub fn replace(&self, part: &'static str, by: &'static str) {
        assert_eq!(part.len(), by.len());
        *self.replaced.lock().unwrap() = Some((part, by));
    }

    /// Whether the part was sent, and so was replaced.
    pub fn has_replaced(&self) -> bool {
        self.replaced.lock().unwrap().is_none()
    }

    fn replace_in(&self, packet: &mut [u8]) {
        let mut replaced = self.replaced.lock().unwrap();
        let Some((part, by)) = *replaced else { return };
        if let Some(at) = packet.windows(part.len()).position(|window| window == part.as_bytes()) {
            packet[at..at + by.len()].copy_from_slice(by.as_bytes());
            *replaced = None;
        }
    }

    /// How many of the statements that are to fail have not been sent.
    pub fn left_to_fail(&self) -> usize {
        self.failing.lock().unwrap().as_ref().map_or(0, |failing| failing.left)
    }

    /// Lets the server of all connections so far refuse writes, as a writer of Aurora does that became a reader.
    /// New connections lead to the new writer.
    pub fn make_the_server_read_only(&self) {
        self.read_only.store(self.opened.load(SeqCst), SeqCst);
    }

    /// Lets the server take connections and statements and say nothing, as Aurora does while it resumes, until
    /// [`Self::speak`].
    pub fn be_silent(&self) {
        self.silent.send_replace(true);
    }

    /// Lets the server answer again, also what it was asked before.
    pub fn speak(&self) {
        self.silent.send_replace(false);
    }

    async fn forward(self, number: usize, client: TcpStream, server: TcpStream) {
        _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, to_client) = client.into_split();
        let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
        let answers = to_client.clone();
        let (mut from_server, mut to_server) = server.into_split();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = is_cut.clone();
        let mut silent = self.silent.subscribe();
        tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await
                && !cut.load(SeqCst)
                && silent.wait_for(|silent| !silent).await.is_ok()
                && to_client.lock().await.write_all(&bytes[..count]).await.is_ok()
            {}
            _ = to_client.lock().await.shutdown().await;
        });
        let mut prepared = Prepared::default();
        // A packet has its length in three bytes, its number in the exchange, and its payload.
        let mut header = [0; 4];
        while from_client.read_exact(&mut header).await.is_ok() {
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let mut packet = vec![0; length as usize];
            if from_client.read_exact(&mut packet).await.is_err() {
                return;
            }
            // Number 0 starts an exchange with a command. The packets of a handshake have other numbers.
            if header[3] == 0
                && let Some((&command, rest)) = packet.split_first()
            {
                let statement = self.note(command, rest, &mut prepared, &is_cut);
                if let Some(error) = statement.and_then(|statement| self.error(number, &statement)) {
                    _ = answers.lock().await.write_all(&error).await;
                    continue;
                }
                self.replace_in(&mut packet);
            }
            if to_server.write_all(&[&header[..], &packet].concat()).await.is_err() {
                return;
            }
        }
    }

    /// Returns the error with which the server answers a statement of this connection, if it does.
    fn error(&self, number: usize, statement: &str) -> Option<Vec<u8>> {
        let is_write = ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| statement.starts_with(verb));
        if is_write && number < self.read_only.load(SeqCst) {
            return Some(error(1290, "HY000"));
        }
        let mut failing = self.failing.lock().unwrap();
        let failing = failing.as_mut()?;
        if failing.left == 0 || !statement.starts_with(failing.statement.as_str()) {
            return None;
        }
        failing.left -= 1;
        Some(error(failing.code, failing.state))
    }

    /// Records a command, decides whether its response is to be lost, and returns its statement, if it runs one.
    fn note(&self, command: u8, rest: &[u8], prepared: &mut Prepared, is_cut: &AtomicBool) -> Option<String> {
        let text = || String::from_utf8_lossy(rest).split_whitespace().collect::<Vec<_>>().join(" ");
        let statement = match command {
            QUERY => text(),
            PREPARE => {
                prepared.last = text();
                return None;
            }
            EXECUTE => {
                let id: [u8; 4] = rest[..4].try_into().unwrap();
                // A new id is that of the statement that the client has just prepared.
                prepared.by_id.entry(id).or_insert_with(|| prepared.last.clone()).clone()
            }
            _ => return None,
        };
        // Each new connection sends this once.
        if statement.starts_with("SET SESSION") {
            return None;
        }
        let is_lost =
            self.lost.lock().unwrap().take_if(|lost| statement.starts_with(lost.as_str())).is_some();
        is_cut.store(is_lost, SeqCst);
        self.seen.lock().unwrap().push(statement.clone());
        Some(statement)
    }
}
