-- What a list of chats and the cursor of a user read (docs/contract.md, Chats and The user's cursor). MySQL has neither `ADD
-- COLUMN IF NOT EXISTS` nor `CREATE INDEX IF NOT EXISTS`, and a migration that was killed half way runs again.

-- When a membership last changed: it began, or its read position, role or settings moved. The server sets it, also for
-- code that does not know the column. The sessions of the service have the time zone UTC.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'room_members' AND column_name = 'changed_at'),
    'DO 0',
    'ALTER TABLE room_members
         ADD COLUMN changed_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3)');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- A room's members, the oldest first: a list of chats shows the first few.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'room_members' AND index_name = 'room_members_in_order'),
    'DO 0',
    'CREATE INDEX room_members_in_order ON room_members (room_id, joined_seq, user_id)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;
