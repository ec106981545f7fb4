-- Where a server process takes posts to its sockets from the others over the same database, and the key that they show it
-- (docs/contract.md, Several processes). The row comes and goes with the process; the lock of its name says whether it
-- still lives (V11).

CREATE TABLE IF NOT EXISTS server_processes (
    process_id CHAR(22) NOT NULL PRIMARY KEY,
    address    VARCHAR(64) NOT NULL,
    post_key   CHAR(43) NOT NULL,
    started_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
