-- Reactions to messages (contract section 2).

-- Who reacted with what. One is Unicode's one grapheme; bytes, since utf8mb4_bin takes texts that
-- differ in spaces at their end for equal.
CREATE TABLE IF NOT EXISTS reactions (
    room_id  BIGINT UNSIGNED NOT NULL,
    seq      BIGINT UNSIGNED NOT NULL,
    user_id  VARCHAR(64) NOT NULL,
    reaction VARBINARY(32) NOT NULL,
    -- The room's number of this change: whose came first.
    given_seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (room_id, seq, user_id, reaction),
    KEY reactions_first (room_id, seq, reaction, given_seq),
    CONSTRAINT reactions_message FOREIGN KEY (room_id, seq) REFERENCES messages (room_id, seq) ON DELETE CASCADE,
    CONSTRAINT reactions_user FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The same as a message shows it, [[reaction, count, [the first userIds]], …] or NULL: a page of history
-- counts nothing, though each of its messages may have thousands. MySQL has no `ADD COLUMN IF NOT
-- EXISTS`, and a migration that was killed half way runs again.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'reactions'),
    'DO 0',
    'ALTER TABLE messages ADD COLUMN reactions TEXT NULL');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;
