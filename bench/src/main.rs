//! Measures `coterie serve` on this machine, and a peer beside it. `scripts/bench` runs it, and docs/performance.md
//! says what each figure means.

mod chat;
mod idle;
mod requests;
mod sends;
mod server;
mod table;
mod world;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use mysql_async::prelude::Queryable;
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::time::sleep;

use crate::chat::{Chat, Dialect, PASSWORD, PATIENCE, Person};
use crate::requests::{Answered, repeat};
use crate::sends::{Length, Pace, Rooms};
use crate::server::{Database, Server, processor_time};
use crate::table::{Table, Values};

/// Any failure ends the benchmark.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// How many clients register and log in at once. More would only wait for the processors.
const ACCOUNT_CLIENTS: usize = 4;
/// The cost of passwords where they are not what is measured, and bcrypt's cost by default.
const CHEAP: u32 = 4;
const USUAL: u32 = 12;
/// How many members share a room in the measurement of requests.
const ROOM_OF_CLIENTS: usize = 4;

/// Measures a chat server, and prints a table.
///
/// Starts `coterie serve` without limits on an empty database. Every measurement fails if a message is not
/// acknowledged, does not reach a member, or a request is refused.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Cli {
    /// The program to measure.
    #[arg(long, value_name = "FILE")]
    coterie: PathBuf,
    /// The database, which must be empty.
    #[arg(long, value_name = "URL")]
    database_url: String,
    /// The process of the database server, whose processor time then counts.
    #[arg(long, value_name = "PID")]
    database_pid: Option<u32>,
    /// Measure only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Send as fast as messages are acknowledged: rooms, members, messages in flight in each room. Can be given
    /// several times.
    #[arg(long, value_name = "ROOMSxMEMBERSxIN_FLIGHT", default_values = ["20x6x1", "4x6x8", "20x6x8", "1x6x1"])]
    sends: Vec<Rooms>,
    /// Send so many messages a second, in the rooms of the first of `--sends`.
    #[arg(long, value_name = "A_SECOND", default_value_t = 1000)]
    rate: u32,
    /// Hold so many sockets open.
    #[arg(long, value_name = "SOCKETS", default_value_t = 5000)]
    idle: usize,
    /// Read in a room of so many messages.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Read the list of so many chats.
    #[arg(long, default_value_t = 50)]
    chats: usize,
    /// Send requests from so many clients.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// The bytes of a message.
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long messages are sent before they count.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    warm_up: f64,
    /// Measure what is sent over sockets so often, and print medians.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Measure the server at this address too, by turns, and print ratios. It needs the routes that register a
    /// user, create a room and join it.
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// How that server speaks over its sockets.
    #[arg(long, value_enum, default_value = "coterie", requires = "against")]
    dialect: Dialect,
    /// Its process, whose memory and processor time then count.
    #[arg(long, value_name = "PID", requires = "against")]
    against_pid: Option<u32>,
    /// Measure everything once within seconds. The figures mean nothing: this only shows that it works.
    #[arg(long, conflicts_with_all = ["sends", "rate", "idle", "messages", "chats", "clients", "seconds", "warm_up", "rounds"])]
    smoke: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Messages over sockets, as fast as they are acknowledged.
    Sends,
    /// So many messages a second.
    Rate,
    /// Sockets that do nothing, and messages beside them.
    Idle,
    /// Requests of many clients.
    Requests,
    /// History, sync and the list of chats, with very many messages.
    Reading,
    /// Registrations and logins.
    Accounts,
}

impl Cli {
    /// The same measurements, within seconds.
    fn smoke(mut self) -> Self {
        if self.smoke {
            self.sends = vec![Rooms { rooms: 3, members: 3, in_flight: 2 }];
            (self.rate, self.idle, self.messages, self.chats, self.clients) = (50, 20, 2000, 3, 4);
            (self.seconds, self.warm_up, self.rounds) = (0.3, 0.1, 1);
        }
        self
    }

    fn measures(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    fn length(&self) -> Length {
        let [warm_up, measured] = [self.warm_up, self.seconds].map(Duration::from_secs_f64);
        Length { warm_up, measured, size: self.size }
    }
}

/// A server that is measured.
struct Target {
    chat: Chat,
    pid: Option<u32>,
    is_peer: bool,
}

/// Everything that the measurements use.
struct Bench {
    cli: Cli,
    database: Database,
    table: Table,
    start: Instant,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().smoke()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let database = Database::new(&cli.database_url, cli.database_pid)?;
    let server = Server::start(&cli.coterie, &cli.database_url, CHEAP).await?;
    let own = Target { chat: Chat::new(Dialect::Coterie, &server.url)?, pid: server.pid(), is_peer: false };
    let peer = cli.against.as_ref().map(|url| Chat::new(cli.dialect, url)).transpose()?;
    let peer = peer.map(|chat| Target { chat, pid: cli.against_pid, is_peer: true });
    let has_peer = peer.is_some();
    let targets: Vec<Target> = [own].into_iter().chain(peer).collect();
    let mut bench = Bench { cli, database, table: Table::default(), start: Instant::now() };
    for _ in 0..bench.cli.rounds {
        bench.over_sockets(&targets).await?;
    }
    let own = &targets[0];
    if bench.cli.measures(Measurement::Requests) {
        bench.requests(own).await?;
    }
    if bench.cli.measures(Measurement::Reading) {
        bench.reading(own).await?;
    }
    server.stop().await?;
    if bench.cli.measures(Measurement::Accounts) {
        bench.accounts().await?;
    }
    bench.table.print(has_peer);
    Ok(())
}

impl Bench {
    /// Says what is measured now.
    fn progress(&self, what: &str) {
        eprintln!("[{:>4} s] {what}", self.start.elapsed().as_secs());
    }

    fn add(&mut self, measurement: &str, target: &Target, values: Values) {
        let text = values.iter().map(|(figure, value)| format!("{figure} {value:.3}"));
        let who = if target.is_peer { "peer: " } else { "" };
        self.progress(&format!("  {who}{}", text.collect::<Vec<_>>().join(", ")));
        self.table.add(measurement, target.is_peer, values);
    }

    /// What both servers can do, each in turn.
    async fn over_sockets(&mut self, targets: &[Target]) -> Result<()> {
        let mut sends = Vec::new();
        if self.cli.measures(Measurement::Sends) {
            sends.extend(self.cli.sends.iter().map(|rooms| {
                let Rooms { rooms: count, members, in_flight } = rooms;
                let s = if *count == 1 { "" } else { "s" };
                (format!("{count} room{s} of {members}, {in_flight} in flight"), *rooms, Pace::Closed)
            }));
        }
        if self.cli.measures(Measurement::Rate) {
            let (rooms, rate) = (self.cli.sends[0], self.cli.rate);
            let name = format!("{} rooms of {}, {rate} a second", rooms.rooms, rooms.members);
            sends.push((name, rooms, Pace::Rate(rate)));
        }
        for (name, rooms, pace) in sends {
            self.progress(&name);
            for target in targets {
                let values = self.sends(target, rooms, pace).await?;
                self.add(&name, target, values);
            }
        }
        if self.cli.measures(Measurement::Idle) {
            let name = format!("{} idle sockets", self.cli.idle);
            self.progress(&name);
            for target in targets {
                let values = self.idle(target).await?;
                self.add(&name, target, values);
            }
        }
        Ok(())
    }

    async fn sends(&self, target: &Target, rooms: Rooms, pace: Pace) -> Result<Values> {
        let usage = RefCell::new(Vec::new());
        let around = async || {
            let server = target.pid.map(processor_time).transpose()?;
            let database = self.database.pid.map(processor_time).transpose()?;
            let statements = self.database.statements().await?;
            usage.borrow_mut().push((statements, server, database));
            Ok(())
        };
        let sent = sends::send(&target.chat, rooms, pace, self.cli.length(), around).await?;
        let messages = sent.acknowledged as f64;
        let mut values = vec![
            ("messages a second", messages / sent.time.as_secs_f64()),
            ("deliveries a second", sent.delivered as f64 / sent.time.as_secs_f64()),
        ];
        values.extend(latencies(["acknowledged, p50 ms", "acknowledged, p99 ms"], &sent.acknowledgement));
        values.extend(latencies(["delivered, p50 ms", "delivered, p99 ms"], &sent.delivery));
        if let [(first, server_first, database_first), (last, server_last, database_last)] = usage.take()[..]
        {
            values.push(("statements a message", (last - first) as f64 / messages));
            for (figure, first, last) in [
                ("server, ms of processor a message", server_first, server_last),
                ("database, ms of processor a message", database_first, database_last),
            ] {
                let used = last.zip(first).map(|(last, first)| (last - first).as_secs_f64() * 1000.0);
                values.extend(used.map(|used| (figure, used / messages)));
            }
        }
        Ok(values)
    }

    async fn idle(&self, target: &Target) -> Result<Values> {
        let idle = idle::open(&target.chat, self.cli.idle, target.pid).await?;
        let mut values = vec![("opened a second", idle.opened_per_second)];
        values.extend(idle.kb_per_socket.map(|kb| ("KB of memory each", kb)));
        let (rooms, around) = (self.cli.sends[0], async || Ok(()));
        let sent = sends::send(&target.chat, rooms, Pace::Closed, self.cli.length(), around).await?;
        let rate = sent.acknowledged as f64 / sent.time.as_secs_f64();
        values.push(("messages a second beside them", rate));
        drop(idle.sockets);
        if !target.is_peer {
            self.closed().await?;
        }
        Ok(values)
    }

    /// Waits until the server has forgotten the sockets that are closed, as long as it forgets more and more.
    async fn closed(&self) -> Result<()> {
        let mut connection = self.database.pool.get_conn().await?;
        let (mut left, mut since) = (u64::MAX, Instant::now());
        while left > 0 {
            sleep(Duration::from_millis(100)).await;
            let count = connection.query_first("SELECT COUNT(*) FROM connections").await?.unwrap_or_default();
            if count < left {
                (left, since) = (count, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Err(format!("the server did not forget {left} sockets that are closed").into());
            }
        }
        Ok(())
    }

    async fn requests(&mut self, target: &Target) -> Result<()> {
        let (chat, clients, length) = (&target.chat, self.cli.clients, self.cli.length().measured);
        let mut people: Vec<Person> = Vec::new();
        for _ in 0..clients {
            people.push(chat.register().await?);
        }
        let mut rooms = Vec::new();
        for people in people.chunks(ROOM_OF_CLIENTS) {
            rooms.push(chat.room(people).await?);
        }
        let content = "x".repeat(self.cli.size);
        let name = |what: &str| format!("{what}, {clients} clients");

        let post = name("POST /api/messages");
        self.progress(&post);
        let sent = repeat(clients, length, async |client| {
            let message = json!({"roomId": rooms[client / ROOM_OF_CLIENTS], "content": content});
            let token = Some(people[client].token.as_str());
            chat.request(Method::POST, "/api/messages", token, Some(&message)).await.map(drop)
        });
        let values = requests_a_second(&sent.await?);
        self.add(&post, target, values);

        for (what, path) in [
            ("GET /chats/{id}?limit=50", (|room| format!("/chats/{room}?limit=50")) as fn(u64) -> String),
            ("GET /chats", |_| "/chats".to_owned()),
        ] {
            let get = name(what);
            self.progress(&get);
            let read = repeat(clients, length, async |client| {
                let token = Some(people[client].token.as_str());
                let path = path(rooms[client / ROOM_OF_CLIENTS]);
                chat.request(Method::GET, &path, token, None).await.map(drop)
            });
            let values = requests_a_second(&read.await?);
            self.add(&get, target, values);
        }
        Ok(())
    }

    async fn reading(&mut self, target: &Target) -> Result<()> {
        self.progress(&format!("storing {} messages", self.cli.messages));
        let world = world::fill(&target.chat, &self.database, self.cli.chats, self.cli.messages).await?;
        let (world::World { reader, large, messages }, chats) = (&world, self.cli.chats);
        let sync = |cursor: u64| Some(json!({"rooms": {large.to_string(): cursor}}));
        let requests = [
            ("history, newest 50", Method::GET, format!("/chats/{large}?limit=50"), None),
            (
                "history, 50 from the middle",
                Method::GET,
                format!("/chats/{large}?limit=50&before={}", messages / 2),
                None,
            ),
            ("sync from the start", Method::POST, "/api/sync".to_owned(), sync(0)),
            (
                "sync of the newest 50",
                Method::POST,
                "/api/sync".to_owned(),
                sync(messages.saturating_sub(50)),
            ),
            ("list of chats, all unread", Method::GET, format!("/chats?pageSize={chats}"), None),
        ];
        for (name, method, path, body) in requests {
            let name = format!("{name}, room of {messages}");
            self.progress(&name);
            let read = repeat(1, self.cli.length().measured, async |_| {
                let answer =
                    target.chat.request(method.clone(), &path, Some(&reader.token), body.as_ref()).await?;
                if answer.len() < 1000 {
                    return Err(
                        format!("{path} answered too little: {}", String::from_utf8_lossy(&answer)).into()
                    );
                }
                Ok(())
            });
            let values = latencies(["p50 ms", "p99 ms"], &read.await?.latency);
            self.add(&name, target, values.into());
        }
        Ok(())
    }

    async fn accounts(&mut self) -> Result<()> {
        let cost = if self.cli.smoke { CHEAP } else { USUAL };
        let server = Server::start(&self.cli.coterie, &self.cli.database_url, cost).await?;
        let chat = Chat::new(Dialect::Coterie, &server.url)?;
        let target = Target { chat, pid: server.pid(), is_peer: false };
        let length = self.cli.length().measured;

        let registrations = format!("registrations at cost {cost}");
        self.progress(&registrations);
        let registered = repeat(ACCOUNT_CLIENTS, length, async |_| target.chat.register().await.map(drop));
        let values = requests_a_second(&registered.await?);
        self.add(&registrations, &target, values);

        let logins = format!("logins at cost {cost}");
        self.progress(&logins);
        let person = target.chat.register().await?;
        let login = json!({"userId": person.user_id, "password": PASSWORD});
        let logged_in = repeat(ACCOUNT_CLIENTS, length, async |_| {
            target.chat.request(Method::POST, "/api/auth/login", None, Some(&login)).await.map(drop)
        });
        let values = requests_a_second(&logged_in.await?);
        self.add(&logins, &target, values);
        server.stop().await
    }
}

fn requests_a_second(answered: &Answered) -> Values {
    let mut values = vec![("requests a second", answered.per_second)];
    values.extend(latencies(["p50 ms", "p99 ms"], &answered.latency));
    values
}

/// The median and the slowest hundredth of a histogram of microseconds, in milliseconds.
fn latencies([median, slowest]: [&'static str; 2], histogram: &Histogram<u64>) -> [(&'static str, f64); 2] {
    let quantile = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    [(median, quantile(0.5)), (slowest, quantile(0.99))]
}
