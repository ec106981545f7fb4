-- Files in a page (docs/contract.md, Files), and avatars (Avatars). MySQL has no `ADD COLUMN IF NOT EXISTS`, and a
-- migration that was killed half way runs again. One statement adds all columns of a table, or none of them.

-- More types. New ones stand at the end, which changes no row.
ALTER TABLE uploads MODIFY type ENUM('application/pdf', 'image/jpeg', 'image/png', 'image/webp', 'image/gif',
    'audio/mpeg', 'audio/mp4', 'audio/ogg', 'video/mp4', 'video/webm') NOT NULL;

-- client_message_id: what makes a presigned upload repeatable; its message has it then.
-- width, height: of an image, as it is shown. thumbnail: the type of its thumbnail, if it has one.
-- url, thumbnail_url, url_expires_at: the signed URLs that everybody gets until shortly before their end.
SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'uploads' AND column_name = 'url_expires_at'),
    'DO 0',
    'ALTER TABLE uploads
        ADD COLUMN client_message_id VARCHAR(64) NULL,
        ADD COLUMN width INT UNSIGNED NULL,
        ADD COLUMN height INT UNSIGNED NULL,
        ADD COLUMN thumbnail ENUM(''image/jpeg'', ''image/png'') NULL,
        ADD COLUMN url TEXT NULL,
        ADD COLUMN thumbnail_url TEXT NULL,
        ADD COLUMN url_expires_at DATETIME(3) NULL');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'avatar_key'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN avatar_key CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NULL');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

SET @add_columns = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'rooms' AND column_name = 'avatar_key'),
    'DO 0',
    'ALTER TABLE rooms ADD COLUMN avatar_key CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NULL');
PREPARE add_columns FROM @add_columns;
EXECUTE add_columns;
DEALLOCATE PREPARE add_columns;

-- The avatars that nobody has: not yet, or not any more. A key stands here before its bytes are stored, so that the
-- sweep finds them whatever happens. The transaction that gives an avatar to somebody takes its key away, and puts the
-- one before here.
CREATE TABLE IF NOT EXISTS unused_avatars (
    avatar_key CHAR(43) NOT NULL PRIMARY KEY,
    since      DATETIME(3) NOT NULL,
    KEY unused_avatars_since (since)
) ENGINE = InnoDB DEFAULT CHARSET = ascii COLLATE = ascii_bin;
