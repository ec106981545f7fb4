-- Attempts at passwords that are under way, and finding the windows that have ended.
ALTER TABLE rate_limits
    -- When the last attempt began, in milliseconds since 1970, times 2^20, plus how many are under way. One number for
    -- the same reason as `tally`.
    ADD COLUMN attempts BIGINT UNSIGNED NOT NULL DEFAULT 0,
    -- Changes once in a window, so that counting does not write to the index.
    ADD COLUMN ends_at BIGINT UNSIGNED AS (tally >> 20) VIRTUAL,
    ADD KEY rate_limits_end (ends_at);
