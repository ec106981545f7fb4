-- Who may add a user to groups (docs/contract.md, Groups), and fewer rows for sessions (Sessions and tokens). MySQL has neither
-- `ADD COLUMN IF NOT EXISTS` nor `CREATE INDEX IF NOT EXISTS`, and a migration that was killed half way runs again.

SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'addable_by'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN addable_by ENUM(''anyone'', ''friends'') NOT NULL DEFAULT ''anyone''');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- How many refreshes lie between the session's beginning and this token. Of the used tokens only some are kept: the
-- successors of the others lead to them. Every token of before counts as one to keep.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'refresh_tokens' AND column_name = 'place'),
    'DO 0',
    'ALTER TABLE refresh_tokens ADD COLUMN place INT UNSIGNED NOT NULL DEFAULT 0');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- A user's sessions, the newest first, are one range of this index. It leaves out what changes when a session ends: it
-- serves the foreign key too, and a change of it would wait for the user's row.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'sessions' AND index_name = 'sessions_newest'),
    'DO 0',
    'CREATE INDEX sessions_newest ON sessions (user_id, created_at)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;
