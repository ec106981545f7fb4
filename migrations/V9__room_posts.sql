-- How many posts to sockets a room's messages have caused in its window of ROOM_POSTS_LIMIT, as in the tally of
-- rate_limits, and how many sockets its members had open when that was last measured. Both stand here because whoever
-- sends a message has locked the room already. (A migration that was killed half way runs again, and MySQL has no
-- `ADD COLUMN IF NOT EXISTS`.)
SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'rooms' AND column_name = 'posts_tally'),
    'DO 0',
    'ALTER TABLE rooms ADD COLUMN posts_tally BIGINT UNSIGNED NOT NULL DEFAULT 0,
                       ADD COLUMN audience INT UNSIGNED NOT NULL DEFAULT 0');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;
