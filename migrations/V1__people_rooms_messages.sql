-- People, sessions, rooms, messages and sockets (contract sections 1 to 4).
--
-- Every table compares text byte for byte (utf8mb4_bin): `k1` is not `K1`, and two emoji are two
-- emoji. What compares without case is stored lowercased a second time, in a column `…_key`.
-- Times are UTC. The text is MySQL 8.0 that MariaDB 10.11 also runs.
--
-- MySQL commits after each DDL statement: `IF NOT EXISTS` and `IGNORE` let a migration that was
-- killed half way run again.

CREATE TABLE IF NOT EXISTS organizations (
    id         BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name       VARCHAR(100) NOT NULL,
    name_key   VARCHAR(300) NOT NULL UNIQUE,
    created_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The tenant of everybody who names no other.
INSERT IGNORE INTO organizations (id, name, name_key, created_at) VALUES (1, 'public', 'public', UTC_TIMESTAMP(3));

CREATE TABLE IF NOT EXISTS users (
    user_id         VARCHAR(64) NOT NULL PRIMARY KEY,
    organization_id BIGINT UNSIGNED NOT NULL,
    username        VARCHAR(64) NULL,
    -- Lowercasing can lengthen a text, so each key has room for more than its text has.
    username_key    VARCHAR(192) NULL,
    email           VARCHAR(254) NULL,
    email_key       VARCHAR(700) NULL,
    phone           VARCHAR(16) NULL,
    name            VARCHAR(100) NOT NULL,
    device_id       VARCHAR(128) NULL,
    password_hash   CHAR(60) NOT NULL,
    role            ENUM('admin', 'moderator', 'user') NOT NULL,
    prime           BOOLEAN NOT NULL,
    -- The last `balance_after` of the user's ledger, kept here so that a CHECK can guard it.
    avail_coins     INT NOT NULL DEFAULT 0,
    -- The one prime room entered for free. No foreign key: it stays used when the room is deleted.
    free_room_id    BIGINT UNSIGNED NULL,
    created_at      DATETIME(3) NOT NULL,
    UNIQUE KEY users_username (username_key),
    UNIQUE KEY users_email (email_key),
    UNIQUE KEY users_phone (phone),
    CONSTRAINT users_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT users_balance CHECK (avail_coins BETWEEN 0 AND 1000000000)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Append-only. A room is paid for once, ever: the unique key says so.
CREATE TABLE IF NOT EXISTS coin_ledger (
    id            BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id       VARCHAR(64) NOT NULL,
    delta         INT NOT NULL,
    balance_after INT NOT NULL,
    reason        VARCHAR(64) NOT NULL,
    room_id       BIGINT UNSIGNED NULL,
    created_at    DATETIME(3) NOT NULL,
    UNIQUE KEY coin_ledger_room (user_id, room_id),
    CONSTRAINT coin_ledger_user FOREIGN KEY (user_id) REFERENCES users (user_id),
    CONSTRAINT coin_ledger_balance CHECK (balance_after BETWEEN 0 AND 1000000000)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A device signed in. Every authenticated request looks its row up.
CREATE TABLE IF NOT EXISTS sessions (
    session_id CHAR(22) NOT NULL PRIMARY KEY,
    user_id    VARCHAR(64) NOT NULL,
    device_id  VARCHAR(128) NULL,
    created_at DATETIME(3) NOT NULL,
    expires_at DATETIME(3) NOT NULL,
    revoked_at DATETIME(3) NULL,
    CONSTRAINT sessions_user FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- HMAC-SHA-256 of the token under REFRESH_SECRET; the token itself is nowhere.
CREATE TABLE IF NOT EXISTS refresh_tokens (
    token_hash BINARY(32) NOT NULL PRIMARY KEY,
    session_id CHAR(22) NOT NULL,
    created_at DATETIME(3) NOT NULL,
    rotated_at DATETIME(3) NULL,
    CONSTRAINT refresh_tokens_session FOREIGN KEY (session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS rooms (
    id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    organization_id BIGINT UNSIGNED NOT NULL,
    kind            ENUM('prime', 'channel', 'group', 'direct') NOT NULL,
    name            VARCHAR(100) NOT NULL,
    password_hash   CHAR(60) NULL,
    capacity        INT UNSIGNED NOT NULL,
    member_count    INT UNSIGNED NOT NULL,
    last_seq        BIGINT UNSIGNED NOT NULL DEFAULT 0,
    created_by      VARCHAR(64) NOT NULL,
    created_at      DATETIME(3) NOT NULL,
    updated_at      DATETIME(3) NOT NULL,
    CONSTRAINT rooms_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT rooms_creator FOREIGN KEY (created_by) REFERENCES users (user_id),
    CONSTRAINT rooms_seats CHECK (member_count <= capacity),
    CONSTRAINT rooms_password CHECK ((kind = 'prime') = (password_hash IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS room_members (
    room_id   BIGINT UNSIGNED NOT NULL,
    user_id   VARCHAR(64) NOT NULL,
    role      ENUM('owner', 'moderator', 'member') NOT NULL,
    -- Everything up to here counts as read.
    read_seq  BIGINT UNSIGNED NOT NULL,
    joined_at DATETIME(3) NOT NULL,
    -- The seq of the join: who is the oldest, also within one millisecond.
    joined_seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (room_id, user_id),
    CONSTRAINT room_members_room FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE CASCADE,
    CONSTRAINT room_members_user FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- History is one clustered range, and a messageId `{room_id}-{seq}` is its own key.
CREATE TABLE IF NOT EXISTS messages (
    room_id           BIGINT UNSIGNED NOT NULL,
    seq               BIGINT UNSIGNED NOT NULL,
    -- The number of the last change of this message; `seq` until there is one.
    updated_seq       BIGINT UNSIGNED NOT NULL,
    kind              ENUM('text', 'file', 'system') NOT NULL,
    sender_id         VARCHAR(64) NOT NULL,
    content           TEXT NOT NULL,
    is_encrypted      BOOLEAN NOT NULL DEFAULT FALSE,
    -- Up to 64 characters. Bytes, since utf8mb4_bin still takes `k1` and `k1 ` for equal.
    client_message_id VARBINARY(256) NULL,
    -- SHA-256 of what was sent under client_message_id: another body is refused.
    body_hash         BINARY(32) NULL,
    reply_to_seq      BIGINT UNSIGNED NULL,
    created_at        DATETIME(3) NOT NULL,
    edited_at         DATETIME(3) NULL,
    deleted_at        DATETIME(3) NULL,
    PRIMARY KEY (room_id, seq),
    UNIQUE KEY messages_updated_seq (room_id, updated_seq),
    UNIQUE KEY messages_client_message_id (room_id, sender_id, client_message_id),
    CONSTRAINT messages_room FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE CASCADE,
    CONSTRAINT messages_sender FOREIGN KEY (sender_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row a socket. API Gateway ends a connection after two hours, so a row older than that is stale.
CREATE TABLE IF NOT EXISTS connections (
    connection_id VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id       VARCHAR(64) NOT NULL,
    session_id    CHAR(22) NOT NULL,
    connected_at  DATETIME(3) NOT NULL,
    expires_at    DATETIME(3) NOT NULL,
    CONSTRAINT connections_user FOREIGN KEY (user_id) REFERENCES users (user_id),
    CONSTRAINT connections_session FOREIGN KEY (session_id) REFERENCES sessions (session_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
