-- A room without an organization is deleted: it has no members, and nobody finds it. Its messages may be
-- many, so they are erased by and by, and the room last.
ALTER TABLE rooms MODIFY organization_id BIGINT UNSIGNED NULL;
