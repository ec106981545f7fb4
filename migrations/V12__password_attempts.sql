-- Attempts at passwords that are under way, and finding the windows that have ended.
--
-- `attempts`: when the last attempt began, in milliseconds since 1970, times 2^20, plus how many are under way. One
-- number for the same reason as `tally`.
-- `ends_at`: changes once in a window, so that counting does not write to the index.
SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'rate_limits' AND column_name = 'attempts'),
    'DO 0',
    'ALTER TABLE rate_limits ADD COLUMN attempts BIGINT UNSIGNED NOT NULL DEFAULT 0,
                             ADD COLUMN ends_at BIGINT UNSIGNED AS (tally >> 20) VIRTUAL,
                             ADD KEY rate_limits_end (ends_at)');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;
