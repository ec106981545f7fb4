//! Reactions to messages (`docs/contract.md`, "Reactions").
//!
//! The table `reactions` stores who reacted with what. The column `reactions` of a message stores the
//! same in the form that is shown, so that reading counts nothing. Both change in one transaction that
//! has locked the room. Both have a reaction in the spelling in which the message got it first.

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::params;
use mysql_async::prelude::Queryable;
use serde::Deserialize;

use crate::base::db::Db;
use crate::base::fields::{self, Request};
use crate::base::ids::{ConnectionId, UserId};
use crate::base::socket::{Protocol, Socket};
use crate::base::transaction::Transaction;
use crate::base::user::User;
use crate::error::Thing;
use crate::messages::message::{Given, Message, MessageId, NamedMessage, Reaction, hex, read_own};
use crate::messages::revise::{self, Found, Revised};
use crate::rooms::room;
use crate::{Error, Result};

/// The most different reactions to one message.
const MOST: usize = 20;
/// How many of the users who gave a reaction are named.
const NAMED: usize = 10;

/// Returns what is stored with a message; `None` when it has no reactions.
fn to_store(all: &[Given]) -> Result<Option<String>> {
    let all: Vec<_> = all.iter().map(|given| (&given.reaction, given.count, &given.user_ids)).collect();
    if all.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(&all).map(Some).map_err(Error::internal)
}

/// A request to give a reaction or to take it back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct ReactionChange {
    pub message_id: NamedMessage,
    pub reaction: Reaction,
    #[serde(deserialize_with = "fields::flag")]
    pub remove: bool,
    pub user_id: Option<UserId>,
}

impl Request for ReactionChange {}

/// A message after a request to react to it.
#[derive(Debug)]
pub struct Reacted {
    /// The message, and whether it changed.
    pub revised: Revised,
    /// The reaction in the spelling that the message has it in.
    pub reaction: Reaction,
}

/// Gives a reaction to a message, or takes back the user's own. Giving a reaction twice, or taking back
/// one that was not given, takes no number. `by` is the socket that the request came from.
///
/// # Errors
/// [`Error::IdentityMismatch`], [`Error::NotFound`] for a message that is unknown, deleted or of another
/// organization, [`Error::NotAMember`], and a 400 for a system message and for more than 20 different
/// reactions.
pub async fn react(db: &Db, user: &User, by: &ConnectionId, change: &ReactionChange) -> Result<Reacted> {
    user.must_be(change.user_id.as_ref())?;
    let message_id = change.message_id.id()?;
    db.transaction_in(message_id.room_id, (user, by, message_id, change), store).await
}

async fn store(
    transaction: &mut Transaction,
    (user, by, message_id, change): (&User, &ConnectionId, MessageId, &ReactionChange),
) -> Result<Reacted> {
    let Found { mut room, mut message, .. } = revise::find(transaction, user, Some(by), message_id).await?;
    if message.deleted {
        return Err(Error::NotFound(Thing::Message));
    }
    let place = change.reaction.place_in(&message.reactions);
    let known = place.map(|place| &message.reactions[place]);
    let is_mine = known.is_some_and(|given| given.mine);
    let reaction = known.map_or(&change.reaction, |given| &given.reaction).clone();
    if is_mine != change.remove {
        return Ok(Reacted { revised: Revised { message, changed: false }, reaction });
    }
    if place.is_none() && message.reactions.len() >= MOST {
        let only = format!("must be one of the {MOST} that the message has: it takes no more different ones");
        return Err(Error::invalid("reaction", only));
    }
    message.updated_seq = room::next_seq(transaction, &mut room).await?;
    if change.remove {
        take_back(transaction, user, &mut message, &reaction).await?;
    } else {
        give(transaction, user, &mut message, &reaction).await?;
    }
    transaction
        .exec_drop(
            "UPDATE messages SET reactions = ?, updated_seq = ? WHERE room_id = ? AND seq = ?",
            (to_store(&message.reactions)?, message.updated_seq, message.room_id, message.seq),
        )
        .await?;
    Ok(Reacted { revised: Revised { message, changed: true }, reaction })
}

async fn give(
    transaction: &mut Transaction,
    user: &User,
    message: &mut Message,
    reaction: &Reaction,
) -> Result<()> {
    transaction
        .exec_drop(
            "INSERT INTO reactions (room_id, seq, user_id, reaction, given_seq) VALUES (?, ?, ?, ?, ?)",
            (message.room_id, message.seq, &user.user_id, reaction, message.updated_seq),
        )
        .await?;
    match message.reactions.iter_mut().find(|given| given.reaction == *reaction) {
        Some(given) => {
            given.count += 1;
            given.mine = true;
            if given.user_ids.len() < NAMED {
                given.user_ids.push(user.user_id.clone());
            }
        }
        None => message.reactions.push(Given {
            reaction: reaction.clone(),
            count: 1,
            mine: true,
            user_ids: vec![user.user_id.clone()],
        }),
    }
    Ok(())
}

async fn take_back(
    transaction: &mut Transaction,
    user: &User,
    message: &mut Message,
    reaction: &Reaction,
) -> Result<()> {
    transaction
        .exec_drop(
            "DELETE FROM reactions WHERE room_id = ? AND seq = ? AND user_id = ? AND reaction = ?",
            (message.room_id, message.seq, &user.user_id, reaction),
        )
        .await?;
    for given in message.reactions.iter_mut().filter(|given| given.reaction == *reaction) {
        given.count -= 1;
        given.mine = false;
        given.user_ids.retain(|user_id| *user_id != user.user_id);
        // The next user in order takes the free place.
        if (given.user_ids.len() as u64) < given.count.min(NAMED as u64) {
            given.user_ids = transaction
                .exec(
                    "SELECT user_id FROM reactions FORCE INDEX (reactions_first)
                     WHERE room_id = ? AND seq = ? AND reaction = ?
                     ORDER BY given_seq LIMIT ?",
                    (message.room_id, message.seq, reaction, NAMED),
                )
                .await?;
        }
    }
    message.reactions.retain(|given| given.count > 0);
    Ok(())
}

/// Returns the message as the members of its room see it, which differs in what is `mine`. Members who
/// gave the same reactions share one version, which comes with their sockets.
///
/// # Errors
/// Any error of the database.
pub async fn as_seen(db: &Db, message: &Message) -> Result<Vec<(Message, Vec<Socket>)>> {
    let rows: Vec<(ConnectionId, Protocol, Option<String>)> = db
        .rows(
            // Skips reactions that were given after this state of the message.
            "SELECT c.connection_id, c.protocol,
                    (SELECT JSON_ARRAYAGG(HEX(g.reaction)) FROM reactions g FORCE INDEX (PRIMARY)
                     WHERE g.room_id = m.room_id AND g.seq = :seq AND g.user_id = m.user_id
                       AND g.given_seq <= :updated_seq)
             FROM room_members m FORCE INDEX (PRIMARY)
             STRAIGHT_JOIN connections c FORCE INDEX (connections_user) ON c.user_id = m.user_id
             WHERE m.room_id = :room_id AND c.expires_at > UTC_TIMESTAMP(3)",
            params! {
                "room_id" => message.room_id,
                "seq" => message.seq,
                "updated_seq" => message.updated_seq,
            },
        )
        .await?;
    let mut sockets: BTreeMap<BTreeSet<String>, Vec<Socket>> = BTreeMap::new();
    for (connection_id, protocol, own) in rows {
        let socket = Socket { connection_id, protocol };
        sockets.entry(read_own(own.as_deref())).or_default().push(socket);
    }
    let seen = sockets.into_iter().map(|(own, sockets)| {
        let mut message = message.clone();
        for given in &mut message.reactions {
            given.mine = own.contains(&hex(given.reaction.as_str()));
        }
        (message, sockets)
    });
    Ok(seen.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::messages::message::stored_reactions;

    fn is_reaction(text: &str) -> bool {
        serde_json::from_value::<Reaction>(json!(text)).is_ok()
    }

    #[test]
    fn a_reaction_is_one_character_as_people_see_it() {
        for good in ["👍", "❤️", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "x", "é", "e\u{301}", "\"", "\\", "'", "%"]
        {
            assert!(is_reaction(good), "{good}");
        }
        for bad in ["", " ", "\u{3000}", "👍👍", "🇩🇪🇫🇷", "ok", "👍 ", "\n", "\r\n", "\u{0}", "\u{85}"]
        {
            assert!(!is_reaction(bad), "{bad:?}");
        }
        for unseen in ["\u{200b}", "\u{fe0f}", "\u{3164}", "\u{2800}", "👍\u{200d}", "👍\u{e0041}"] {
            assert!(!is_reaction(unseen), "{unseen:?}");
        }
        assert!(serde_json::from_value::<Reaction>(json!(1)).is_err());
    }

    #[test]
    fn a_reaction_has_at_most_64_bytes() {
        let accents = |count| format!("ee{}", "\u{301}".repeat(count))[1..].to_owned();
        let (fits, longer) = (format!("é{}", "\u{301}".repeat(31)), accents(32));
        assert_eq!((fits.len(), longer.len()), (64, 65));
        assert!(is_reaction(&fits));
        assert!(!is_reaction(&longer));
        // The longest emoji.
        assert!(is_reaction("👩🏽‍❤️‍💋‍👨🏿"));
    }

    #[test]
    fn a_reaction_is_found_in_every_spelling_and_first_in_its_own() {
        let reaction = |text: &str| Reaction::stored(text.to_owned());
        let given = |text| Given { reaction: reaction(text), count: 1, mine: false, user_ids: Vec::new() };
        let all = ["❤", "👍", "👍\u{fe0f}", "\u{e9}"].map(given);
        let places = [("❤\u{fe0f}", 0), ("❤\u{fe0e}", 0), ("👍", 1), ("👍\u{fe0f}", 2), ("e\u{301}", 3)];
        for (text, place) in places {
            assert_eq!(reaction(text).place_in(&all), Some(place), "{text:?}");
        }
        assert_eq!(reaction("👍🏽").place_in(&all), None);
        assert_eq!(reaction("e").place_in(&all), None);
    }

    #[test]
    fn what_is_stored_reads_back_with_what_is_mine() {
        let given = |reaction: &str, count, mine, user_ids: &[&str]| Given {
            reaction: Reaction::stored(reaction.to_owned()),
            count,
            mine,
            user_ids: user_ids.iter().map(|&user_id| UserId::stored(user_id.to_owned())).collect(),
        };
        let all = vec![given("👍", 2, true, &["bob", "ann"]), given("\"", 1, false, &["bob"])];
        let stored_text = to_store(&all).unwrap().unwrap();
        let read = stored_reactions(Some(&stored_text), Some(&json!([hex("👍")]).to_string()));
        assert_eq!(json!(read), json!(all));
        assert_eq!(to_store(&[]).unwrap(), None);
        assert!(stored_reactions(None, None).is_empty());
    }
}
