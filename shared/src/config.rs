//! Settings, all read once from the environment (`docs/contract.md`, "Settings" and "Rate limits").
//! `.env.example` lists them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use mysql_async::{Opts, OptsBuilder, SslOpts};
use secrecy::SecretString;

use crate::Result;

/// The key size in bytes: HS256 and the HMAC of refresh tokens use 256-bit keys (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 32;
/// The largest count of a limit, and its longest window, a day: [`crate::base::rate_limit`] has room for
/// them.
const MOST_COUNTED: u32 = 1_000_000;
const MOST_SECONDS: u64 = 86_400;
/// How long a user's last socket has been closed before their friends are notified (`docs/contract.md`,
/// "Typing, presence and read positions"). It is the delay of the queue in `template.yaml`.
const PRESENCE_HOLD: Duration = Duration::from_secs(5);
/// `docs/contract.md`, "Delivery".
const DIRECT_POSTS: DirectPosts = DirectPosts { before_answer: 200, beside_answer: 2000 };

/// All types of files that the service knows, by their media types.
pub const FILE_TYPES: [&str; 10] = [
    "application/pdf",
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "audio/mpeg",
    "audio/mp4",
    "audio/ogg",
    "video/mp4",
    "video/webm",
];
/// How many of these are accepted without a setting: those of the seeds, and images.
const USUAL_FILE_TYPES: usize = 5;

/// The certificate authorities of Amazon RDS, in PEM.
const RDS_CA: &[u8] = include_bytes!("base/rds-ca.pem");

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// What only `coterie serve` uses.
    pub server: ServerSettings,
    /// `DATABASE_URL`, or `DB_HOST DB_PORT DB_USER DB_PASSWORD DB_NAME`; `DB_AUTH` and `DB_CA`.
    pub database: Database,
    /// `JWT_SECRET`: signs access tokens. `None` only for a function that neither issues nor checks any.
    pub jwt_secret: Option<SecretString>,
    /// `JWT_SECRET_PREVIOUS`: still accepted while a secret is being rotated.
    pub jwt_secret_previous: Option<SecretString>,
    /// `REFRESH_SECRET`: keys the hashes of refresh tokens. `None` only for a function that has none.
    pub refresh_secret: Option<SecretString>,
    /// `ORIGIN_SECRET`: what CloudFront puts into its requests. Without it no header tells a client's address.
    pub origin_secret: Option<SecretString>,
    /// `ORIGIN_SECRET_PREVIOUS`: still accepted while that secret is being rotated.
    pub origin_secret_previous: Option<SecretString>,
    /// `BCRYPT_COST`: 4 to 31.
    pub bcrypt_cost: u32,
    /// `SIGNUP_GRANTS`.
    pub signup_grants: SignupGrants,
    /// `STARTING_COINS`: what a user starts with while grants are closed.
    pub starting_coins: i64,
    /// `ALLOWED_ORIGINS`: the origins of the pages that may open a socket, use the REST API and keep a refresh token in
    /// a cookie; empty for any, without cookies.
    pub allowed_origins: Vec<String>,
    /// `CHAT_LIST_LIMIT` to `ROOM_POSTS_LIMIT`.
    pub limits: Limits,
    /// `MAX_SOCKETS`: the most open sockets of one user; `None` for no limit.
    pub max_sockets: Option<u32>,
    /// How long friends are not notified that a user's last socket has closed: a reconnect within this time
    /// is silent. It is the delay of the queue, which the code must know too.
    pub presence_hold: Duration,
    /// `SECRETS_SECONDS`: how long a Lambda environment keeps the secrets that it has read.
    pub secrets_age: Duration,
    /// To how large an audience a function posts itself.
    pub direct_posts: DirectPosts,
    /// `FAN_OUT_QUEUE_URL` and `PRESENCE_QUEUE_URL`; the template sets them in AWS.
    pub queues: QueueUrls,
    /// `WS_MANAGEMENT_ENDPOINT`: the address of `@connections`; the template sets it in AWS.
    pub management_endpoint: Option<String>,
    /// The object store for files.
    pub store: StoreSettings,
    /// `UPLOAD_TYPES`: the media types of the files that are accepted, each one of [`FILE_TYPES`].
    pub upload_types: Vec<String>,
}

/// How many connections clients may have open to each port of `coterie serve`; `None` for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `MAX_CONNECTIONS`: all of them.
    pub all: Option<u32>,
    /// `MAX_ADDRESS_CONNECTIONS`: those of one address.
    pub of_address: Option<u32>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { all: Some(10_000), of_address: Some(1000) }
    }
}

/// How `coterie serve` is reached.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// `LISTEN`: the address to listen on.
    pub listen: IpAddr,
    /// `PORT`: the port of HTTP and WebSocket.
    pub port: u16,
    /// `TLS_CERT` and `TLS_KEY`. Without them the port speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// `TRUSTED_PROXIES`: whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `PUBLIC_URL`: where clients reach the server, without a slash at its end.
    pub public_url: Option<String>,
    /// `MAX_CONNECTIONS` and `MAX_ADDRESS_CONNECTIONS`.
    pub connections: ConnectionLimits,
    /// `PEER_LISTEN`: where other processes over the same database post to the sockets of this one. Port 0 is a free one.
    pub peer_listen: SocketAddr,
    /// `METRICS_LISTEN`: where metrics and readiness are served; `None` for nowhere.
    pub metrics_listen: Option<SocketAddr>,
}

impl ServerSettings {
    /// Reads only these settings and `ALLOWED_ORIGINS`, for a server whose functions have the others.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn with_origins(map: BTreeMap<String, String>) -> Result<(Self, Vec<String>), ConfigError> {
        let mut settings = Settings { map, wrong: Vec::new() };
        let found = (settings.server(), settings.allowed_origins());
        if settings.wrong.is_empty() { Ok(found) } else { Err(ConfigError(settings.wrong)) }
    }

    /// Whether others than programs of this machine may reach the server, perhaps through a proxy.
    pub fn is_exposed(&self) -> bool {
        let is_public = self.public_url.as_deref().is_some_and(|url| !is_of_this_machine(url));
        !self.listen.is_loopback() || !self.trusted_proxies.is_empty() || is_public
    }
}

/// Whether a URL names this machine as only its own programs do.
fn is_of_this_machine(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, authority)| authority);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address: Result<IpAddr, _> = host.trim_start_matches('[').trim_end_matches(']').parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The files of a certificate, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `TLS_CERT`: the certificate, and those that lead from it to its authority.
    pub cert: PathBuf,
    /// `TLS_KEY`: its private key.
    pub key: PathBuf,
}

/// How to reach the database. `Debug` shows neither the password nor a token.
#[derive(Clone)]
pub struct Database {
    /// The address, the account, the name of the database, and TLS.
    pub opts: Opts,
    /// `DB_AUTH`.
    pub auth: DatabaseAuth,
}

/// How the service proves to the database who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseAuth {
    /// By the account's password.
    Password,
    /// By a token that AWS's IAM signs for 15 minutes (Amazon RDS, "IAM database authentication").
    Iam,
}

impl From<Opts> for Database {
    fn from(opts: Opts) -> Self {
        Self { opts, auth: DatabaseAuth::Password }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("host", &self.opts.ip_or_hostname())
            .field("port", &self.opts.tcp_port())
            .field("name", &self.opts.db_name())
            .field("user", &self.opts.user())
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

/// Where jobs for other functions wait. Without a queue, a function does its jobs itself.
#[derive(Clone, Debug, Default)]
pub struct QueueUrls {
    /// `FAN_OUT_QUEUE_URL`: posts to large audiences.
    pub fan_out: Option<String>,
    /// `PRESENCE_QUEUE_URL`: sockets that have closed.
    pub presence: Option<String>,
}

/// The largest audiences to which a function posts itself. Larger ones are jobs for `fan-out`.
#[derive(Clone, Copy, Debug)]
pub struct DirectPosts {
    /// The most sockets when the request is answered after the posts.
    pub before_answer: usize,
    /// The most sockets when the request is answered beside the posts.
    pub beside_answer: usize,
}

/// The object store. A store without a bucket counts as unavailable.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// `UPLOADS_BUCKET`; the template sets it in AWS.
    pub bucket: Option<String>,
    /// `S3_ENDPOINT`: a store other than AWS's, such as `http://127.0.0.1:9000`. There the bucket is the
    /// first part of the path.
    pub endpoint: Option<String>,
    /// The keys of a store in this process. `None` uses the AWS SDK's own settings, which in AWS means the
    /// function's role.
    pub keys: Option<Keys>,
    /// Where clients reach a store in this process. `None`: at the endpoint.
    pub public_url: Option<String>,
}

/// A pair of access keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: SecretString,
}

/// What a registration may claim (`docs/contract.md`, "Signup grants").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignupGrants {
    /// Claimed coins and the prime flag are granted.
    Open,
    /// Everybody starts with `STARTING_COINS` and is not prime.
    Closed,
}

/// The rate limits; `None` where a limit is turned off.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the setting of its name")]
pub struct Limits {
    pub chat_list: Option<Limit>,
    pub message: Option<Limit>,
    pub frame: Option<Limit>,
    pub read: Option<Limit>,
    pub ticket: Option<Limit>,
    pub upload: Option<Limit>,
    pub password: Option<Limit>,
    pub login: Option<Limit>,
    pub register: Option<Limit>,
    pub handshake: Option<Limit>,
    pub room: Option<Limit>,
    pub add: Option<Limit>,
    pub room_posts: Option<Limit>,
}

/// At most `count` requests in a window of time; `10/600` means ten in 600 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The number of requests.
    pub count: u32,
    /// How long the window stays open after its first request.
    pub window: Duration,
}

impl FromStr for Limit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (count, seconds) = text.split_once('/').ok_or(())?;
        let (count, seconds) = (count.parse().map_err(drop)?, seconds.parse().map_err(drop)?);
        if !(1..=MOST_COUNTED).contains(&count) || !(1..=MOST_SECONDS).contains(&seconds) {
            return Err(());
        }
        Ok(Self { count, window: Duration::from_secs(seconds) })
    }
}

/// Everything that is wrong with the settings, one line for each mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrong settings (in the environment or .env; see .env.example):")?;
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the settings from the environment of the process.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from(std::env::vars().collect())
    }

    /// Reads the settings from a map. An empty value counts as absent.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn from(map: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let absent: Vec<_> = ["JWT_SECRET", "REFRESH_SECRET"]
            .into_iter()
            .filter(|name| map.get(*name).is_none_or(String::is_empty))
            .map(|name| format!("{name} must be set (make one with `openssl rand -hex 32`)"))
            .collect();
        Self::read(map, absent)
    }

    /// Reads the settings of one Lambda function, which has only the secrets that it uses.
    ///
    /// # Errors
    /// All mistakes together.
    pub fn of_function(map: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        Self::read(map, Vec::new())
    }

    fn read(map: BTreeMap<String, String>, wrong: Vec<String>) -> Result<Self, ConfigError> {
        let mut settings = Settings { map, wrong };
        let config = Self {
            server: settings.server(),
            database: settings.database(),
            jwt_secret: settings.secret("JWT_SECRET"),
            jwt_secret_previous: settings.secret("JWT_SECRET_PREVIOUS"),
            refresh_secret: settings.secret("REFRESH_SECRET"),
            origin_secret: settings.secret("ORIGIN_SECRET"),
            origin_secret_previous: settings.secret("ORIGIN_SECRET_PREVIOUS"),
            bcrypt_cost: settings.within("BCRYPT_COST", 12, 4..=31),
            signup_grants: match settings.text("SIGNUP_GRANTS").as_deref() {
                None | Some("closed") => SignupGrants::Closed,
                Some("open") => SignupGrants::Open,
                Some(_) => settings.wrong("SIGNUP_GRANTS", "`open` or `closed`", SignupGrants::Closed),
            },
            starting_coins: settings.within("STARTING_COINS", 0, 0..=1_000_000_000),
            allowed_origins: settings.allowed_origins(),
            limits: Limits {
                chat_list: settings.limit("CHAT_LIST_LIMIT", "10/600"),
                message: settings.limit("MESSAGE_LIMIT", "60/3"),
                frame: settings.limit("FRAME_LIMIT", "60/3"),
                read: settings.limit("READ_LIMIT", "600/60"),
                ticket: settings.limit("TICKET_LIMIT", "30/60"),
                upload: settings.limit("UPLOAD_LIMIT", "20/3600"),
                password: settings.limit("PASSWORD_LIMIT", "10/600"),
                login: settings.limit("LOGIN_LIMIT", "30/600"),
                register: settings.limit("REGISTER_LIMIT", "20/3600"),
                handshake: settings.limit("HANDSHAKE_LIMIT", "100/10"),
                room: settings.limit("ROOM_LIMIT", "30/3600"),
                add: settings.limit("ADD_LIMIT", "200/3600"),
                room_posts: Some(settings.within("ROOM_POSTS_LIMIT", 5000, 0..=MOST_COUNTED))
                    .filter(|&count| count > 0)
                    .map(|count| Limit { count, window: Duration::from_secs(1) }),
            },
            max_sockets: settings.most("MAX_SOCKETS", Some(10)),
            presence_hold: PRESENCE_HOLD,
            secrets_age: Duration::from_secs(settings.within("SECRETS_SECONDS", 300, 1..=3600)),
            direct_posts: DIRECT_POSTS,
            queues: QueueUrls {
                fan_out: settings.text("FAN_OUT_QUEUE_URL"),
                presence: settings.text("PRESENCE_QUEUE_URL"),
            },
            management_endpoint: settings.text("WS_MANAGEMENT_ENDPOINT"),
            store: StoreSettings {
                bucket: settings.text("UPLOADS_BUCKET"),
                endpoint: settings.text("S3_ENDPOINT"),
                keys: None,
                public_url: None,
            },
            upload_types: settings.upload_types(),
        };
        settings.refuse_openness(&config);
        if settings.wrong.is_empty() { Ok(config) } else { Err(ConfigError(settings.wrong)) }
    }
}

struct Settings {
    map: BTreeMap<String, String>,
    wrong: Vec<String>,
}

impl Settings {
    fn text(&self, name: &str) -> Option<String> {
        self.map.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// Values that are separated by commas.
    fn list(&self, name: &str) -> Option<Vec<String>> {
        let values = self.text(name)?;
        let values = values.split(',').map(|value| value.trim().to_owned());
        Some(values.filter(|value| !value.is_empty()).collect())
    }

    fn upload_types(&mut self) -> Vec<String> {
        let usual = || FILE_TYPES[..USUAL_FILE_TYPES].iter().map(|&name| name.to_owned()).collect();
        match self.list("UPLOAD_TYPES") {
            None => usual(),
            Some(types) if types.iter().all(|name| FILE_TYPES.contains(&name.as_str())) => types,
            Some(_) => {
                let expected = format!("types of {}, separated by commas", FILE_TYPES.join(", "));
                self.wrong("UPLOAD_TYPES", &expected, usual())
            }
        }
    }

    /// Notes that a setting is wrong and goes on with a stand-in value, so that all mistakes are found.
    fn wrong<T>(&mut self, name: &str, expected: &str, stand_in: T) -> T {
        self.wrong.push(format!("{name} must be {expected}"));
        stand_in
    }

    fn parse<T: FromStr>(&mut self, name: &str, default: T, expected: &str) -> T {
        match self.text(name).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(_)) => self.wrong(name, expected, default),
        }
    }

    fn within<T>(&mut self, name: &str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let expected = format!("{} to {}", range.start(), range.end());
        let value = self.parse(name, default, &expected);
        if range.contains(&value) { value } else { self.wrong(name, &expected, default) }
    }

    fn allowed_origins(&mut self) -> Vec<String> {
        let text = self.text("ALLOWED_ORIGINS").unwrap_or_default();
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        let origins: Vec<String> = origins.map(str::to_owned).collect();
        // What a browser never sends would only seem to allow something.
        let is_origin = |origin: &String| {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            !host.is_empty() && !host.contains(['/', '*', ' '])
        };
        match origins.iter().all(is_origin) {
            true => origins,
            false => self.wrong("ALLOWED_ORIGINS", "origins like https://chat.example.com", Vec::new()),
        }
    }

    /// A plain number, of which 0 is no limit.
    fn most(&mut self, name: &str, default: Option<u32>) -> Option<u32> {
        let most = self.parse(name, default.unwrap_or(0), "a whole number");
        Some(most).filter(|&most| most > 0)
    }

    fn server(&mut self) -> ServerSettings {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let files = (self.text("TLS_CERT"), self.text("TLS_KEY"));
        let tls = match files {
            (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
            (None, None) => None,
            (Some(_), None) => self.wrong("TLS_KEY", "set when TLS_CERT is", None),
            (None, Some(_)) => self.wrong("TLS_CERT", "set when TLS_KEY is", None),
        };
        ServerSettings {
            listen: self.parse("LISTEN", loopback, "an IP address, such as 0.0.0.0 or ::"),
            port: self.parse("PORT", 3000, "a port, 0 to 65535"),
            tls,
            trusted_proxies: self.trusted_proxies(),
            public_url: self.public_url(),
            connections: self.connection_limits(),
            peer_listen: self.peer_listen((loopback, 0).into()),
            metrics_listen: self.text("METRICS_LISTEN").and_then(|text| match text.parse() {
                Ok(address) => Some(address),
                Err(_) => self.wrong("METRICS_LISTEN", "an address and a port, such as 127.0.0.1:9464", None),
            }),
        }
    }

    fn peer_listen(&mut self, default: SocketAddr) -> SocketAddr {
        let expected = "an address that the other processes reach, and a port, such as 10.0.0.5:7000";
        match self.parse("PEER_LISTEN", default, expected) {
            address if address.ip().is_unspecified() => self.wrong("PEER_LISTEN", expected, default),
            address => address,
        }
    }

    /// Networks such as `10.0.0.0/8`, and single addresses.
    fn trusted_proxies(&mut self) -> Vec<IpNet> {
        let texts = self.list("TRUSTED_PROXIES").unwrap_or_default();
        let network =
            |text: &String| text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<IpAddr>().ok()?.into()));
        match texts.iter().map(network).collect::<Option<Vec<_>>>() {
            Some(networks) => networks,
            None => {
                let expected = "addresses or networks like 10.0.0.0/8, separated by commas";
                self.wrong("TRUSTED_PROXIES", expected, Vec::new())
            }
        }
    }

    fn public_url(&mut self) -> Option<String> {
        let url = self.text("PUBLIC_URL")?;
        let url = url.strip_suffix('/').unwrap_or(&url);
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        match !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) {
            true => Some(url.to_owned()),
            false => self.wrong("PUBLIC_URL", "like https://chat.example.com, without a path", None),
        }
    }

    /// Refuses settings for trying things out where others than programs of this machine reach the server, unless
    /// `ALLOW_OPEN` names them.
    fn refuse_openness(&mut self, config: &Config) {
        let allowed = self.list("ALLOW_OPEN").unwrap_or_default();
        if !allowed.iter().all(|what| ["grants", "registrations"].contains(&what.as_str())) {
            self.wrong("ALLOW_OPEN", "`grants`, `registrations` or both, separated by a comma", ());
        }
        if !config.server.is_exposed() {
            return;
        }
        let is_allowed = |what: &str| allowed.iter().any(|allowed| allowed == what);
        if config.signup_grants == SignupGrants::Open && !is_allowed("grants") {
            let why = "SIGNUP_GRANTS=open gives whoever reaches the server the coins and the prime flag that they claim: \
                       close it, or say ALLOW_OPEN=grants";
            self.wrong.push(why.to_owned());
        }
        if config.limits.register.is_none() && !is_allowed("registrations") {
            let why = "REGISTER_LIMIT=0 lets whoever reaches the server register without end: set a limit, or say \
                       ALLOW_OPEN=registrations";
            self.wrong.push(why.to_owned());
        }
        if config.store.bucket.is_none() && config.server.public_url.is_none() {
            let why = "PUBLIC_URL must be set where others than this machine reach the server: the URLs of files begin \
                       with it";
            self.wrong.push(why.to_owned());
        }
    }

    fn connection_limits(&mut self) -> ConnectionLimits {
        let ConnectionLimits { all, of_address } = ConnectionLimits::default();
        ConnectionLimits {
            all: self.most("MAX_CONNECTIONS", all),
            of_address: self.most("MAX_ADDRESS_CONNECTIONS", of_address),
        }
    }

    fn limit(&mut self, name: &str, default: &str) -> Option<Limit> {
        match self.text(name).as_deref().unwrap_or(default) {
            "0" => None,
            text => match text.parse() {
                Ok(limit) => Some(limit),
                Err(()) => {
                    self.wrong(name, &format!("`count/seconds` like {default}, at most {MOST_COUNTED}/{MOST_SECONDS}, or 0 for no limit"), None)
                }
            },
        }
    }

    fn secret(&mut self, name: &str) -> Option<SecretString> {
        let secret = self.text(name)?;
        if secret.len() < SECRET_BYTES {
            let expected = format!(
                "at least {SECRET_BYTES} bytes, or it could be guessed; it has {} (make one with `openssl rand -hex 32`)",
                secret.len()
            );
            self.wrong(name, &expected, ());
        }
        Some(secret.into())
    }

    fn database(&mut self) -> Database {
        let auth = match self.text("DB_AUTH").as_deref() {
            None | Some("password") => DatabaseAuth::Password,
            Some("iam") => DatabaseAuth::Iam,
            Some(_) => self.wrong("DB_AUTH", "`password` or `iam`", DatabaseAuth::Password),
        };
        let opts = self.database_account();
        if auth == DatabaseAuth::Iam && opts.user().is_none() {
            self.wrong("DB_USER", "set when DB_AUTH is `iam`", ());
        }
        let mut opts = OptsBuilder::from_opts(opts);
        let ca = self.text("DB_CA").or_else(|| (auth == DatabaseAuth::Iam).then(|| "rds".to_owned()));
        if let Some(ca) = ca {
            opts = opts.ssl_opts(self.tls(&ca));
        }
        // The plugin sends the token as it is. It goes through TLS, which this mode always has.
        Database { opts: opts.enable_cleartext_plugin(auth == DatabaseAuth::Iam).into(), auth }
    }

    /// TLS to a server whose certificate is issued by `ca` and names the host.
    fn tls(&mut self, ca: &str) -> SslOpts {
        let roots = match ca {
            "web" => return SslOpts::default(),
            "rds" => RDS_CA.to_vec(),
            file => match std::fs::read(file) {
                Ok(roots) => roots,
                Err(_) => self.wrong("DB_CA", "`rds`, `web` or a PEM file that can be read", Vec::new()),
            },
        };
        SslOpts::default().with_root_certs(vec![roots.into()]).with_disable_built_in_roots(true)
    }

    fn database_account(&mut self) -> Opts {
        match (self.text("DATABASE_URL"), self.text("DB_HOST")) {
            (Some(url), _) => match Opts::from_url(&url) {
                Ok(opts) if opts.db_name().is_some() => opts,
                // The URL contains a password, so the message does not repeat it.
                _ => self.wrong(
                    "DATABASE_URL",
                    "like mysql://user:password@host:3306/database",
                    Opts::default(),
                ),
            },
            (None, Some(host)) => {
                let port = self.parse("DB_PORT", 3306, "a port, 1 to 65535");
                let name = self.text("DB_NAME");
                let opts = OptsBuilder::default()
                    .ip_or_hostname(host)
                    .tcp_port(port)
                    .user(self.text("DB_USER"))
                    .pass(self.text("DB_PASSWORD"))
                    .db_name(name.clone());
                match name {
                    Some(_) => opts.into(),
                    None => self.wrong("DB_NAME", "set when DB_HOST is", opts.into()),
                }
            }
            (None, None) => self.wrong("DATABASE_URL (or DB_HOST)", "set", Opts::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let secret = "s".repeat(32);
        let base = [
            ("DATABASE_URL", "mysql://u:p@localhost/chat"),
            ("JWT_SECRET", &secret),
            ("REFRESH_SECRET", &secret),
        ];
        base.iter().chain(pairs).map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = Config::from(settings(&[])).unwrap();
        assert_eq!((config.server.port, config.bcrypt_cost, config.starting_coins), (3000, 12, 0));
        assert_eq!(config.signup_grants, SignupGrants::Closed);
        assert_eq!(config.limits.chat_list, Some(Limit { count: 10, window: Duration::from_secs(600) }));
        assert_eq!(config.limits.room, Some(Limit { count: 30, window: Duration::from_secs(3600) }));
        assert_eq!(config.limits.add, Some(Limit { count: 200, window: Duration::from_secs(3600) }));
        assert_eq!(config.limits.handshake, Some(Limit { count: 100, window: Duration::from_secs(10) }));
        assert_eq!(config.max_sockets, Some(10));
        assert_eq!(config.limits.room_posts, Some(Limit { count: 5000, window: Duration::from_secs(1) }));
        assert_eq!(config.server.connections, ConnectionLimits { all: Some(10_000), of_address: Some(1000) });
        assert!(config.server.listen.is_loopback() && config.server.peer_listen.ip().is_loopback());
        assert!(config.server.tls.is_none() && config.server.metrics_listen.is_none());
        let types = ["application/pdf", "image/jpeg", "image/png", "image/webp", "image/gif"];
        assert_eq!(config.upload_types, types);
    }

    #[test]
    fn all_mistakes_are_reported_at_once_and_no_secret_is_repeated() {
        let error = Config::from(settings(&[
            ("PORT", "x"),
            ("JWT_SECRET", "your_jwt_secret"),
            ("BCRYPT_COST", "3"),
            ("SIGNUP_GRANTS", "maybe"),
            ("CHAT_LIST_LIMIT", "10"),
            ("UPLOAD_TYPES", "image/png, text/html"),
            ("DATABASE_URL", "postgres://u:hunter2@localhost/x"),
        ]))
        .unwrap_err()
        .to_string();
        for name in [
            "PORT",
            "JWT_SECRET",
            "BCRYPT_COST",
            "SIGNUP_GRANTS",
            "CHAT_LIST_LIMIT",
            "UPLOAD_TYPES",
            "DATABASE_URL",
        ] {
            assert!(error.contains(name), "{name} in {error}");
        }
        assert!(!error.contains("your_jwt_secret") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn no_secret_stands_in_the_debug_text() {
        let url = "mysql://u:hunter2@localhost/chat";
        let secret = &*"s".repeat(32);
        let secrets = [("JWT_SECRET_PREVIOUS", secret), ("ORIGIN_SECRET", secret), ("DATABASE_URL", url)];
        let config = Config::from(settings(&secrets)).unwrap();
        let text = format!("{config:?}");
        assert!(!text.contains("sss") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn what_is_for_trying_things_out_is_refused_beyond_this_machine_unless_it_is_named() {
        let url = ("PUBLIC_URL", "https://chat.example");
        let (grants, register) = (("SIGNUP_GRANTS", "open"), ("REGISTER_LIMIT", "0"));
        for exposed in [("LISTEN", "0.0.0.0"), ("LISTEN", "::"), ("TRUSTED_PROXIES", "127.0.0.1"), url] {
            let refused = |more: &[(&str, &str)]| {
                let all: Vec<_> = [url, exposed].into_iter().chain(more.iter().copied()).collect();
                Config::from(settings(&all)).err().map(|error| error.to_string()).unwrap_or_default()
            };
            let error = refused(&[grants, register]);
            assert!(
                error.contains("ALLOW_OPEN=grants") && error.contains("ALLOW_OPEN=registrations"),
                "{error}"
            );
            assert_eq!(refused(&[grants, register, ("ALLOW_OPEN", "grants, registrations")]), "");
            assert!(refused(&[grants, ("ALLOW_OPEN", "registrations")]).contains("ALLOW_OPEN=grants"));
            assert!(refused(&[("ALLOW_OPEN", "yes")]).contains("ALLOW_OPEN must be"));
            assert_eq!(refused(&[]), "");
        }
        for local in [("LISTEN", "127.0.0.1"), ("LISTEN", "::1"), ("PUBLIC_URL", "http://localhost:3000")] {
            Config::from(settings(&[grants, register, local])).unwrap();
        }
        let error = Config::from(settings(&[("LISTEN", "0.0.0.0")])).unwrap_err().to_string();
        assert!(error.contains("PUBLIC_URL"), "{error}");
    }

    #[test]
    fn proxies_are_networks_and_a_public_url_has_no_path() {
        let server = |name, text| Config::from(settings(&[(name, text)])).map(|config| config.server);
        let proxies = server("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32");
        let proxies = proxies.map_err(|error| error.to_string());
        assert!(proxies.unwrap_err().contains("PUBLIC_URL"), "the URL is all that is wrong");
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0.1-10.0.0.9"] {
            assert!(
                server("TRUSTED_PROXIES", wrong).unwrap_err().to_string().contains("TRUSTED_PROXIES"),
                "{wrong}"
            );
        }
        assert_eq!(
            server("PUBLIC_URL", "https://chat.example:8443/").unwrap().public_url.unwrap(),
            "https://chat.example:8443"
        );
        for wrong in
            ["chat.example", "ftp://chat.example", "https://", "https://chat.example/x", "https://me@chat"]
        {
            assert!(server("PUBLIC_URL", wrong).unwrap_err().to_string().contains("PUBLIC_URL"), "{wrong}");
        }
        assert!(server("TLS_CERT", "cert.pem").unwrap_err().to_string().contains("TLS_KEY"));
    }

    #[test]
    fn zero_turns_a_limit_off() {
        let config = Config::from(settings(&[
            ("MESSAGE_LIMIT", "0"),
            ("ROOM_POSTS_LIMIT", "0"),
            ("MAX_SOCKETS", "0"),
            ("MAX_CONNECTIONS", "0"),
            ("MAX_ADDRESS_CONNECTIONS", "0"),
        ]))
        .unwrap();
        assert_eq!((config.limits.message, config.max_sockets, config.limits.room_posts), (None, None, None));
        assert_eq!(config.server.connections, ConnectionLimits { all: None, of_address: None });
    }

    #[test]
    fn the_database_can_be_given_in_parts() {
        let mut map = settings(&[
            ("DB_HOST", "db.example"),
            ("DB_PORT", "3307"),
            ("DB_USER", "me"),
            ("DB_NAME", "chat"),
        ]);
        map.remove("DATABASE_URL");
        let opts = Config::from(map).unwrap().database.opts;
        assert_eq!(
            (opts.ip_or_hostname(), opts.tcp_port(), opts.db_name()),
            ("db.example", 3307, Some("chat"))
        );
    }

    #[test]
    fn an_empty_setting_counts_as_absent() {
        let empty = ["JWT_SECRET_PREVIOUS", "DB_CA", "DB_AUTH", "ALLOWED_ORIGINS", "PORT", "MESSAGE_LIMIT"];
        let given = Config::from(settings(&empty.map(|name| (name, "")))).unwrap();
        let absent = Config::from(settings(&[])).unwrap();
        assert_eq!(format!("{given:?}"), format!("{absent:?}"));
    }

    #[test]
    fn allowed_origins_are_whole_origins() {
        let of =
            |text| Config::from(settings(&[("ALLOWED_ORIGINS", text)])).map(|config| config.allowed_origins);
        assert_eq!(
            of("https://a.example, http://localhost:5173,").unwrap(),
            ["https://a.example", "http://localhost:5173"]
        );
        for wrong in [
            "*",
            "null",
            "a.example",
            "https://*",
            "https://*.example",
            "https://a.example/",
            "https://a.example/x",
        ] {
            assert!(of(wrong).unwrap_err().to_string().contains("ALLOWED_ORIGINS"), "{wrong}");
        }
    }

    #[test]
    fn iam_authentication_goes_through_verified_tls_only() {
        let config = Config::from(settings(&[("DB_AUTH", "iam")])).unwrap();
        assert_eq!(config.database.auth, DatabaseAuth::Iam);
        let tls = config.database.opts.ssl_opts().unwrap();
        assert!(tls.disable_built_in_roots() && !tls.accept_invalid_certs() && !tls.skip_domain_validation());
        assert!(config.database.opts.enable_cleartext_plugin());
        assert!(!Config::from(settings(&[])).unwrap().database.opts.enable_cleartext_plugin());
    }

    #[test]
    fn a_wrong_database_setting_is_named() {
        let mut map = settings(&[("DB_HOST", "db.example"), ("DB_NAME", "chat"), ("DB_AUTH", "iam")]);
        map.remove("DATABASE_URL");
        map.insert("DB_CA".to_owned(), "/nowhere/ca.pem".to_owned());
        let error = Config::from(map).unwrap_err().to_string();
        assert!(error.contains("DB_USER") && error.contains("DB_CA"), "{error}");
    }
}
