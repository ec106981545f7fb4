-- The keys by which people are found (docs/contract.md, Searching users), and longer reactions (Reactions).

-- The beginnings by which a user's name is found: the whole name, and what begins with each further word of
-- it, by the rule for comparing names (`shared::base::text::key`). One search is one range of the primary
-- key.
CREATE TABLE IF NOT EXISTS name_keys (
    organization_id BIGINT UNSIGNED NOT NULL,
    name_key        VARCHAR(300) NOT NULL,
    user_id         VARCHAR(64) NOT NULL,
    PRIMARY KEY (organization_id, name_key, user_id),
    CONSTRAINT name_keys_user FOREIGN KEY (user_id) REFERENCES users (user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The name that a user's keys were made of. The function `migrate` makes those of the users that are there,
-- and the sweep those of users whom an older version of the service registers or renames meanwhile:
-- `needs_keys` finds them. (MySQL has no `IF NOT EXISTS` for columns and indexes, and a migration that was
-- killed half way runs again.)
SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'keyed_name'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN keyed_name VARCHAR(100) NULL');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

SET @add_column = IF(
    EXISTS (SELECT 1 FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'needs_keys'),
    'DO 0',
    'ALTER TABLE users ADD COLUMN needs_keys BOOLEAN GENERATED ALWAYS AS (NOT (keyed_name <=> name)) VIRTUAL');
PREPARE add_column FROM @add_column;
EXECUTE add_column;
DEALLOCATE PREPARE add_column;

SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'users' AND index_name = 'users_needs_keys'),
    'DO 0',
    'CREATE INDEX users_needs_keys ON users (needs_keys)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;

-- An organization's users by their ids, since an index ends with the primary key. Until now the index that
-- the server made for the foreign key was this one; the server drops it when another index begins with the
-- same column.
SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'users' AND index_name = 'users_of_organization'),
    'DO 0',
    'CREATE INDEX users_of_organization ON users (organization_id)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;

SET @create_index = IF(
    EXISTS (SELECT 1 FROM information_schema.statistics
            WHERE table_schema = DATABASE() AND table_name = 'users' AND index_name = 'users_username_prefix'),
    'DO 0',
    'CREATE INDEX users_username_prefix ON users (organization_id, username_key)');
PREPARE create_index FROM @create_index;
EXECUTE create_index;
DEALLOCATE PREPARE create_index;

-- The longest emoji has 35 bytes.
ALTER TABLE reactions MODIFY reaction VARBINARY(64) NOT NULL;
