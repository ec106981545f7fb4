//! Accepting and declining an invitation without its token: docs/contract.md, "Invitations".

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

/// A room of Ann's, and the invitation of Eve, whose push nobody got.
async fn invited(app: &TestApp) -> (Person, Person, u64, Value) {
    let (ann, eve) = (app.prime("ann").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    let invitation = ann.invites(room, &eve).await.created();
    (ann, eve, room, invitation)
}

async fn answer(person: &Person, invitation: &Value, answer: &str) -> Answer {
    person.post(&format!("/api/invitations/{}/{answer}", invitation["invitationId"]), json!({})).await
}

/// The status of the only invitation that this person sent or received.
async fn status(person: &Person) -> Value {
    person.get("/api/invitations").await.ok()["invitations"][0]["status"].take()
}

#[tokio::test]
async fn an_invitee_who_was_offline_joins_without_the_token_as_with_it() {
    let app = TestApp::start().await;
    let (ann, eve, room, invitation) = invited(&app).await;
    let mut anns = ann.connect().await;
    let joined = answer(&eve, &invitation, "accept").await.created();
    assert_eq!(
        (&joined["room"]["id"], &joined["charged"], &joined["alreadyMember"]),
        (&json!(room), &json!(0), &json!(false))
    );
    assert_eq!(anns.receives("userJoined").await["userId"], eve.user_id);
    assert_eq!((status(&ann).await, status(&eve).await), (json!("used"), json!("used")));

    // A repeated call changes nothing.
    assert_eq!(answer(&eve, &invitation, "accept").await.ok()["alreadyMember"], true);
    anns.has_nothing().await;
    answer(&eve, &invitation, "decline").await.refused(404, "invitation_not_found");
    eve.leaves(room).await.no_content();
    answer(&eve, &invitation, "accept").await.refused(403, "invitation_invalid");
    let token = invitation["inviteToken"].as_str().unwrap();
    eve.redeems(token).await.refused(403, "invitation_invalid");
    app.invariants_hold().await;
}

#[tokio::test]
async fn only_the_invitee_can_accept_or_decline() {
    let app = TestApp::start().await;
    let (ann, eve, _, invitation) = invited(&app).await;
    let (dan, zoe) = (app.prime("dan").await, app.foreigner("zoe").await);
    for other in [&ann, &dan, &zoe] {
        for what in ["accept", "decline"] {
            answer(other, &invitation, what).await.refused(404, "invitation_not_found");
        }
    }
    assert_eq!(status(&eve).await, "pending");
    answer(&eve, &json!({"invitationId": 999_999_999}), "accept").await.refused(404, "invitation_not_found");
}

#[tokio::test]
async fn a_declined_invitation_is_void_by_id_and_by_token() {
    let app = TestApp::start().await;
    let (ann, eve, room, invitation) = invited(&app).await;
    for _ in 0..2 {
        answer(&eve, &invitation, "decline").await.no_content();
    }
    assert_eq!((status(&ann).await, status(&eve).await), (json!("declined"), json!("declined")));
    answer(&eve, &invitation, "accept").await.refused(403, "invitation_invalid");
    eve.redeems(invitation["inviteToken"].as_str().unwrap()).await.refused(403, "invitation_invalid");
    // It stays declined when the inviter revokes it, and she can invite again.
    ann.delete(&format!("/api/invitations/{}", invitation["invitationId"])).await.no_content();
    assert_eq!(status(&ann).await, "declined");
    let again = ann.invites(room, &eve).await.created();
    answer(&eve, &again, "accept").await.created();
}

#[tokio::test]
async fn an_invitation_that_is_revoked_expired_or_no_longer_for_a_prime_user_is_not_accepted() {
    let app = TestApp::start().await;
    let (ann, eve, room, revoked) = invited(&app).await;
    ann.delete(&format!("/api/invitations/{}", revoked["invitationId"])).await.no_content();
    answer(&eve, &revoked, "accept").await.refused(403, "invitation_invalid");
    answer(&eve, &revoked, "decline").await.no_content();
    assert_eq!(status(&eve).await, "revoked");

    let expired = ann.invites(room, &eve).await.created();
    let expire = "UPDATE invitations SET expires_at = UTC_TIMESTAMP(3) WHERE invitation_id = ?";
    app.run(expire, (expired["invitationId"].as_u64(),)).await;
    answer(&eve, &expired, "accept").await.refused(403, "invitation_invalid");

    let invitation = ann.invites(room, &eve).await.created();
    app.run("UPDATE users SET prime = FALSE WHERE user_id = ?", (&eve.user_id,)).await;
    answer(&eve, &invitation, "accept").await.refused(403, "invitee_not_prime");
    app.run("UPDATE users SET prime = TRUE WHERE user_id = ?", (&eve.user_id,)).await;
    ann.delete(&format!("/api/rooms/{room}")).await.no_content();
    answer(&eve, &invitation, "accept").await.refused(404, "invitation_not_found");
}

#[tokio::test]
async fn concurrent_accepts_and_declines_have_one_outcome() {
    let app = TestApp::start().await;
    let (ann, eve, room, invitation) = invited(&app).await;
    let answers = join_all((0..8).map(async |number| match number % 2 {
        0 => answer(&eve, &invitation, "accept").await.status,
        _ => answer(&eve, &invitation, "decline").await.status,
    }));
    let answers = answers.await;
    let seats = ann.roles(room).await.len();
    match answers.iter().filter(|&&status| status == 201).count() {
        0 => assert_eq!((seats, status(&eve).await), (1, json!("declined")), "{answers:?}"),
        1 => assert_eq!((seats, status(&eve).await), (2, json!("used")), "{answers:?}"),
        _ => panic!("one invitation gave two seats: {answers:?}"),
    }
    app.invariants_hold().await;
}
