//! The one error type, and the one table from an error to what a client sees (contract section 5).

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One wrong field of a request, as it stands in `errors` of a 400 `invalid_request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field's name in the request; `body` when the whole is no JSON object.
    pub field: String,
    /// What is wrong with it, to follow its name: `must be 1 to 64 characters`.
    pub message: String,
}

/// How much of a window is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many the window allows.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// Seconds until the window ends, rounded up.
    pub reset: u64,
}

/// The thing that a 404 did not find; a client sees `room_not_found` and the like.
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
}

/// Whatever can go wrong, one variant for each `code` of the contract. `Display` is the `detail`: it
/// says what to do, and nothing of the inside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 400: the request is not well formed; every wrong field is named.
    #[error("{}", sentence(.0))]
    InvalidRequest(Vec<FieldError>),
    /// 401: no credentials, or ones that are expired, revoked or forged.
    #[error("Sign in and send the access token as `Authorization: Bearer <accessToken>`.")]
    Unauthenticated,
    /// 401: the answer to a wrong password and to an unknown user alike.
    #[error("No user has this identifier and password.")]
    InvalidCredentials,
    /// 402: too few coins.
    #[error("This takes {required} coins, and there are {available}.")]
    InsufficientCoins {
        /// What it costs, in coins.
        required: i64,
        /// What the user has, in coins.
        available: i64,
    },
    /// 403: only prime users may.
    #[error("Only prime users may do this.")]
    PrimeRequired,
    /// 403: of the organization, but not in the room.
    #[error("Join the room first.")]
    NotAMember,
    /// 403: only the room's creator may.
    #[error("Only the room's creator may do this.")]
    NotRoomCreator,
    /// 403: only the sender may.
    #[error("Only the message's sender may do this.")]
    NotSender,
    /// 403: the role in the room is too low.
    #[error("This is for the room's {0}.")]
    RoomRoleRequired(&'static str),
    /// 403: wrong or missing room password.
    #[error("The room's password is missing or wrong.")]
    WrongRoomPassword,
    /// 403: an invitation that is unknown, expired, used, revoked or somebody else's.
    #[error("The invitation is not good for you any more, or never was: ask for a new one.")]
    InvitationInvalid,
    /// 403: who was or is to be invited is not prime.
    #[error("Only prime users can be invited.")]
    InviteeNotPrime,
    /// 403: the role in the organization is too low.
    #[error("This is for {0}.")]
    RoleRequired(&'static str),
    /// 403: a registration that claims a role.
    #[error("In an organization that exists everybody starts as `user`; one of its admins can change that.")]
    RoleNotAllowed,
    /// 403: an organization that others may not register into by its name alone.
    #[error("This organization exists: ask one of its admins for its `joinCode`.")]
    OrganizationClosed,
    /// 403: a `userId` for the acting user that is not the token's.
    #[error("`userId` is not the user who is signed in: leave it out, or sign in as that user.")]
    IdentityMismatch,
    /// 403: a browser's page that may not open a socket.
    #[error("This page may not connect: its origin is not one of ALLOWED_ORIGINS.")]
    OriginNotAllowed,
    /// 404: it is not there, or is another organization's.
    #[error("There is no such {0}.")]
    NotFound(Thing),
    /// 409: every seat is taken.
    #[error("All {capacity} seats of the room are taken.")]
    RoomFull {
        /// How many members the room holds.
        capacity: u32,
    },
    /// 409: the membership of a direct chat never changes.
    #[error("A direct chat stays as it is: nobody leaves it or is removed, and it is not deleted.")]
    DirectChat,
    /// 409: somebody has this userId, username, email or phone.
    #[error("Somebody already has this {field}.")]
    UserExists {
        /// The field's name in the request.
        field: &'static str,
    },
    /// 409: they are friends.
    #[error("You are friends already. To end that, remove the friend.")]
    AlreadyFriends,
    /// 409: a request waits for its answer.
    #[error("You have asked already: wait for the answer.")]
    FriendRequestExists,
    /// 409: an organization keeps an admin.
    #[error("This is the organization's last admin: make another one first.")]
    LastAdmin,
    /// 409: a join code for an organization that has no door.
    #[error("`public` is open to everybody: there is nothing that a join code would open.")]
    OrganizationOpen,
    /// 409: the same `idempotencyKey` with another grant.
    #[error("This idempotencyKey was used for another change of coins: send a new one.")]
    IdempotencyKeyReused,
    /// 409: the same `clientMessageId` with another body.
    #[error("This clientMessageId was used for another message: send a new one.")]
    ClientMessageIdReused,
    /// 413: a file that is too large for the way it came.
    #[error("The file is too large: at most {most} bytes by this way.")]
    PayloadTooLarge {
        /// The most bytes.
        most: u64,
    },
    /// 415: no PDF, JPEG or PNG, or not what it is said to be.
    #[error("Only PDF, JPEG and PNG files, by their bytes, and under their own type.")]
    UnsupportedMediaType,
    /// 429: too many in a window of time.
    #[error("That was too often: at most {} are allowed at a time. Try again in {} s.", .0.limit, .0.reset)]
    RateLimited(Standing),
    /// 503: the database does not answer.
    #[error("The database does not answer. Try again in a moment.")]
    DatabaseUnavailable(#[source] mysql_async::Error),
    /// 503: the object store does not answer, or not as it should.
    #[error("The store of files does not answer. Try again in a moment.")]
    StoreUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// 500: a bug or a broken environment. Only the log knows the cause.
    #[error("Something went wrong on our side. Report the request id if it stays so.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A 400 that names one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// A 500 whose cause only the log sees.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The table: the HTTP status and the stable code of each error.
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
            Self::RoomFull { .. } => (409, "room_full"),
            Self::DirectChat => (409, "direct_chat"),
            Self::UserExists { .. } => (409, "user_exists"),
            Self::AlreadyFriends => (409, "already_friends"),
            Self::FriendRequestExists => (409, "friend_request_exists"),
            Self::LastAdmin => (409, "last_admin"),
            Self::OrganizationOpen => (409, "organization_open"),
            Self::IdempotencyKeyReused => (409, "idempotency_key_reused"),
            Self::ClientMessageIdReused => (409, "client_message_id_reused"),
            Self::PayloadTooLarge { .. } => (413, "payload_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::RateLimited(_) => (429, "rate_limited"),
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

    /// The RFC 9457 problem that a client sees, on REST as the body and on a socket as `data` of an
    /// `error` event. `request_id` is given with a 500, for a report.
    pub fn problem(&self, request_id: &str) -> Value {
        let (status, code) = self.status_and_code();
        let mut problem = Map::new();
        // "about:blank" says that the title is the status's own (RFC 9457 section 4.2.1).
        problem.insert("type".to_owned(), json!("about:blank"));
        problem.insert("title".to_owned(), json!(title(status)));
        problem.insert("status".to_owned(), json!(status));
        problem.insert("detail".to_owned(), json!(self.to_string()));
        problem.insert("code".to_owned(), json!(code));
        match self {
            Self::InvalidRequest(errors) => _ = problem.insert("errors".to_owned(), json!(errors)),
            Self::InsufficientCoins { required, available } => {
                problem.insert("required".to_owned(), json!(required));
                problem.insert("available".to_owned(), json!(available));
            }
            Self::UserExists { field } => _ = problem.insert("field".to_owned(), json!(field)),
            Self::RateLimited(standing) => _ = problem.insert("retryAfter".to_owned(), json!(standing.reset)),
            Self::Internal(_) => _ = problem.insert("requestId".to_owned(), json!(request_id)),
            _ => {}
        }
        Value::Object(problem)
    }

    /// How many seconds a client should wait before it tries again, where that helps.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(standing) => Some(standing.reset),
            Self::DatabaseUnavailable(_) | Self::StoreUnavailable(_) => Some(2),
            _ => None,
        }
    }

    /// Logs an error that is ours, once, at the edge. A client's mistake is not logged. The request's span
    /// adds its id and the function's name.
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
    let clauses: Vec<_> = errors.iter().map(|error| format!("`{}` {}", error.field, error.message)).collect();
    format!("{}.", clauses.join("; "))
}
