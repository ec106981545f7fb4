-- Declining invitations, and who sees when somebody was here (docs/contract.md, Invitations and Presence). MySQL has no `ADD COLUMN IF
-- NOT EXISTS`, and a migration that was killed half way runs again.

-- Whether it was the invitee, and not the inviter, who made the invitation void at `revoked_at`.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'invitations' AND column_name = 'declined'),
    'DO 0',
    'ALTER TABLE invitations ADD COLUMN declined BOOLEAN NOT NULL DEFAULT FALSE');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- Whether others see when the user is online, and the user sees it of others.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'shows_presence'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN shows_presence BOOLEAN NOT NULL DEFAULT TRUE');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

-- When the user's last socket closed; NULL for nobody knows.
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'last_seen_at'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN last_seen_at DATETIME(3) NULL');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;
