-- Replies to a message, and mentions (docs/contract.md, "Replies" and "Mentions"). MySQL has neither `ADD COLUMN IF NOT
-- EXISTS` nor `CREATE INDEX IF NOT EXISTS`, and a migration that was killed half way runs again.

-- `reply_count`: how many messages reply to this one, so that a page of history counts nothing.
-- `mentions`: the userIds that a message names, as a JSON array in the order given; NULL without any.
SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'reply_count'),
    'DO 0',
    'ALTER TABLE messages ADD COLUMN reply_count INT UNSIGNED NOT NULL DEFAULT 0,
                          ADD COLUMN mentions TEXT NULL,
                          ADD COLUMN mentions_all BOOLEAN NOT NULL DEFAULT FALSE');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

-- The replies to a message, in their order.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'messages' AND index_name = 'messages_replies'),
    'DO 0',
    'CREATE INDEX messages_replies ON messages (room_id, reply_to_seq, seq)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;

-- Counts the replies that are there. What the code before this sends until it is replaced is not counted. The statement
-- reads all replies, and at a stricter level would keep new messages waiting until it ends.
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
UPDATE messages p
JOIN (SELECT room_id, reply_to_seq, COUNT(*) AS replies FROM messages
      WHERE reply_to_seq IS NOT NULL GROUP BY room_id, reply_to_seq) r
  ON r.room_id = p.room_id AND r.reply_to_seq = p.seq
SET p.reply_count = r.replies;
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ;

-- Whom a message mentions, besides its sender. `*`, which no userId contains, stands for everybody in the room; so there
-- is no foreign key to users. One index counts what a member has not read, the other lists a user's mentions.
CREATE TABLE IF NOT EXISTS mentions (
    room_id    BIGINT UNSIGNED NOT NULL,
    seq        BIGINT UNSIGNED NOT NULL,
    user_id    VARCHAR(64) NOT NULL,
    sender_id  VARCHAR(64) NOT NULL,
    -- The time of the message.
    created_at DATETIME(3) NOT NULL,
    PRIMARY KEY (room_id, seq, user_id),
    KEY mentions_unread (user_id, room_id, seq, sender_id),
    KEY mentions_newest (user_id, created_at, room_id, seq),
    CONSTRAINT mentions_message FOREIGN KEY (room_id, seq) REFERENCES messages (room_id, seq) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
