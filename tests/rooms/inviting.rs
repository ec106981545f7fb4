use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, ROOM_PASSWORD, TestApp};

/// Invites somebody, and returns the token.
async fn token(inviter: &Person, room: u64, invitee: &Person) -> String {
    let invited = inviter.invites(room, invitee).await.created();
    invited["inviteToken"].as_str().unwrap().to_owned()
}

/// The status of each invitation that this person sent or received, newest first.
async fn statuses(person: &Person) -> Vec<String> {
    let list = person.get("/api/invitations").await.ok();
    let invitations = list["invitations"].as_array().unwrap().iter();
    invitations.map(|invitation| invitation["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_invitation_lets_the_invitee_join_once_without_the_password() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let (mut anns, mut eves) = (ann.connect().await, eve.connect().await);
    let invited = ann.invites(room, &eve).await.created();
    let pushed = eves.receives("invitation").await;
    assert_eq!(
        (
            &pushed["invitationId"],
            &pushed["inviteToken"],
            &pushed["expiresAt"],
            &pushed["from"],
            &pushed["room"]["id"]
        ),
        (
            &invited["invitationId"],
            &invited["inviteToken"],
            &invited["expiresAt"],
            &json!(ann.user_id),
            &json!(room)
        )
    );
    anns.has_nothing().await;

    let token = invited["inviteToken"].as_str().unwrap();
    let joined = eve.redeems(token).await.created();
    assert_eq!((&joined["charged"], &joined["room"]["memberCount"]), (&json!(0), &json!(2)));
    assert_eq!(anns.receives("userJoined").await["userId"], eve.user_id);
    eve.leaves(room).await.no_content();
    eve.redeems(token).await.refused(403, "invitation_invalid");
    assert_eq!(statuses(&ann).await, ["used"]);
}

#[tokio::test]
async fn an_invitation_can_be_redeemed_by_frame_too() {
    let app = TestApp::start().await;
    let (ann, eve, bob) = (app.prime("ann").await, app.prime("eve").await, app.prime("bob").await);
    let room = ann.opens_a_room().await;
    let (for_eve, for_bob) = (token(&ann, room, &eve).await, token(&ann, room, &bob).await);
    let mut eves = eve.connect().await;
    eves.refused("joinRoom", json!({"roomId": room, "inviteToken": for_bob}), "invitation_invalid").await;
    let ack = eves.acked("joinRoom", json!({"roomId": room, "inviteToken": for_eve})).await;
    assert_eq!(
        (&ack["roomId"], &ack["seq"], &ack["alreadyMember"]),
        (&json!(room), &json!(1), &json!(false))
    );
    let mut bobs = bob.connect().await;
    assert_eq!(bobs.acked("joinRoom", json!({"inviteToken": for_bob})).await["roomId"], room);
}

#[tokio::test]
async fn only_the_rooms_creator_can_invite_and_only_as_a_member() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.prime("bob").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    bob.invites(room, &eve).await.refused(403, "not_room_creator");
    bob.joins(room).await.created();
    bob.invites(room, &eve).await.refused(403, "not_room_creator");
    ann.leaves(room).await.no_content();
    // Bob is the owner now, but still not the creator.
    bob.invites(room, &eve).await.refused(403, "not_room_creator");
    ann.invites(room, &eve).await.refused(403, "not_a_member");
    assert_eq!(statuses(&eve).await, [""; 0]);
}

#[tokio::test]
async fn only_prime_users_of_the_organization_who_are_not_members_can_be_invited() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.rich("bob", 500).await, app.prime("eve").await);
    let zoe = app.foreigner("zoe").await;
    let room = ann.opens_a_room().await;
    ann.invites(room, &bob).await.refused(403, "invitee_not_prime");
    let mut nobody = bob.clone();
    nobody.user_id = format!("nobody-{}", bob.user_id);
    let unknown = ann.invites(room, &nobody).await.refused(404, "user_not_found");
    assert_eq!(ann.invites(room, &zoe).await.refused(404, "user_not_found"), unknown);
    assert_eq!(ann.invites(room, &ann).await.wrong_fields(), ["userId"]);
    eve.joins(room).await.created();
    assert_eq!(ann.invites(room, &eve).await.wrong_fields(), ["userId"]);
    assert_eq!(statuses(&ann).await, [""; 0]);
}

#[tokio::test]
async fn users_can_be_invited_only_to_prime_rooms_of_the_organization() {
    let app = TestApp::start().await;
    let (ann, eve, zoe) = (app.foreigner("ann").await, app.foreigner("eve").await, app.prime("zoe").await);
    let (channel, group) = (ann.makes_a_channel("General").await, ann.groups(&[]).await);
    let unknown = ann.invites(999_999_999, &eve).await.refused(404, "room_not_found");
    for room in [channel, group, zoe.opens_a_room().await] {
        assert_eq!(ann.invites(room, &eve).await.refused(404, "room_not_found"), unknown);
    }
}

#[tokio::test]
async fn inviting_requires_the_password() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    for password in ["", "open sesame!", "x"] {
        let invitation = json!({"roomId": room, "password": password, "userId": eve.user_id});
        ann.post("/api/invite", invitation).await.refused(403, "wrong_room_password");
    }
    assert_eq!(ann.post("/api/invite", json!({})).await.wrong_fields(), ["password", "roomId", "userId"]);
    let wrong = json!({"roomId": "x", "password": 7, "userId": "me"});
    assert_eq!(ann.post("/api/invite", wrong).await.wrong_fields(), ["password", "roomId", "userId"]);
    assert_eq!(statuses(&ann).await, [""; 0]);
}

#[tokio::test]
async fn only_the_invitee_can_use_an_invitation() {
    let app = TestApp::start().await;
    let (ann, eve, bob) = (app.prime("ann").await, app.prime("eve").await, app.prime("bob").await);
    let zoe = app.foreigner("zoe").await;
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    for other in [&bob, &zoe] {
        other.redeems(&token).await.refused(403, "invitation_invalid");
    }
    let entry = json!({"roomId": room, "inviteToken": token, "password": ROOM_PASSWORD});
    bob.post("/api/joinroom", entry).await.refused(403, "invitation_invalid");
    eve.redeems(&token).await.created();
}

#[tokio::test]
async fn an_unknown_invitation_is_refused_and_one_of_the_wrong_type_is_reported() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    for nothing in ["", "no such token", "3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        eve.redeems(nothing).await.refused(403, "invitation_invalid");
        let entry = json!({"roomId": room, "inviteToken": nothing});
        eve.post("/api/joinroom", entry).await.refused(403, "invitation_invalid");
    }
    assert_eq!(eve.post("/api/joinroom", json!({"inviteToken": 7})).await.wrong_fields(), ["inviteToken"]);
    assert_eq!(eve.post("/api/joinroom", json!({"inviteToken": null})).await.wrong_fields(), ["roomId"]);
}

#[tokio::test]
async fn an_invitation_expires_after_24_hours() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let shifted = async |minutes: u32| {
        let token = token(&ann, room, &eve).await;
        let sql = "UPDATE invitations SET created_at = created_at - INTERVAL ? MINUTE,
                   expires_at = expires_at - INTERVAL ? MINUTE WHERE room_id = ? AND used_at IS NULL";
        app.run(sql, (minutes, minutes, room)).await;
        token
    };
    let old = shifted(24 * 60).await;
    eve.redeems(&old).await.refused(403, "invitation_invalid");
    assert_eq!(statuses(&eve).await, ["expired"]);
    let young = shifted(24 * 60 - 1).await;
    eve.redeems(&young).await.created();
    assert_eq!(statuses(&eve).await, ["used", "expired"]);
}

#[tokio::test]
async fn a_revoked_invitation_is_refused() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let invited = ann.invites(room, &eve).await.created();
    ann.delete(&format!("/api/invitations/{}", invited["invitationId"])).await.no_content();
    let token = invited["inviteToken"].as_str().unwrap();
    eve.redeems(token).await.refused(403, "invitation_invalid");
    assert_eq!(statuses(&eve).await, ["revoked"]);
    assert_eq!(ann.roles(room).await.len(), 1);
}

#[tokio::test]
async fn an_invitation_is_invalid_once_its_room_is_deleted() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let invited = ann.invites(room, &eve).await.created();
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    let token = invited["inviteToken"].as_str().unwrap();
    eve.redeems(token).await.refused(403, "invitation_invalid");
    let entry = json!({"roomId": room, "inviteToken": token});
    eve.post("/api/joinroom", entry).await.refused(404, "room_not_found");
    assert_eq!(statuses(&eve).await, [""; 0]);
    let revoked = ann.delete(&format!("/api/invitations/{}", invited["invitationId"])).await;
    revoked.refused(404, "invitation_not_found");
}

#[tokio::test]
async fn an_invitee_who_is_no_longer_prime_cannot_use_an_invitation() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    let become_prime = "UPDATE users SET prime = ? WHERE user_id = ?";
    app.run(become_prime, (false, &eve.user_id)).await;
    eve.redeems(&token).await.refused(403, "invitee_not_prime");
    assert_eq!(statuses(&eve).await, ["pending"]);
    app.run(become_prime, (true, &eve.user_id)).await;
    eve.redeems(&token).await.created();
}

#[tokio::test]
async fn an_invitation_to_a_full_room_stays_unused() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    let mut guests = Vec::new();
    for guest in 0..5 {
        guests.push(app.user(&format!("guest{guest}")).await);
        guests[guest].joins(room).await.created();
    }
    eve.redeems(&token).await.refused(409, "room_full");
    assert_eq!(statuses(&eve).await, ["pending"]);
    // The invitation is checked before the seats.
    app.user("mallory").await.redeems(&token).await.refused(403, "invitation_invalid");
    app.run("UPDATE users SET prime = FALSE WHERE user_id = ?", (&eve.user_id,)).await;
    eve.redeems(&token).await.refused(403, "invitee_not_prime");
    app.run("UPDATE users SET prime = TRUE WHERE user_id = ?", (&eve.user_id,)).await;
    guests[0].leaves(room).await.no_content();
    eve.redeems(&token).await.created();
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_members_invitation_stays_unused() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    eve.joins(room).await.created();
    assert_eq!(eve.redeems(&token).await.ok()["alreadyMember"], true);
    assert_eq!(statuses(&eve).await, ["pending"]);
    eve.leaves(room).await.no_content();
    eve.redeems(&token).await.created();
    // A member gets the same response with a used invitation.
    assert_eq!(eve.redeems(&token).await.ok()["alreadyMember"], true);
}

#[tokio::test]
async fn a_room_id_beside_an_invitation_must_be_that_of_its_room() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.foreigner("ann").await, app.foreigner("eve").await);
    let (room, other, channel) =
        (ann.opens_a_room().await, ann.opens_a_room().await, ann.makes_a_channel("General").await);
    let token = token(&ann, room, &eve).await;
    let entry = |room: u64| json!({"roomId": room, "inviteToken": token, "password": "no password"});
    for wrong in [other, channel] {
        eve.post("/api/joinroom", entry(wrong)).await.refused(403, "invitation_invalid");
    }
    eve.post("/api/joinroom", entry(999_999_999)).await.refused(404, "room_not_found");
    assert_eq!(statuses(&eve).await, ["pending"]);
    eve.post("/api/joinroom", entry(room)).await.created();
}

#[tokio::test]
async fn invitations_are_listed_for_both_users_newest_first_without_their_tokens() {
    let app = TestApp::start().await;
    let (ann, eve, bob) = (app.prime("ann").await, app.prime("eve").await, app.prime("bob").await);
    let (anns, eves) = (ann.opens_a_room().await, eve.opens_a_room().await);
    let first = ann.invites(anns, &eve).await.created();
    let second = eve.invites(eves, &ann).await.created();
    let third = ann.invites(anns, &bob).await.created();
    let list = ann.get("/api/invitations").await.ok();
    let ids: Vec<&Value> =
        list["invitations"].as_array().unwrap().iter().map(|one| &one["invitationId"]).collect();
    assert_eq!(ids, [&third["invitationId"], &second["invitationId"], &first["invitationId"]]);
    let oldest = &list["invitations"][2];
    assert_eq!(
        oldest,
        &json!({
            "invitationId": first["invitationId"], "roomId": anns, "roomName": "Tea", "from": ann.user_id,
            "to": eve.user_id, "status": "pending", "createdAt": oldest["createdAt"], "expiresAt": first["expiresAt"]
        })
    );
    assert_eq!(statuses(&eve).await.len(), 2);
    assert_eq!(bob.get("/api/invitations").await.ok()["invitations"].as_array().unwrap().len(), 1);
    assert_eq!(statuses(&app.user("mallory").await).await, [""; 0]);
}

#[tokio::test]
async fn the_newest_500_sent_and_the_newest_500_received_invitations_are_listed() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let sent = eve.invites(eve.opens_a_room().await, &ann).await.created();
    let newest = ann.invites(room, &eve).await.created();
    let copy = "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
                SELECT room_id, inviter_id, invitee_id, RANDOM_BYTES(32), created_at, expires_at FROM invitations WHERE room_id = ?";
    for _ in 0..9 {
        app.run(copy, (room,)).await;
    }
    let list = eve.get("/api/invitations").await.ok();
    let list = list["invitations"].as_array().unwrap();
    assert_eq!(list.len(), 501);
    let (own, received) = list.split_last().unwrap();
    assert_eq!(own["invitationId"], sent["invitationId"]);
    assert!(received.iter().all(|one| one["invitationId"].as_u64() > newest["invitationId"].as_u64()));
    // The others come in the parts after it.
    let parts = eve.parts("/api/invitations", 500).await;
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [501, 12]);
}

#[tokio::test]
async fn invitations_are_read_part_by_part_with_so_many_of_both_kinds() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let (anns, eves) = (ann.opens_a_room().await, eve.opens_a_room().await);
    let mut ids = Vec::new();
    for number in 0..7 {
        let made = if number < 5 { ann.invites(anns, &eve).await } else { eve.invites(eves, &ann).await };
        ids.push(made.created()["invitationId"].take());
    }
    let parts = eve.parts("/api/invitations", 2).await;
    let listed = |part: &Vec<Value>| part.iter().map(|one| one["invitationId"].clone()).collect::<Vec<_>>();
    let expected = [[6, 5, 4, 3].as_slice(), &[2, 1], &[0]];
    let expected = expected.map(|part| part.iter().map(|number| ids[*number].clone()).collect::<Vec<_>>());
    assert_eq!(parts.iter().map(listed).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn only_the_inviter_can_revoke_an_invitation() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let invited = ann.invites(room, &eve).await.created();
    let path = format!("/api/invitations/{}", invited["invitationId"]);
    eve.delete(&path).await.refused(404, "invitation_not_found");
    ann.delete("/api/invitations/999999999").await.refused(404, "invitation_not_found");
    assert_eq!(ann.delete("/api/invitations/x").await.wrong_fields(), ["invitationId"]);
    assert_eq!(statuses(&ann).await, ["pending"]);
    for _ in 0..2 {
        ann.delete(&path).await.no_content();
    }
    let invited = ann.invites(room, &eve).await.created();
    eve.redeems(invited["inviteToken"].as_str().unwrap()).await.created();
    let used = ann.delete(&format!("/api/invitations/{}", invited["invitationId"])).await;
    used.refused(404, "invitation_not_found");
    assert_eq!(statuses(&ann).await, ["used", "revoked"]);
}

#[tokio::test]
async fn an_invitation_redeemed_eight_times_concurrently_seats_the_invitee_once() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    let answers = join_all((0..8).map(|_| eve.redeems(&token))).await;
    let mut seated = 0;
    for answer in answers {
        match answer.status {
            201 => seated += 1,
            200 => assert_eq!(answer.json["alreadyMember"], true),
            _ => _ = answer.refused(403, "invitation_invalid"),
        }
    }
    assert_eq!((seated, ann.reads(room).await.len()), (1, 1));
    app.invariants_hold().await;
}

#[tokio::test]
async fn leaving_while_redeeming_again_does_not_use_one_invitation_twice() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    for _ in 0..10 {
        let token = token(&ann, room, &eve).await;
        eve.redeems(&token).await.created();
        let (left, again) = tokio::join!(eve.leaves(room), eve.redeems(&token));
        left.no_content();
        assert!(again.status == 200 || again.json["code"] == "invitation_invalid", "{}", again.json);
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_concurrent_revocation_and_use_of_an_invitation_do_not_both_succeed() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    for _ in 0..15 {
        let invited = ann.invites(room, &eve).await.created();
        let path = format!("/api/invitations/{}", invited["invitationId"]);
        let token = invited["inviteToken"].as_str().unwrap();
        let (revoked, joined) = tokio::join!(ann.delete(&path), eve.redeems(token));
        match revoked.status {
            204 => _ = joined.refused(403, "invitation_invalid"),
            _ => {
                revoked.refused(404, "invitation_not_found");
                joined.created();
                eve.leaves(room).await.no_content();
            }
        }
    }
}

#[tokio::test]
async fn five_of_eight_invitees_get_the_five_seats_and_the_others_keep_their_invitations() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let mut guests = Vec::new();
    for number in 0..8 {
        let guest = app.prime(&format!("guest{number}")).await;
        let token = token(&ann, room, &guest).await;
        guests.push((guest, token));
    }
    let answers = join_all(guests.iter().map(|(guest, token)| guest.redeems(token))).await;
    let seated = answers.iter().filter(|answer| answer.status == 201).count();
    let full = answers.iter().filter(|answer| answer.json["code"] == "room_full").count();
    assert_eq!((seated, full), (5, 3));
    let statuses = statuses(&ann).await;
    assert_eq!(statuses.iter().filter(|status| *status == "pending").count(), 3);
    app.invariants_hold().await;
}

#[tokio::test]
async fn invitation_tokens_are_stored_as_hashes_only() {
    let app = TestApp::start().await;
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let token = token(&ann, room, &eve).await;
    let stored: Vec<bool> = app
        .rows(&format!(
            "SELECT token_hash = UNHEX(SHA2('{token}', 256)) FROM invitations WHERE room_id = {room}"
        ))
        .await;
    assert_eq!((stored, token.len()), (vec![true], 43));
}
