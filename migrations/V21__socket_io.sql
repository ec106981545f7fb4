-- The protocol that a socket speaks: 0 are frames, 1 is Socket.IO. A number, because a push reads it for each of its
-- sockets. MySQL has no `ADD COLUMN IF NOT EXISTS`, and a migration that was killed half way runs again.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'connections' AND column_name = 'protocol'),
    'DO 0',
    'ALTER TABLE connections ADD COLUMN protocol TINYINT UNSIGNED NOT NULL DEFAULT 0, ALGORITHM=INSTANT');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- Sockets of Socket.IO whose CONNECT packet has not come yet. They are nobody's: a row of `connections` follows with the
-- packet, in the transaction that deletes this one. `session_id` is that of the handshake's credentials, if it had any.
CREATE TABLE IF NOT EXISTS handshakes (
    connection_id VARCHAR(64) NOT NULL PRIMARY KEY,
    address       VARCHAR(64) NOT NULL,
    session_id    CHAR(22) NULL,
    created_at    DATETIME(3) NOT NULL,
    KEY handshakes_created_at (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
