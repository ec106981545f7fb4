-- What a room's owner and moderators set, and what each member chose for themselves (docs/contract.md, Changing a room
-- and Own settings of a room). MySQL has no `ADD COLUMN IF NOT EXISTS`, and a migration that was killed half way runs
-- again.

-- Members send once in `slow_mode_seconds`; 0 for as often as they like.
SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'rooms' AND column_name = 'topic'),
    'DO 0',
    'ALTER TABLE rooms ADD COLUMN topic VARCHAR(250) NULL,
                       ADD COLUMN slow_mode_seconds INT UNSIGNED NOT NULL DEFAULT 0');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'room_members' AND column_name = 'notifications'),
    'DO 0',
    'ALTER TABLE room_members ADD COLUMN notifications ENUM(''all'', ''mentions'', ''none'') NOT NULL DEFAULT ''all'',
                              ADD COLUMN favorite BOOLEAN NOT NULL DEFAULT FALSE,
                              ADD COLUMN archived BOOLEAN NOT NULL DEFAULT FALSE,
                              ADD COLUMN marked_unread BOOLEAN NOT NULL DEFAULT FALSE');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;
