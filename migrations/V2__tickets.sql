-- One-use tickets for opening a socket from a browser (contract section 3, create-ticket).

-- SHA-256 of the ticket: 256 random bits need no key.
CREATE TABLE IF NOT EXISTS tickets (
    ticket_hash BINARY(32) NOT NULL PRIMARY KEY,
    session_id  CHAR(22) NOT NULL,
    expires_at  DATETIME(3) NOT NULL,
    KEY tickets_expires_at (expires_at),
    CONSTRAINT tickets_session FOREIGN KEY (session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
