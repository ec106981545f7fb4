//! What must hold between rows. Each statement finds the rows that are wrong in one portion of a table.

use mysql_async::{Params, Value, params};

use crate::Result;
use crate::membership::{direct, groups};
use crate::rooms::{channels, prime};
use crate::verify::snapshot::{PORTION, Snapshot, Wrong};

/// A table that is read in portions, in the order of its primary key.
struct Table {
    /// The keys of the portion after the key `:first`, or `:first` and `:second`.
    portion: &'static str,
    /// The last key of a portion. `{portion}` stands for the statement above.
    last: &'static str,
    checks: &'static [Check],
}

/// A statement that returns the keys of wrong rows, each with what is wrong.
struct Check {
    table: &'static str,
    sql: &'static str,
}

const TABLES: [Table; 4] = [
    Table {
        portion: "SELECT user_id FROM users FORCE INDEX (PRIMARY) WHERE user_id > :first ORDER BY user_id LIMIT :portion",
        last: "SELECT user_id, 0 FROM ({portion}) k ORDER BY user_id DESC LIMIT 1",
        checks: &OF_USERS,
    },
    Table {
        portion: "SELECT id FROM rooms FORCE INDEX (PRIMARY) WHERE id > :first ORDER BY id LIMIT :portion",
        last: "SELECT id, 0 FROM ({portion}) k ORDER BY id DESC LIMIT 1",
        checks: &OF_ROOMS,
    },
    Table {
        // A condition on both columns at once would read the whole room again for each portion.
        portion: "SELECT room_id, seq FROM (
                      (SELECT room_id, seq FROM messages FORCE INDEX (PRIMARY)
                       WHERE room_id = :first AND seq > :second ORDER BY seq LIMIT :portion)
                      UNION ALL
                      (SELECT room_id, seq FROM messages FORCE INDEX (PRIMARY)
                       WHERE room_id > :first ORDER BY room_id, seq LIMIT :portion)) two
                  ORDER BY room_id, seq LIMIT :portion",
        last: "SELECT room_id, seq FROM ({portion}) k ORDER BY room_id DESC, seq DESC LIMIT 1",
        checks: &OF_MESSAGES,
    },
    Table {
        portion: "SELECT upload_id FROM uploads FORCE INDEX (PRIMARY)
                  WHERE upload_id > :first ORDER BY upload_id LIMIT :portion",
        last: "SELECT upload_id, 0 FROM ({portion}) k ORDER BY upload_id DESC LIMIT 1",
        checks: &OF_UPLOADS,
    },
];

const OF_USERS: [Check; 3] = [
    Check {
        table: "users",
        sql: "SELECT u.user_id, CONCAT('avail_coins is ', u.avail_coins, ', but the sum of the ledger is ',
                                       COALESCE(SUM(l.delta), 0))
              FROM ({portion}) k STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = k.user_id
              LEFT JOIN coin_ledger l FORCE INDEX (coin_ledger_newest) ON l.user_id = u.user_id
              GROUP BY u.user_id, u.avail_coins HAVING u.avail_coins <> COALESCE(SUM(l.delta), 0)",
    },
    Check {
        table: "coin_ledger",
        sql: "SELECT CAST(id AS CHAR), CONCAT('balance_after is ', balance_after, ', but the sum up to it is ', total)
              FROM (SELECT l.id, l.balance_after, SUM(l.delta) OVER (PARTITION BY l.user_id ORDER BY l.id) AS total
                    FROM ({portion}) k
                    STRAIGHT_JOIN coin_ledger l FORCE INDEX (coin_ledger_newest) ON l.user_id = k.user_id) s
              WHERE balance_after <> total",
    },
    Check {
        table: "coin_grants",
        sql: "SELECT CONCAT(g.user_id, ' ', g.ledger_id), CONCAT('the row of the ledger is that of ', l.user_id)
              FROM ({portion}) k STRAIGHT_JOIN coin_grants g FORCE INDEX (PRIMARY) ON g.user_id = k.user_id
              STRAIGHT_JOIN coin_ledger l FORCE INDEX (PRIMARY) ON l.id = g.ledger_id WHERE l.user_id <> g.user_id",
    },
];

const OF_ROOMS: [Check; 6] = [
    Check {
        table: "rooms",
        sql: "SELECT CAST(r.id AS CHAR), CONCAT('member_count is ', r.member_count, ', but it has ', COUNT(m.user_id),
                                                ' members')
              FROM ({portion}) k STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.id
              LEFT JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id
              GROUP BY r.id, r.member_count HAVING r.member_count <> COUNT(m.user_id)",
    },
    Check {
        table: "rooms",
        sql: "SELECT CAST(id AS CHAR), CONCAT('a room of its kind has ', seats, ' seats, but it has ', capacity)
              FROM (SELECT r.id, r.capacity, CASE r.kind WHEN 'prime' THEN :prime WHEN 'channel' THEN :channel
                                                         WHEN 'group' THEN :group ELSE :direct END AS seats
                    FROM ({portion}) k STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.id) s
              WHERE capacity <> seats",
    },
    Check {
        table: "rooms",
        sql: "SELECT CAST(m.room_id AS CHAR), CONCAT('it has ', SUM(m.role = 'owner'), ' owners')
              FROM ({portion}) k STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = k.id
              GROUP BY m.room_id HAVING SUM(m.role = 'owner') <> 1",
    },
    Check {
        table: "rooms",
        sql: "SELECT CAST(r.id AS CHAR), 'it is a direct chat, but its members are not the two of its pair'
              FROM ({portion}) k STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.id
              LEFT JOIN direct_chats d FORCE INDEX (direct_chats_room_id) ON d.room_id = r.id
              LEFT JOIN room_members m FORCE INDEX (PRIMARY)
                     ON m.room_id = d.room_id AND m.user_id IN (d.lesser_id, d.greater_id)
              WHERE r.kind = 'direct' GROUP BY r.id HAVING COUNT(m.user_id) <> 2",
    },
    Check {
        table: "room_members",
        sql: "SELECT CONCAT(m.room_id, ' ', m.user_id),
                     IF(r.organization_id IS NULL, 'the room is deleted', 'the room is of another organization')
              FROM ({portion}) k STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.id
              STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id
              STRAIGHT_JOIN users u FORCE INDEX (PRIMARY) ON u.user_id = m.user_id
              WHERE NOT (u.organization_id <=> r.organization_id)",
    },
    Check {
        table: "room_members",
        sql: "SELECT CONCAT(m.room_id, ' ', m.user_id),
                     CONCAT('read_seq is ', m.read_seq, ' and joined_seq ', m.joined_seq, ', but the last number is ', r.last_seq)
              FROM ({portion}) k STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = k.id
              STRAIGHT_JOIN room_members m FORCE INDEX (PRIMARY) ON m.room_id = r.id
              WHERE m.read_seq > r.last_seq OR m.joined_seq > r.last_seq",
    },
];

const OF_MESSAGES: [Check; 6] = [
    Check {
        table: "messages",
        sql: "SELECT CONCAT(x.room_id, '-', x.seq), CONCAT('reply_count is ', x.reply_count, ', but it has ',
                                                           COUNT(y.seq), ' replies')
              FROM ({portion}) k
              STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq
              STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = x.room_id AND r.organization_id IS NOT NULL
              LEFT JOIN messages y FORCE INDEX (messages_replies) ON y.room_id = x.room_id AND y.reply_to_seq = x.seq
              GROUP BY x.room_id, x.seq, x.reply_count HAVING x.reply_count <> COUNT(y.seq)",
    },
    Check {
        table: "messages",
        sql: "SELECT CONCAT(x.room_id, '-', x.seq), CONCAT('it replies to ', x.reply_to_seq, ', which is no message before it')
              FROM ({portion}) k
              STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq
              STRAIGHT_JOIN rooms r FORCE INDEX (PRIMARY) ON r.id = x.room_id AND r.organization_id IS NOT NULL
              LEFT JOIN messages p FORCE INDEX (PRIMARY)
                     ON p.room_id = x.room_id AND p.seq = x.reply_to_seq AND p.seq < x.seq
              WHERE x.reply_to_seq IS NOT NULL AND p.seq IS NULL",
    },
    Check {
        table: "messages",
        sql: "SELECT CONCAT(room_id, '-', seq), CONCAT('it shows ', shown_total, ' reactions of ', shown_kinds,
                                                       ' kinds, but has ', total, ' of ', kinds)
              FROM (SELECT x.room_id, x.seq, COALESCE(JSON_LENGTH(x.reactions), 0) AS shown_kinds,
                           (SELECT COALESCE(SUM(s.given), 0)
                            FROM JSON_TABLE(COALESCE(x.reactions, '[]'), '$[*]' COLUMNS (given INT PATH '$[1]')) s)
                               AS shown_total,
                           (SELECT COUNT(DISTINCT g.reaction) FROM reactions g FORCE INDEX (PRIMARY)
                            WHERE g.room_id = x.room_id AND g.seq = x.seq) AS kinds,
                           (SELECT COUNT(*) FROM reactions g FORCE INDEX (PRIMARY)
                            WHERE g.room_id = x.room_id AND g.seq = x.seq) AS total
                    FROM ({portion}) k
                    STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq) c
              WHERE shown_kinds <> kinds OR shown_total <> total",
    },
    Check {
        table: "messages",
        sql: "SELECT CONCAT(room_id, '-', seq), CONCAT('it mentions ', named, ' besides its sender, but has ', total,
                                                       ' rows of mentions')
              FROM (SELECT x.room_id, x.seq,
                           x.mentions_all + COALESCE(JSON_LENGTH(x.mentions), 0)
                               - COALESCE(JSON_CONTAINS(x.mentions, JSON_QUOTE(x.sender_id)), 0) AS named,
                           (SELECT COUNT(*) FROM mentions t FORCE INDEX (PRIMARY)
                            WHERE t.room_id = x.room_id AND t.seq = x.seq) AS total
                    FROM ({portion}) k
                    STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq) c
              WHERE named <> total",
    },
    Check {
        table: "messages",
        sql: "SELECT CONCAT(x.room_id, '-', x.seq), 'it is deleted, but has contents'
              FROM ({portion}) k
              STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq
              WHERE x.deleted_at IS NOT NULL
                AND (x.content <> '' OR x.reactions IS NOT NULL OR x.mentions IS NOT NULL OR x.mentions_all)",
    },
    Check {
        table: "messages",
        sql: "SELECT CONCAT(x.room_id, '-', x.seq), 'it is a file, but has no upload'
              FROM ({portion}) k
              STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = k.room_id AND x.seq = k.seq
              LEFT JOIN uploads f FORCE INDEX (uploads_message) ON f.room_id = x.room_id AND f.seq = x.seq
              WHERE x.kind = 'file' AND x.deleted_at IS NULL AND f.upload_id IS NULL",
    },
];

const OF_UPLOADS: [Check; 1] = [Check {
    table: "uploads",
    sql: "SELECT f.upload_id, CONCAT('it is sent as ', f.room_id, '-', f.seq, ', which is not a file of its sender')
          FROM ({portion}) k STRAIGHT_JOIN uploads f FORCE INDEX (PRIMARY) ON f.upload_id = k.upload_id
          STRAIGHT_JOIN messages x FORCE INDEX (PRIMARY) ON x.room_id = f.room_id AND x.seq = f.seq
          WHERE x.kind <> 'file' OR x.deleted_at IS NOT NULL OR x.sender_id <> f.sender_id OR f.object_key IS NULL",
}];

/// Reports the wrong rows of all tables.
pub(super) async fn verify(snapshot: &mut Snapshot, report: &mut (dyn FnMut(Wrong) + Send)) -> Result<()> {
    for Table { portion, last, checks } in &TABLES {
        // Every key comes after the empty text, and after 0.
        let mut after = (Value::from(""), Value::from(0));
        loop {
            let found: Vec<(Value, Value)> =
                snapshot.rows(&last.replace("{portion}", portion), params_after(&after)).await?;
            let Some(last) = found.into_iter().next() else { break };
            for Check { table, sql } in *checks {
                let wrong: Vec<(String, String)> =
                    snapshot.rows(&sql.replace("{portion}", portion), params_after(&after)).await?;
                wrong.into_iter().for_each(|(key, what)| report(Wrong { table, key, what }));
            }
            after = last;
        }
    }
    Ok(())
}

/// The parameters of a portion after this key.
fn params_after((first, second): &(Value, Value)) -> Params {
    params! {
        "first" => first,
        "second" => second,
        "portion" => PORTION,
        "prime" => prime::PRIME_CAPACITY,
        "channel" => channels::CAPACITY,
        "group" => groups::CAPACITY,
        "direct" => direct::CAPACITY,
    }
}
