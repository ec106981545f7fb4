-- Indexes from which a list of coins and the sweep of sessions read only what they need. MySQL has no `CREATE INDEX IF
-- NOT EXISTS`, and a migration that was killed half way runs again.

-- A user's ledger, the newest first, since an index ends with the primary key.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'coin_ledger' AND index_name = 'coin_ledger_newest'),
    'DO 0',
    'CREATE INDEX coin_ledger_newest ON coin_ledger (user_id)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;

-- The sessions that have expired.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'sessions' AND index_name = 'sessions_expires_at'),
    'DO 0',
    'CREATE INDEX sessions_expires_at ON sessions (expires_at)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;
