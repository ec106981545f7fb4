-- Invitations, friends, grants of coins, presence and rate limits (contract sections 1, 2, 3 and 6).

-- SHA-256 of the token: 256 random bits need no key. Void with its room.
CREATE TABLE IF NOT EXISTS invitations (
    invitation_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    room_id       BIGINT UNSIGNED NOT NULL,
    inviter_id    VARCHAR(64) NOT NULL,
    invitee_id    VARCHAR(64) NOT NULL,
    token_hash    BINARY(32) NOT NULL,
    created_at    DATETIME(3) NOT NULL,
    expires_at    DATETIME(3) NOT NULL,
    used_at       DATETIME(3) NULL,
    revoked_at    DATETIME(3) NULL,
    UNIQUE KEY invitations_token (token_hash),
    KEY invitations_expires_at (expires_at),
    CONSTRAINT invitations_room FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE CASCADE,
    CONSTRAINT invitations_inviter FOREIGN KEY (inviter_id) REFERENCES users (user_id),
    CONSTRAINT invitations_invitee FOREIGN KEY (invitee_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The one request between two users, whoever asked; once accepted it is their friendship.
CREATE TABLE IF NOT EXISTS friend_requests (
    id          BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    from_id     VARCHAR(64) NOT NULL,
    to_id       VARCHAR(64) NOT NULL,
    lesser_id   VARCHAR(64) GENERATED ALWAYS AS (LEAST(from_id, to_id)) STORED,
    greater_id  VARCHAR(64) GENERATED ALWAYS AS (GREATEST(from_id, to_id)) STORED,
    status      ENUM('pending', 'accepted', 'rejected') NOT NULL,
    created_at  DATETIME(3) NOT NULL,
    answered_at DATETIME(3) NULL,
    UNIQUE KEY friend_requests_pair (lesser_id, greater_id),
    CONSTRAINT friend_requests_from FOREIGN KEY (from_id) REFERENCES users (user_id),
    CONSTRAINT friend_requests_to FOREIGN KEY (to_id) REFERENCES users (user_id),
    CONSTRAINT friend_requests_oneself CHECK (from_id <> to_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Coins that an admin or the operator gave or took. The key makes a grant repeatable.
CREATE TABLE IF NOT EXISTS coin_grants (
    user_id         VARCHAR(64) NOT NULL,
    -- Bytes, since utf8mb4_bin still takes `k1` and `k1 ` for equal.
    idempotency_key VARBINARY(256) NOT NULL,
    ledger_id       BIGINT UNSIGNED NOT NULL,
    -- The admin; none for the operator.
    granted_by      VARCHAR(64) NULL,
    PRIMARY KEY (user_id, idempotency_key),
    CONSTRAINT coin_grants_user FOREIGN KEY (user_id) REFERENCES users (user_id),
    CONSTRAINT coin_grants_ledger FOREIGN KEY (ledger_id) REFERENCES coin_ledger (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who has been shown to their friends as online: a row comes and goes with the push that says so.
CREATE TABLE IF NOT EXISTS presence (
    user_id VARCHAR(64) NOT NULL PRIMARY KEY,
    CONSTRAINT presence_user FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One counted window of time for each limit and whoever it limits.
CREATE TABLE IF NOT EXISTS rate_limits (
    name    VARCHAR(16) NOT NULL,
    -- A userId, or a hash of what is counted together.
    subject VARCHAR(64) NOT NULL,
    -- When the window ends, in milliseconds since 1970, times 2^20, plus how many it has had. One
    -- number, so that one assignment opens a window or counts in it, and answers both.
    tally   BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (name, subject)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
