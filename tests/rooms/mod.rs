//! Contract section 2: rooms, their doors and their members.

mod creating;
mod deleting;
mod guessing;
mod inviting;
mod joining;
mod leaving;
mod listing_members;
mod overtaking;
mod racing;
mod removing;
mod roles;
