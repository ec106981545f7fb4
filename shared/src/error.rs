//! The error type, and the table from each error to what a client sees (`docs/contract.md`, "Error codes").

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One wrong field of a request: an entry of `errors` in a 400 `invalid_request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name in the request, or `body` when the body is not a JSON object.
    pub field: String,
    /// What is wrong with it, phrased to follow the field's name: `must be 1 to 64 characters`.
    pub message: String,
}

/// The most wrong fields that an answer lists.
const MOST_FIELDS: usize = 100;
/// The most wrong fields that `detail` names; `errors` lists the others.
const MOST_CLAUSES: usize = 10;
/// The most characters of a field's name and of its message, so that no error repeats a longer value.
const LONGEST_TEXT: usize = 200;

impl FieldError {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// How much of a rate limit's window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many requests the window allows.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// Seconds until the window ends, rounded up.
    pub reset: u64,
}

/// The thing that was not found. It names the code of a 404: `room_not_found` and the like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A room, of any kind.
    Room,
    /// A user.
    User,
    /// A message.
    Message,
    /// A member of a room.
    Member,
    /// A session.
    Session,
    /// An invitation.
    Invitation,
    /// A friend request.
    FriendRequest,
    /// A friend.
    Friend,
    /// An organization.
    Organization,
    /// An uploaded file, or the place for one.
    Upload,
    /// An avatar.
    Avatar,
}

/// Everything that can go wrong, one variant for each `code` of the contract. `Display` is the `detail`: it
/// tells the client what to do and reveals nothing about the implementation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the request is malformed. Every wrong field is named.
    #[error("{}", sentence(.0))]
    InvalidRequest(Vec<FieldError>),
    /// 401: credentials are missing, expired, revoked or forged.
    #[error("Sign in and send the access token as `Authorization: Bearer <accessToken>`.")]
    Unauthenticated,
    /// 401: the password is wrong or the user unknown. Both get the same answer.
    #[error("No user has this identifier and password.")]
    InvalidCredentials,
    /// 402: too few coins.
    #[error("This costs {required} coins, and there are {available}.")]
    InsufficientCoins {
        /// What it costs, in coins.
        required: i64,
        /// What the user has, in coins.
        available: i64,
    },
    /// 403: only prime users may do this.
    #[error("Only prime users may do this.")]
    PrimeRequired,
    /// 403: the user belongs to the organization, but not to the room.
    #[error("Join the room first.")]
    NotAMember,
    /// 403: only the room's creator may do this.
    #[error("Only the room's creator may do this.")]
    NotRoomCreator,
    /// 403: only the sender may do this.
    #[error("Only the message's sender may do this.")]
    NotSender,
    /// 403: the user's role in the room is too low.
    #[error("This is reserved for the room's {0}.")]
    RoomRoleRequired(&'static str),
    /// 403: the room password is wrong or missing.
    #[error("The room's password is missing or wrong.")]
    WrongRoomPassword,
    /// 403: the invitation is unknown, expired, used, revoked or somebody else's.
    #[error("The invitation is invalid, expired or already used: ask for a new one.")]
    InvitationInvalid,
    /// 403: the user who was or is to be invited is not prime.
    #[error("Only prime users can be invited.")]
    InviteeNotPrime,
    /// 403: the user's role in the organization is too low.
    #[error("Only {0} may do this.")]
    RoleRequired(&'static str),
    /// 403: the registration claims a role.
    #[error("In an existing organization everybody starts as `user`. One of its admins can change that.")]
    RoleNotAllowed,
    /// 403: the organization exists, and its name alone does not let anybody register into it.
    #[error("This organization already exists: ask one of its admins for the `joinCode`.")]
    OrganizationClosed,
    /// 403: the `userId` given for the acting user differs from the token's.
    #[error("`userId` is not the user who is signed in: leave it out, or sign in as that user.")]
    IdentityMismatch,
    /// 403: the web page may not open a socket, or have a refresh token in a cookie.
    #[error("This page may not connect: its origin is not one of ALLOWED_ORIGINS.")]
    OriginNotAllowed,
    /// 403: only their friends may add these users to groups. Each is named.
    #[error("{}", sentence(.0))]
    NotAddable(Vec<FieldError>),
    /// 404: it does not exist, or it belongs to another organization.
    #[error("There is no such {0}.")]
    NotFound(Thing),
    /// 409: every seat is taken.
    #[error("All {capacity} seats of the room are taken.")]
    RoomFull {
        /// The room's most members.
        capacity: u32,
    },
    /// 409: the membership of a direct chat never changes.
    #[error("A direct chat cannot change: you cannot leave it, remove a member or delete it.")]
    DirectChat,
    /// 409: another user has this userId, username, email or phone.
    #[error("Another user already has this {field}.")]
    UserExists {
        /// The field's name in the request.
        field: &'static str,
    },
    /// 409: the two users are friends.
    #[error("You are already friends. To end that, remove the friend.")]
    AlreadyFriends,
    /// 409: an earlier friend request is still pending.
    #[error("You have already sent a friend request: wait for the answer.")]
    FriendRequestExists,
    /// 409: the other user rejected a friend request a short time ago.
    #[error("Your friend request was rejected: you may ask again in {retry_after} s.")]
    FriendRequestRejected {
        /// Seconds until the user may ask again.
        retry_after: u64,
    },
    /// 409: an organization must keep an admin.
    #[error("This is the organization's last admin: appoint another one first.")]
    LastAdmin,
    /// 409: a join code was requested for an organization that is open to everybody.
    #[error("`public` is open to everybody and needs no join code.")]
    OrganizationOpen,
    /// 409: the `idempotencyKey` was used for a different grant.
    #[error("This idempotencyKey was used for another change of coins: send a new one.")]
    IdempotencyKeyReused,
    /// 409: the `clientMessageId` was used with a different body.
    #[error("This clientMessageId was used for another message: send a new one.")]
    ClientMessageIdReused,
    /// 413: the file is too large for this route.
    #[error("The file is too large: this route accepts at most {most} bytes.")]
    PayloadTooLarge {
        /// The most bytes that the route accepts.
        most: u64,
    },
    /// 415: the file is of no type that is accepted, or its bytes do not match its declared type.
    #[error("Files of this type are not accepted here, or the bytes do not match the declared type.")]
    UnsupportedMediaType,
    /// 429: too many requests in a window of time.
    #[error("Too many requests: at most {} are allowed at a time. Try again in {} s.", .0.limit, .0.reset)]
    RateLimited(Standing),
    /// 429: the room is in slow mode, and the sender has sent too shortly before.
    #[error("The room is in slow mode: you may send again in {} s.", .0.reset)]
    SlowMode(Standing),
    /// 503: too much costly work is waiting already.
    #[error("The service is busy. Try again in {retry_after} s.")]
    Overloaded {
        /// Seconds until the work that waits now is likely to be done.
        retry_after: u64,
    },
    /// 503: the database does not answer, or cannot do this at the moment.
    #[error("The database does not answer. Try again in a moment.")]
    DatabaseUnavailable(#[source] mysql_async::Error),
    /// 503: the object store does not answer, or answers with an error.
    #[error("The file store does not answer. Try again in a moment.")]
    StoreUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// 500: a bug or a broken environment. Only the log has the cause.
    #[error("Something went wrong on our side. If it happens again, report the request id.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Makes a 400 that names one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldError::new(field, message)])
    }

    /// Makes a 403 for users whom only their friends may add to groups, each with the field that names them.
    pub fn not_addable<'a, U>(users: impl IntoIterator<Item = (&'static str, &'a U)>) -> Self
    where
        U: fmt::Display + 'a,
    {
        let message = |user_id: &U| format!("names {user_id}, whom only friends may add");
        Self::NotAddable(
            users.into_iter().map(|(field, user_id)| FieldError::new(field, message(user_id))).collect(),
        )
    }

    /// Makes a 500 whose cause appears only in the log.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// Returns the HTTP status and the stable code. This is the table of all errors.
    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::InvalidRequest(_) => (400, "invalid_request"),
            Self::Unauthenticated => (401, "unauthenticated"),
            Self::InvalidCredentials => (401, "invalid_credentials"),
            Self::InsufficientCoins { .. } => (402, "insufficient_coins"),
            Self::PrimeRequired => (403, "prime_required"),
            Self::NotAMember => (403, "not_a_member"),
            Self::NotRoomCreator => (403, "not_room_creator"),
            Self::NotSender => (403, "not_sender"),
            Self::RoomRoleRequired(_) => (403, "room_role_required"),
            Self::InvitationInvalid => (403, "invitation_invalid"),
            Self::InviteeNotPrime => (403, "invitee_not_prime"),
            Self::RoleRequired(_) => (403, "role_required"),
            Self::WrongRoomPassword => (403, "wrong_room_password"),
            Self::RoleNotAllowed => (403, "role_not_allowed"),
            Self::OrganizationClosed => (403, "organization_closed"),
            Self::IdentityMismatch => (403, "identity_mismatch"),
            Self::OriginNotAllowed => (403, "origin_not_allowed"),
            Self::NotAddable(_) => (403, "not_addable"),
            Self::NotFound(Thing::Room) => (404, "room_not_found"),
            Self::NotFound(Thing::User) => (404, "user_not_found"),
            Self::NotFound(Thing::Message) => (404, "message_not_found"),
            Self::NotFound(Thing::Member) => (404, "member_not_found"),
            Self::NotFound(Thing::Session) => (404, "session_not_found"),
            Self::NotFound(Thing::Invitation) => (404, "invitation_not_found"),
            Self::NotFound(Thing::FriendRequest) => (404, "friend_request_not_found"),
            Self::NotFound(Thing::Friend) => (404, "friend_not_found"),
            Self::NotFound(Thing::Organization) => (404, "organization_not_found"),
            Self::NotFound(Thing::Upload) => (404, "upload_not_found"),
            Self::NotFound(Thing::Avatar) => (404, "avatar_not_found"),
            Self::RoomFull { .. } => (409, "room_full"),
            Self::DirectChat => (409, "direct_chat"),
            Self::UserExists { .. } => (409, "user_exists"),
            Self::AlreadyFriends => (409, "already_friends"),
            Self::FriendRequestExists => (409, "friend_request_exists"),
            Self::FriendRequestRejected { .. } => (409, "friend_request_rejected"),
            Self::LastAdmin => (409, "last_admin"),
            Self::OrganizationOpen => (409, "organization_open"),
            Self::IdempotencyKeyReused => (409, "idempotency_key_reused"),
            Self::ClientMessageIdReused => (409, "client_message_id_reused"),
            Self::PayloadTooLarge { .. } => (413, "payload_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::RateLimited(_) => (429, "rate_limited"),
            Self::SlowMode(_) => (429, "slow_mode"),
            Self::Overloaded { .. } => (503, "overloaded"),
            Self::DatabaseUnavailable(_) => (503, "database_unavailable"),
            Self::StoreUnavailable(_) => (503, "store_unavailable"),
            Self::Internal(_) => (500, "internal"),
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        let (status, _) = self.status_and_code();
        status
    }

    /// The stable code.
    fn code(&self) -> &'static str {
        let (_, code) = self.status_and_code();
        code
    }

    /// Returns the RFC 9457 problem that a client sees: the body of a REST answer, or the `data` of an
    /// `error` event on a socket (`docs/contract.md`, "The problem object"). A 500 includes `request_id`, so
    /// that the client can report it.
    pub fn problem(&self, request_id: &str) -> Value {
        let (status, code) = self.status_and_code();
        let mut problem = Map::new();
        // With "about:blank" the title is that of the status (RFC 9457 section 4.2.1).
        problem.insert("type".to_owned(), json!("about:blank"));
        problem.insert("title".to_owned(), json!(title(status)));
        problem.insert("status".to_owned(), json!(status));
        problem.insert("detail".to_owned(), json!(self.to_string()));
        problem.insert("code".to_owned(), json!(code));
        match self {
            Self::InvalidRequest(errors) | Self::NotAddable(errors) => {
                let listed: Vec<_> = errors.iter().take(MOST_FIELDS).map(shortened).collect();
                problem.insert("errors".to_owned(), json!(listed));
            }
            Self::InsufficientCoins { required, available } => {
                problem.insert("required".to_owned(), json!(required));
                problem.insert("available".to_owned(), json!(available));
            }
            Self::UserExists { field } => _ = problem.insert("field".to_owned(), json!(field)),
            Self::FriendRequestRejected { retry_after } => {
                problem.insert("retryAfter".to_owned(), json!(retry_after));
            }
            Self::RateLimited(standing) | Self::SlowMode(standing) => {
                _ = problem.insert("retryAfter".to_owned(), json!(standing.reset));
            }
            Self::Internal(_) => _ = problem.insert("requestId".to_owned(), json!(request_id)),
            _ => {}
        }
        Value::Object(problem)
    }

    /// Returns how many seconds a client should wait before it tries again, or `None` where that does not
    /// help.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(standing) | Self::SlowMode(standing) => Some(standing.reset),
            Self::Overloaded { retry_after } | Self::FriendRequestRejected { retry_after } => {
                Some(*retry_after)
            }
            Self::DatabaseUnavailable(_) | Self::StoreUnavailable(_) => Some(2),
            _ => None,
        }
    }

    /// Logs the error if it is the service's fault, and not if it is the client's. It is called once, where
    /// the request is answered. The request's span adds the request's id and the function's name.
    pub fn log(&self) {
        let cause: &dyn std::error::Error = match self {
            Self::Internal(cause) | Self::StoreUnavailable(cause) => cause.as_ref(),
            Self::DatabaseUnavailable(cause) => cause,
            _ => return,
        };
        tracing::error!(code = self.code(), cause, "a request failed");
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Room => "room",
            Self::User => "user",
            Self::Message => "message",
            Self::Member => "member",
            Self::Session => "session",
            Self::Invitation => "invitation",
            Self::FriendRequest => "friend request",
            Self::Friend => "friend",
            Self::Organization => "organization",
            Self::Upload => "upload",
            Self::Avatar => "avatar",
        })
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

fn sentence(errors: &[FieldError]) -> String {
    let named = errors.iter().take(MOST_CLAUSES).map(shortened);
    let mut clauses: Vec<_> = named.map(|error| format!("`{}` {}", error.field, error.message)).collect();
    if errors.len() > MOST_CLAUSES {
        clauses.push(format!("and {} more", errors.len() - MOST_CLAUSES));
    }
    format!("{}.", clauses.join("; "))
}

fn shortened(error: &FieldError) -> FieldError {
    let short = |text: &str| text.chars().take(LONGEST_TEXT).collect::<String>();
    FieldError::new(short(&error.field), short(&error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_lists_at_most_100_fields_and_repeats_no_long_text() {
        let wrong = FieldError::new("é".repeat(5000), "must be shorter than ".to_owned() + &"é".repeat(5000));
        let error = Error::InvalidRequest(vec![wrong; 5000]);
        let problem = error.problem("r");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
        assert!(!problem.to_string().contains(&"é".repeat(201)));
        assert!(problem["detail"].as_str().unwrap().ends_with("; and 4990 more."));
        assert!(problem.to_string().len() < 100_000, "a socket can get it");
    }

    #[test]
    fn a_detail_names_each_of_a_few_fields() {
        let wrong = ["name", "phone"].map(|field| FieldError::new(field, "is required")).to_vec();
        assert_eq!(Error::InvalidRequest(wrong).to_string(), "`name` is required; `phone` is required.");
    }
}
