-- Organizations that are made by registering, and channels (contract sections 1 to 3).

-- SHA-256 of the code that lets people register into an organization while grants are closed: 256
-- random bits need no key. A renewed code takes the place of the old one.
CREATE TABLE IF NOT EXISTS join_codes (
    organization_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    code_hash       BINARY(32) NOT NULL,
    created_at      DATETIME(3) NOT NULL,
    CONSTRAINT join_codes_organization FOREIGN KEY (organization_id) REFERENCES organizations (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- An organization's channels, newest first, are one range of this index. MySQL has no
-- `CREATE INDEX IF NOT EXISTS`, and a migration that was killed half way runs again.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'rooms' AND index_name = 'rooms_newest'),
    'DO 0',
    'CREATE INDEX rooms_newest ON rooms (organization_id, kind, created_at, id)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;
