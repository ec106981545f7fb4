-- The server process that holds a socket, on one machine. The process holds a lock of this name while it lives
-- (`GET_LOCK`), so the next one finds the sockets of a process that was killed. NULL where API Gateway holds the
-- socket. MySQL has no `ADD COLUMN IF NOT EXISTS`, and a migration that was killed half way runs again.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'connections' AND column_name = 'process_id'),
    'DO 0',
    'ALTER TABLE connections ADD COLUMN process_id CHAR(22) NULL DEFAULT NULL, ADD KEY connections_process (process_id)');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;
