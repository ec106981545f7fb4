//! What it takes to write to an open socket: its id, and the protocol that it speaks.

use mysql_async::prelude::{FromRow, FromValue};
use mysql_async::{FromRowError, FromValueError, Row, Value};

use crate::base::ids::ConnectionId;

/// The protocol of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Frames: `{"event", "data"}`.
    #[default]
    Frames,
    /// Packets of Socket.IO.
    SocketIo,
}

// A number, since reading one takes no memory: a push reads the protocol of each of its sockets.
impl From<Protocol> for Value {
    fn from(protocol: Protocol) -> Self {
        (protocol as u8).into()
    }
}

impl TryFrom<Value> for Protocol {
    type Error = FromValueError;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match mysql_async::from_value_opt::<u8>(value)? {
            0 => Ok(Self::Frames),
            1 => Ok(Self::SocketIo),
            other => Err(FromValueError(other.into())),
        }
    }
}

impl FromValue for Protocol {
    type Intermediate = Self;
}

/// An open socket, as a push needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its id.
    pub connection_id: ConnectionId,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Socket {
    /// A socket for which two columns were selected, if there is one.
    pub(crate) fn found(connection_id: Option<ConnectionId>, protocol: Option<Protocol>) -> Option<Self> {
        Some(Self { connection_id: connection_id?, protocol: protocol? })
    }
}

/// A row of `connection_id, protocol`.
impl FromRow for Socket {
    fn from_row_opt(row: Row) -> Result<Self, FromRowError> {
        let (connection_id, protocol) = FromRow::from_row_opt(row)?;
        Ok(Self { connection_id, protocol })
    }
}
