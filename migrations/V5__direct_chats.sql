-- The one direct chat of two users (contract section 2).

-- Whoever wrote first: the pair is the key. The chat stays for good, and its messages with it.
CREATE TABLE IF NOT EXISTS direct_chats (
    lesser_id  VARCHAR(64) NOT NULL,
    greater_id VARCHAR(64) NOT NULL,
    room_id    BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (lesser_id, greater_id),
    UNIQUE KEY direct_chats_room_id (room_id),
    CONSTRAINT direct_chats_lesser FOREIGN KEY (lesser_id) REFERENCES users (user_id),
    CONSTRAINT direct_chats_greater FOREIGN KEY (greater_id) REFERENCES users (user_id),
    CONSTRAINT direct_chats_room FOREIGN KEY (room_id) REFERENCES rooms (id) ON DELETE CASCADE,
    CONSTRAINT direct_chats_oneself CHECK (lesser_id < greater_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
