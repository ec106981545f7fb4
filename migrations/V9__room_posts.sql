-- How many posts to sockets a room's messages have caused in its window of ROOM_POSTS_LIMIT, as in the tally of
-- rate_limits, and how many sockets its members had open when that was last measured. Both stand here because whoever
-- sends a message has locked the room already.
ALTER TABLE rooms
    ADD COLUMN posts_tally BIGINT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN audience INT UNSIGNED NOT NULL DEFAULT 0;
