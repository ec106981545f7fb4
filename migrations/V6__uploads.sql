-- Files (contract section 3, upload and the rows below it).

-- A row comes before the bytes, so that whatever is stored is known of: the sweep finds by it what was
-- never sent.
CREATE TABLE IF NOT EXISTS uploads (
    upload_id  CHAR(22) NOT NULL PRIMARY KEY,
    -- Where it is sent. None: it was refused, or its message is gone; the sweep erases the bytes.
    room_id    BIGINT UNSIGNED NULL,
    -- The number of its message; none until then.
    seq        BIGINT UNSIGNED NULL,
    sender_id  VARCHAR(64) NOT NULL,
    -- The end of the key under which the checked bytes are; none until they have been checked.
    object_key CHAR(22) NULL,
    file_name  VARCHAR(255) NOT NULL,
    type       ENUM('application/pdf', 'image/jpeg', 'image/png') NOT NULL,
    size       INT UNSIGNED NOT NULL,
    -- Of bytes that passed through a function.
    sha256     BINARY(32) NULL,
    caption    TEXT NOT NULL,
    created_at DATETIME(3) NOT NULL,
    -- Whether the sweep has erased what lay beside the file: what was posted, and copies of retries.
    swept      BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE KEY uploads_message (room_id, seq),
    KEY uploads_swept (swept, created_at),
    -- Not checked while either is NULL; when the message goes, with its room perhaps, both become NULL.
    CONSTRAINT uploads_message FOREIGN KEY (room_id, seq) REFERENCES messages (room_id, seq) ON DELETE SET NULL,
    CONSTRAINT uploads_sender FOREIGN KEY (sender_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
